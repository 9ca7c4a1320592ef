"""The MJCF of a serial arm from a table of its links."""

from envs.robots.limits import JointLimits

Link = tuple[str, str | None, float, str, str, list[tuple[str, str, str]]]
"""(position in the parent, quaternion or None, mass, centre of mass, inertia xx yy zz xy xz yz, shapes), in metres, kg
and kg·m². A shape is (geom type, fromto, size)."""


def chain(links: tuple[Link, ...], limits: JointLimits, inner: str) -> str:
    """`<body>` elements link1, link2, ... with a joint about z each. Each is inside the previous one; `inner` is in the
    last."""
    for index in reversed(range(len(links))):
        inner = _link(index, links[index], (limits.q_min_rad[index], limits.q_max_rad[index]), inner)
    return inner


def _link(index: int, link: Link, ends_rad: tuple[float, float], inner: str) -> str:
    pos, quat, mass, com, inertia, shapes = link
    geoms = "\n".join(f'<geom type="{kind}" fromto="{line}" size="{size}"/>' for kind, line, size in shapes)
    turn = f' quat="{quat}"' if quat else ""
    return f"""<body name="link{index + 1}" pos="{pos}"{turn}>
  <inertial mass="{mass}" pos="{com}" fullinertia="{inertia}"/>
  <joint name="joint{index + 1}" range="{ends_rad[0]} {ends_rad[1]}" limited="true"/>
  {geoms}
  {inner}
</body>"""

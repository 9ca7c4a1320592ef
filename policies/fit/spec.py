"""What a policy's numbers mean: every trainer writes this description, and every user of a policy reads it
(policy.yaml).

    spec = spec_from_env(env, needs="rgb")                    for a policy that is trained in an environment
    spec = spec_from_set(demos.attrs, needs="rgb", ...)       for a policy that is trained on a set, of any robot
    policy.spec                                               a loaded policy's; None for an old, incomplete folder

On the arrow: `policies.fit.rules` compares it with the interface of a robot or a scene before anything moves.
"""

from dataclasses import asdict, dataclass, fields, replace

import envs
from envs.interface import UNKNOWN, ActionSpec, CameraSpec, Interface, ProprioSpec, ignore, inside, robot_name
from policies.network.transformer import TransformerConfig
from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.strict import build

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class HistorySpec:
    """The observations that an action depends on."""

    frames: int = ignore("the policy keeps its own history", default=1)
    """How many observations, the present one included."""
    every_s: float = ignore("it is a whole number of the policy's control periods, and the rate has a rule")
    """Seconds between two observations."""

    def __post_init__(self) -> None:
        if not (1 <= self.frames <= 1 << 12 and 0 < self.every_s < 1e4):
            raise UserError(
                f"history: expected frames from 1 to 4096 and every_s above 0, got {self.frames} and {self.every_s}"
            )


@dataclass(frozen=True, kw_only=True)
class PolicySpec(Interface):
    """The interface that a policy was trained with (`cameras` has only those that it needs), and its use of time."""

    history: HistorySpec = inside()
    """The observations that an action depends on."""
    chunk: int = ignore("the policy executes its own chunks, one action a period", default=1)
    """How many actions it predicts at once, one for each control period."""
    version: int = ignore("another version is refused when the folder is read", default=VERSION)
    """The version of this description."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.version != VERSION:
            raise UserError(
                f"version: expected {VERSION}, got {self.version}. Update toto_robot, or train the policy again."
            )
        if not 1 <= self.chunk <= 1 << 12:
            raise UserError(f"chunk: expected 1 to 4096 actions, got {self.chunk}")
        periods = self.history.every_s * self.control_hz
        if abs(periods - round(periods)) > 1e-6 or periods < 0.5:
            raise UserError(
                f"history.every_s: expected whole periods of 1/{self.control_hz:g} s, got {self.history.every_s}"
            )

    def plain(self) -> dict:
        """Plain values for YAML and JSON. `read_spec` reads them."""
        return plain(self)


def spec_from_env(env, *, needs: str | None, transformer: TransformerConfig | None = None) -> PolicySpec:
    """The description of a policy that is trained in `env` (a `RobotEnv` or several of them). It `needs` rgb,
    privileged or None."""
    return spec_of(env.interface, needs=needs, transformer=transformer)


def spec_from_set(
    attrs: dict,
    *,
    needs: str | None,
    camera: str = "wrist",
    dims: tuple[int, int] | None = None,
    robot: str | None = None,
    picture: tuple[int, int] | None = None,
    transformer: TransformerConfig | None = None,
) -> PolicySpec:
    """The description of a policy that is trained on a set with the attributes `attrs`; see `interface_of_set`."""
    interface = interface_of_set(attrs, dims=dims, robot=robot, pictures={camera: picture} if picture else {})
    return spec_of(interface, needs=needs, camera=camera, transformer=transformer)


def spec_of(
    interface: Interface, *, needs: str | None, camera: str = "wrist", transformer: TransformerConfig | None = None
) -> PolicySpec:
    """The description of a policy that uses `interface`. It sees `camera` if it `needs` rgb, and the true state if it
    `needs` privileged."""
    cameras = tuple(c for c in interface.cameras if c.name == camera) if needs == "rgb" else ()
    if needs == "rgb" and not cameras:
        raise unknown("camera", camera, (c.name for c in interface.cameras), "The policy needs one that it can see.")
    shared = {f.name: getattr(interface, f.name) for f in fields(Interface)}
    shared |= {"cameras": cameras, "state_of": interface.state_of if needs == "privileged" else ""}
    history = HistorySpec(frames=transformer.context if transformer else 1, every_s=1 / interface.control_hz)
    return PolicySpec(**shared, history=history, chunk=transformer.chunk if transformer else 1)


def interface_of_set(
    attrs: dict,
    *,
    dims: tuple[int, int] | None = None,
    robot: str | None = None,
    pictures: dict[str, tuple[int, int] | None] | None = None,
) -> Interface:
    """The interface of a demonstration set's robot.

    A set that we recorded stores an `interface`, or it is completed from its environment if names and counts agree. In
    other sets the units and meanings are unknown unless the attribute `action` has `units` and `meanings`. For a set
    that lacks them, `dims` (P, A) gives the counts of proprioception and actions, `robot` the robot's name, and
    `pictures` the (height, width) of its cameras.
    """
    ours = _stored(attrs) or _of_our_env(attrs)
    found = _as_recorded(ours, attrs) if ours is not None else _of_foreign(attrs, dims, pictures or {})
    if robot is None:
        return found
    if found.robot and found.robot != UNKNOWN and robot_name(robot) != robot_name(found.robot):
        raise UserError(f"robot={robot}: the set says that its robot is {found.robot}. Leave out robot=, or give that.")
    return replace(found, robot=robot_name(robot))


def completed(about, there: Interface | None = None) -> PolicySpec | None:
    """The description of an older folder (`policies.fit.folder.About`), completed from its environment: one of ours, or
    the one with the interface `there`. None if the counts don't agree. The rate and the actions in its notes take
    precedence.
    """
    notes, action = about.notes, about.notes.get("action") or {}
    ours = there if there is not None and there.state_of == about.env else None
    if ours is None and about.env in envs.names():
        ours = envs.make(about.env, render=False).interface
    if ours is not None and (about.proprio_dim, about.action_dim) != (len(ours.proprio.names), len(ours.action.names)):
        return None
    transformer = about.head.transformer
    if ours is not None and tuple(action.get("names") or ours.action.names) == ours.action.names:
        return spec_of(_as_recorded(ours, notes), needs=about.needs, transformer=transformer)
    if notes.get("control_hz") and action:  # cloned from another robot's set, whatever its `env` says
        interface = _of_foreign(
            {"action": action, "control_hz": notes["control_hz"]}, (about.proprio_dim, about.action_dim), {}
        )
        return spec_of(interface, needs=None, transformer=transformer)
    return None


def env_of_set(attrs: dict) -> str | None:
    """The name of our environment in which a set was recorded. None for a set of another robot, whatever its `env`
    says."""
    ours = _stored(attrs) or _of_our_env(attrs)
    return ours.state_of or None if ours is not None else None


def read_spec(values, where: str) -> PolicySpec:
    """A description from plain values (`PolicySpec.plain`), checked strictly. Raises UserError naming the key."""
    return build(PolicySpec, values, where)


def plain(spec: Interface) -> dict:
    """A description as plain values for YAML and JSON."""
    return _lists(asdict(spec))


def rescaled(action: ActionSpec, low, high) -> ActionSpec:
    """`action` with another range: its numbers from `low` to `high` (one for each action, or one for all) become -1 to
    1. A set has its own range of numbers."""
    width = len(action.names)
    lows, highs = ([float(v)] * width if isinstance(v, (int, float)) else [float(x) for x in v] for v in (low, high))
    if len(lows) != width or len(highs) != width:
        raise UserError(
            f"action: expected {width} bounds, one for each of {', '.join(action.names)}; got {len(lows)} and "
            f"{len(highs)}"
        )
    at = lambda number, i: action.low[i] + (number + 1) / 2 * (action.high[i] - action.low[i])
    if all(v == -1 for v in lows) and all(v == 1 for v in highs):
        return action
    return replace(
        action, low=tuple(at(v, i) for i, v in enumerate(lows)), high=tuple(at(v, i) for i, v in enumerate(highs))
    )


def _stored(attrs: dict) -> Interface | None:
    """The interface that a set stores. Raises UserError if it contradicts the names of the set's actions."""
    if attrs.get("interface") is None:
        return None
    found = build(Interface, attrs["interface"], "the set's attribute interface")
    names = tuple((attrs.get("action") or {}).get("names") or ())
    if names and names != found.action.names:
        raise UserError(
            f"the set's attribute interface has the actions {', '.join(found.action.names)}, but its attribute action "
            f"has {', '.join(map(str, names))}. Correct zarr.json, or record the set again."
        )
    return found


def _of_our_env(attrs: dict) -> Interface | None:
    """The interface of the environment that a set names. None if it is not ours, or if the set's names differ from
    it."""
    name, action = attrs.get("env"), attrs.get("action") or {}
    if not isinstance(name, str) or name not in envs.names():
        return None
    options = {k: v for k, v in (attrs.get("env_options") or {}).items() if k == "image_size"}
    ours = envs.make(name, render=False, **options).interface
    names, proprio = tuple(action.get("names") or ()), tuple(attrs.get("proprio_names") or ())
    if names != ours.action.names or proprio and proprio != ours.proprio.names:
        return None
    cameras = tuple(_camera(key, said or {}, ours) for key, said in (attrs.get("cameras") or {}).items())
    return replace(ours, cameras=tuple(c for c in cameras if c is not None) or ours.cameras)


def _as_recorded(ours: Interface, attrs: dict) -> Interface:
    """`ours` with the set's rate and the range of its actions. A set may be slower, and its bounds may be its
    extremes."""
    action = attrs.get("action") or {}
    low, high = (action.get(key) if action.get(key) is not None else end for key, end in (("low", -1.0), ("high", 1.0)))
    return replace(
        ours, control_hz=float(attrs.get("control_hz") or ours.control_hz), action=rescaled(ours.action, low, high)
    )


def _of_foreign(attrs: dict, dims: tuple[int, int] | None, pictures: dict) -> Interface:
    action = attrs.get("action") or {}
    wide = dims or (0, 0)
    names = [str(n) for n in action.get("names") or [f"action.{i}" for i in range(wide[1])]]
    proprio = [str(n) for n in attrs.get("proprio_names") or [f"proprio.{i}" for i in range(wide[0])]]
    width, units = len(names), str(attrs.get("proprio_units") or UNKNOWN)
    low, high = (_each(action.get(key), end, width) for key, end in (("low", -1.0), ("high", 1.0)))
    said = {key: {} for key in pictures} | {key: said or {} for key, said in (attrs.get("cameras") or {}).items()}
    cameras = tuple(_camera(key, facts | _size(pictures.get(key)), None) for key, facts in said.items())
    return Interface(
        robot=robot_name(str(attrs.get("robot") or UNKNOWN)),
        control_hz=float(attrs["control_hz"]),
        action=ActionSpec(
            names=_once(names),
            low=low,
            high=high,
            units=_said(action.get("units"), width),
            meanings=_said(action.get("meanings"), width),
        ),
        proprio=ProprioSpec(
            names=_once(proprio),
            units=(units,) * len(proprio),
            offset=(0.0,) * len(proprio),
            scale=(1.0,) * len(proprio),
        ),
        cameras=tuple(c for c in cameras if c is not None),
    )


def _camera(name: str, said: dict, ours: Interface | None) -> CameraSpec | None:
    """A set's camera. Its pose is known if our environment has a camera of that name."""
    known = next((c for c in ours.cameras if c.name == name), None) if ours else None
    width, height = said.get("width"), said.get("height")
    if known is not None:
        return replace(known, width=int(width or known.width), height=int(height or known.height))
    if not width or not height:
        return None
    fovy = said.get("fovy_deg")
    return CameraSpec(
        name=name, width=int(width), height=int(height), crop="centre", fovy_deg=float(fovy) if fovy else None
    )


def _size(shape: tuple[int, int] | None) -> dict:
    return {"height": shape[0], "width": shape[1]} if shape else {}


def _said(values, width: int) -> tuple[str, ...]:
    return (
        tuple(str(v) for v in values)
        if isinstance(values, (list, tuple)) and len(values) == width
        else (UNKNOWN,) * width
    )


def _each(values, end: float, width: int) -> tuple[float, ...]:
    values = end if values is None else values
    return tuple(float(v) for v in values) if isinstance(values, (list, tuple)) else (float(values),) * width


def _once(names: list[str]) -> tuple[str, ...]:
    """The names, with their index appended where a name occurs twice."""
    return tuple(f"{n}#{i}" if names.count(n) > 1 else n for i, n in enumerate(names))


def _lists(value):
    if isinstance(value, dict):
        return {key: _lists(v) for key, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value

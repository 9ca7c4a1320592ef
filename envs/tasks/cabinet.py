"""Cabinet: pull the top drawer of a cabinet open (PixMC's FrankaCabinet and KukaCabinet)."""

import numpy as np

from envs.tasks.task import GRIPPER_SEES, HAND_SEES, Task, effort, nearness

_SOLID = 'type="box" contype="2" conaffinity="5"'
_HANDLE = "0.305 -0.067 0.01 0.305 0.067 0.01"
_POSTS = ("0.265 0.07 0.01 0.302 0.07 0.01", "0.265 -0.07 0.01 0.302 -0.07 0.01")
_PROPS = tuple((x, y) for y in (-0.045, 0.045) for x in (-0.045, 0.045))
_PROP_Z_M = -0.018
"""Height of a prop that lies on the drawer's floor, drawer frame."""


class Cabinet(Task):
    """A cabinet 0.76 × 0.63 × 0.8 m in front of the robot, without a table; its top drawer slides out by 0.4 m.

    Our own boxes with the dimensions of PixMC's sektion cabinet. The drawer's frame is at (0.0515, 0, 0.3172) in the
    cabinet's, the handle (a horizontal bar, 0.15 m long and 16 mm thick) at (0.305, 0, 0.01) in the drawer's. The
    joint's damping is 10, and four props of 0.08 m and density 400 lie in the drawer. Reset: cabinet at (0.05, 0, 0.45)
    ± (0.075, 0.075, 0.05), drawer shut. Success: the drawer is open by 0.32 m and both fingertips are within 0.04 m of
    the handle for 10 consecutive steps. For the Allegro hand the drawer alone counts, as in PixMC's code.
    """

    name = "cabinet"
    table_z_m = 0.0
    cabinet_m = (0.05, 0.0, 0.45)
    cabinet_range_m = (0.075, 0.075, 0.05)
    travel_m = 0.4
    opened_m = 0.32
    privileged_names = (*GRIPPER_SEES, "handle (3)", "left to handle (3)", "right to handle (3)", "drawer to go (1)")
    finger_weights = (0.06, 0.06)
    """Weight of each finger's nearness in the reward, in the order of `Robot.finger_bodies`."""
    nearness_m = 0.016
    """c in a finger's nearness 1/(c + d)."""
    around_weight = 1.0
    """Weight for a handle whose height is between the heights of the two opposed fingers."""
    pose_weight = 3.0
    """Weight of the opening while the fingers are at the handle with the handle between them."""
    opposed = (0, 1)
    """The two fingers that close on the handle from both sides, in the order of `Robot.finger_bodies`."""
    at_handle_m = 0.04
    """A fingertip nearer than this is at the handle."""
    needs_fingers = True
    """Whether success requires both opposed fingers at the handle."""
    _hands = {
        "parallel": {},
        "allegro": dict(
            finger_weights=(0.04, 0.04, 0.04, 0.08),
            nearness_m=0.04,
            around_weight=0.0,
            pose_weight=0.0,
            opposed=(0, 3),
            needs_fingers=False,
            privileged_names=(*HAND_SEES, "handle (3)", "fingertips to handle (4 × 3)", "drawer to go (1)"),
        ),
    }
    _homes_rad = {
        "franka": (0.0, -0.97, 0.0, -2.2, 0.0, 2.45, -0.785),
        "kuka_gripper": (0.0, -0.66, 0.0, -1.8, 0.0, 0.68, -1.57),
        "kuka": (0.0, -0.75, 0.0, -1.54, 0.0, 0.57, 0.0),
    }
    painted = {
        **{name: ("table_rgb", (0.85, 0.85, 0.85)) for name in ("doors", "left", "right", "top", "back")},
        "front": ("table_rgb", (0.55, 0.55, 0.55)),
        "handle": ("object_rgb", None),
        **{f"post{i}": ("object_rgb", None) for i in range(2)},
        **{f"prop{i}": ("object_rgb", (0.8, 0.5, 0.2)) for i in range(len(_PROPS))},
    }

    @classmethod
    def mjcf(cls) -> str:
        props = "\n".join(
            f'<body name="prop{i}" pos="{0.1015 + x} {y} {0.7672 + _PROP_Z_M}"><freejoint name="prop{i}"/>'
            f'<geom name="prop{i}" type="box" size="0.04 0.04 0.04" density="400" contype="12" '
            f'conaffinity="11"/></body>'
            for i, (x, y) in enumerate(_PROPS)
        )
        return f"""
<body name="cabinet" mocap="true" pos="0.05 0 0.45">
  <geom name="doors" {_SOLID} pos="0 0 -0.085" size="0.316 0.38 0.315" material="table"/>
  <geom name="left" {_SOLID} pos="0 0.371 0.315" size="0.316 0.009 0.085" material="table"/>
  <geom name="right" {_SOLID} pos="0 -0.371 0.315" size="0.316 0.009 0.085" material="table"/>
  <geom name="top" {_SOLID} pos="0 0 0.409" size="0.316 0.38 0.009" material="table"/>
  <geom name="back" {_SOLID} pos="-0.307 0 0.315" size="0.009 0.362 0.085" material="table"/>
  <body name="drawer" pos="0.0515 0 0.3172">
    <inertial mass="3" pos="0 0 -0.03" diaginertia="0.2 0.1 0.2"/>
    <joint name="drawer" type="slide" axis="1 0 0" range="0 {cls.travel_m}" limited="true" damping="10"/>
    <geom name="front" {_SOLID} pos="0.2555 0 0.005" size="0.009 0.355 0.076" material="table"/>
    <geom name="floor_of_drawer" {_SOLID} pos="-0.02 0 -0.064" size="0.27 0.345 0.006"/>
    <geom name="side0" {_SOLID} pos="-0.02 0.339 -0.013" size="0.27 0.006 0.045"/>
    <geom name="side1" {_SOLID} pos="-0.02 -0.339 -0.013" size="0.27 0.006 0.045"/>
    <geom name="rear" {_SOLID} pos="-0.284 0 -0.013" size="0.006 0.345 0.045"/>
    <geom name="handle" type="capsule" fromto="{_HANDLE}" size="0.008" contype="2" conaffinity="5"
          condim="4" friction="1 0.005 0.0001" solref="0.005 1" solimp="0.99 0.999 0.001" priority="1"/>
    <geom name="post0" type="capsule" fromto="{_POSTS[0]}" size="0.006" contype="2" conaffinity="5"/>
    <geom name="post1" type="capsule" fromto="{_POSTS[1]}" size="0.006" contype="2" conaffinity="5"/>
    <site name="handle" pos="0.305 0 0.01" rgba="0 0 0 0"/>
  </body>
</body>
{props}"""

    def __init__(self, model, robot, protocol):
        super().__init__(model, robot, protocol)
        self.slot = model.body("cabinet").mocapid[0]
        self.site = model.site("handle").id
        self.drawer = model.joint("drawer").qposadr[0]
        self.drawer_speed = model.joint("drawer").dofadr[0]
        self.starts = [model.joint(f"prop{i}").qposadr[0] for i in range(len(_PROPS))]

    def place(self, data, rng: np.random.Generator) -> None:
        at = np.array(self.cabinet_m) + rng.uniform(-1, 1, 3) * self.cabinet_range_m
        data.mocap_pos[self.slot], data.qpos[self.drawer] = at, 0.0
        for start, (x, y) in zip(self.starts, _PROPS):
            data.qpos[start : start + 7] = (*(at + (0.0515 + x, y, 0.3172 + _PROP_Z_M)), 1, 0, 0, 0)

    def handle(self, data) -> np.ndarray:
        """(3,) the middle of the handle, world frame, metres."""
        return data.site_xpos[self.site]

    def privileged(self, data) -> np.ndarray:
        handle = self.handle(data)
        to_go = self.travel_m - data.qpos[self.drawer]
        return np.concatenate([*self.hand_points(data), handle, *(handle - self.fingertips(data)), [to_go]])

    def good(self, data) -> bool:
        opened = bool(data.qpos[self.drawer] >= self.opened_m)
        return opened and (not self.needs_fingers or self._hold(self.fingertips(data), self.handle(data)))

    def score(self, data, action) -> float:
        return self.reward(self.fingertips(data), self.handle(data), float(data.qpos[self.drawer]), action)

    def reward(self, tips, handle, open_m: float, action) -> float:
        """PixMC's: each finger's nearness, handle between the fingers, bonus for an open drawer, opening, opening in
        the right pose, bonus for a fully open drawer, action penalty."""
        near = nearness(tips, handle, self.finger_weights, self.nearness_m, 0.008)
        one, other = (tips[i][2] - handle[2] for i in self.opposed)
        around = 0.5 * (one * other < 0)
        pose = around * self._hold(tips, handle) * open_m * 2
        return float(
            near
            + self.around_weight * around
            + 2 * 0.5 * (open_m > 0.01)
            + 6 * open_m
            + self.pose_weight * pose
            + 2 * 0.5 * (self.travel_m - open_m <= 0.1)
            - effort(action)
        )

    def _hold(self, tips, handle) -> bool:
        return bool((np.linalg.norm(tips - handle, axis=1)[list(self.opposed)] < self.at_handle_m).all())

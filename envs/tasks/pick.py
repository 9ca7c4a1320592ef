"""Pick: lift a cube from the table (PixMC's FrankaPick and KukaPick; MVP, arXiv 2203.06173, TASKS.md and its code)."""

import mujoco
import numpy as np

from envs.tasks.task import GRIPPER_SEES, HAND_SEES, TABLE, TABLE_Z_M, Task, effort, nearness


class Pick(Task):
    """A table 0.6 × 1.0 × 0.4 m, the robot's base 0.5 m behind its middle, a 45 mm cube on it (60 mm for the Allegro hand).

    Reset: cube at x 0.5 ± 0.1, y ± 0.2 (PixMC's ranges), yaw at random at the real-arm protocol and 0 at PixMC's; arm
    at home ± 0.125 rad a joint. Success: the cube's centre within 0.1 m of 0.4 m above the table (|z - 0.8| ≤ 0.1)
    for 0.5 s at the real-arm protocol, where the episode then ends; for 10 consecutive steps at PixMC's, where it runs
    on until time is up, an arm link touches anything with more than 1 N, or the cube falls below the table.
    """

    name = "pick"
    half_m = 0.0225
    goal_z_m = 0.8
    goal_tolerance_m = 0.1
    lift_point_m = (0.60, 0.0, 0.77)
    """Where an expert carries the cube, world frame: 0.03 m below the goal height, where the arm still reaches well."""
    privileged_names = (*GRIPPER_SEES, "cube (3)", "left to cube (3)", "right to cube (3)", "height to go (1)")
    _finger_weights = (0.08, 0.08)
    """Weight of each finger's nearness in the reward, in the order of `Robot.finger_bodies`."""
    _nearest_m = 0.02
    """Nearer than this pays no more."""
    _lifted_m = 0.015
    """Rise of the cube that counts as lifted."""
    _bonus_m = 0.04
    """Distance from the goal that pays the bonus."""
    _fallen_m = 0.04
    """A cube this far below the table's surface has fallen off."""
    _touch = 'solref="0.01 1" solimp="0.95 0.99 0.001"'
    """How hard the cube is to the touch."""
    _hands = {
        "parallel": {},
        "allegro": dict(
            half_m=0.03,
            _finger_weights=(0.04, 0.04, 0.04, 0.08),
            _nearest_m=0.03,
            _lifted_m=0.02,
            _bonus_m=0.06,
            _fallen_m=0.06,
            privileged_names=(*HAND_SEES, "cube (3)", "fingertips to cube (4 × 3)", "height to go (1)"),
        ),
    }
    painted = {"table": ("table_rgb", None), "object": ("object_rgb", None)}

    @classmethod
    def mjcf(cls) -> str:
        return f"""{TABLE}
<body name="object" pos="0.5 0 {TABLE_Z_M + cls.half_m}">
  <freejoint name="object"/>
  <geom name="object" type="box" size="{cls.half_m} {cls.half_m} {cls.half_m}" density="1000" condim="4"
        friction="1 0.005 0.0001" {cls._touch} contype="4" conaffinity="3"/>
</body>"""

    def __init__(self, model: mujoco.MjModel, robot, protocol):
        super().__init__(model, robot, protocol)
        self.body = model.body("object").id
        self.geom = model.geom("object").id
        self.start = model.joint("object").qposadr[0]

    def place(self, data, rng: np.random.Generator) -> None:
        x, y = 0.5 + rng.uniform(-0.1, 0.1), rng.uniform(-0.2, 0.2)
        yaw = rng.uniform(-np.pi, np.pi) if self.protocol.random_yaw else 0.0
        data.qpos[self.start : self.start + 7] = (
            x,
            y,
            self.table_z_m + self.half_m,
            np.cos(yaw / 2),
            0,
            0,
            np.sin(yaw / 2),
        )

    def privileged(self, data) -> np.ndarray:
        """What PixMC's oracle adds to proprio, (16,) or (31,), plus the cube's rotation (first two columns, 6) at the
        real-arm protocol, where its yaw is random."""
        cube = data.xpos[self.body]
        parts = [*self.hand_points(data), cube, *(cube - self.fingertips(data)), [self.goal_z_m - cube[2]]]
        return np.concatenate(parts + self._rotation(data))

    def _rotation(self, data) -> list[np.ndarray]:
        return [data.xmat[self.body].reshape(3, 3)[:, :2].T.reshape(-1)] if self.protocol.random_yaw else []

    def good(self, data) -> bool:
        return abs(self.goal_z_m - data.xpos[self.body][2]) <= self.goal_tolerance_m

    def lost(self, data) -> bool:
        return data.xpos[self.body][2] < self.table_z_m - self._fallen_m

    def score(self, data, action) -> float:
        return self.reward(self.fingertips(data), data.xpos[self.body], action)

    def reward(self, tips, cube, action) -> float:
        """PixMC's: each finger's nearness 1/(0.04+d), lift bonus, height, height bonus, action penalty."""
        return self._paid(tips, cube, abs(self.goal_z_m - cube[2]), action)

    def _paid(self, tips, cube, to_goal_m: float, action) -> float:
        lifted = cube[2] - (self.table_z_m + self.half_m) > self._lifted_m
        return float(
            nearness(tips, cube, self._finger_weights, 0.04, self._nearest_m)
            + 4 * 0.5 * lifted
            + 1.28 * lifted / (0.04 + to_goal_m)
            + 4 * 0.5 * (to_goal_m <= self._bonus_m)
            - effort(action)
        )


class CubePick(Pick):
    """`Pick` as it is judged beside a real arm: the cube clear of the table and in the hand for half a second.

    Success: the cube's centre 0.1 to 0.3 m above the table for 0.5 s (a cube thrown into that band falls out of it
    within 0.41 s). Rewards as PixMC's, with the goal in the middle of the band. Cube, table, ranges and yaw are
    `Pick`'s: the paper varies position and orientation over 16 trials and publishes no ranges (Sec. 4.6).
    """

    name = "cube"
    goal_z_m = 0.6
    lift_point_m = (0.55, 0.0, 0.6)
    protocols = ("deployment",)

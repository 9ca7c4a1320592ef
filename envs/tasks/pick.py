"""Pick: lift a cube from the table (PixMC's FrankaPick and KukaPick; MVP, arXiv 2203.06173, TASKS.md and its code)."""

import mujoco
import numpy as np

from envs.tasks.task import GRIPPER_SEES, HAND_SEES, TABLE, TABLE_Z_M, Task, effort, nearness


class Pick(Task):
    """A table 0.6 × 1.0 × 0.4 m, the robot's base 0.5 m behind its middle, a 45 mm cube on it (60 mm for the Allegro
    hand).

    Reset: cube at x 0.5 ± 0.1, y ± 0.2 (PixMC's ranges). Its yaw is random in the real-arm protocol and 0 in PixMC's.
    Each arm joint is at home ± 0.125 rad. Success: the cube's centre is within 0.1 m of 0.4 m above the table (|z -
    0.8| ≤ 0.1). In the real-arm protocol this has to hold for 0.5 s, and then the episode ends. In PixMC's it has to
    hold for 10 consecutive steps, and the episode continues until time is up, an arm link touches anything with more
    than 1 N, or the cube falls below the table.
    """

    name = "pick"
    half_m = 0.0225
    goal_z_m = 0.8
    goal_tolerance_m = 0.1
    lift_point_m = (0.60, 0.0, 0.77)
    """Where an expert carries the cube, world frame: 0.03 m below the goal height, where the arm still reaches well."""
    privileged_names: tuple[str, ...] = (
        *GRIPPER_SEES,
        "cube (3)",
        "left to cube (3)",
        "right to cube (3)",
        "height to go (1)",
    )
    _finger_weights = (0.08, 0.08)
    """Weight of each finger's nearness in the reward, in the order of `Robot.finger_bodies`."""
    _nearest_m = 0.02
    """Below this distance the reward does not increase."""
    _lifted_m = 0.015
    """A cube that has risen by this much counts as lifted."""
    _bonus_m = 0.04
    """Within this distance of the goal there is a bonus."""
    _fallen_m = 0.04
    """A cube this far below the table's surface has fallen off."""
    _touch = 'solref="0.01 1" solimp="0.95 0.99 0.001"'
    """Hardness of the cube's contacts."""
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
        """What PixMC's oracle adds to proprio, (16,) or (31,). In the real-arm protocol, where the yaw is random, the
        first two columns of the cube's rotation (6) follow."""
        cube = data.xpos[self.body]
        parts = [*self.hand_points(data), cube, *(cube - self.fingertips(data)), [self.goal_z_m - cube[2]]]
        return np.concatenate(parts + self._rotation(data))

    def _rotation(self, data) -> list[np.ndarray]:
        return [data.xmat[self.body].reshape(3, 3)[:, :2].T.reshape(-1)] if self.protocol.random_yaw else []

    def good(self, data) -> bool:
        return bool(abs(self.goal_z_m - data.xpos[self.body][2]) <= self.goal_tolerance_m)

    def lost(self, data) -> bool:
        return bool(data.xpos[self.body][2] < self.table_z_m - self._fallen_m)

    def score(self, data, action) -> float:
        cube = data.xpos[self.body]
        return self.reward(self.fingertips(data), cube, abs(self.goal_z_m - cube[2]), action)

    def reward(self, tips, cube, to_goal_m: float, action) -> float:
        """PixMC's: each finger's nearness 1/(0.04+d), lift bonus, nearness to the goal, bonus at the goal, action
        penalty.

        `tips` (F, 3) and `cube` (3,) are in the world frame, metres; `to_goal_m` is the distance left.
        """
        lifted = cube[2] - (self.table_z_m + self.half_m) > self._lifted_m
        return float(
            nearness(tips, cube, self._finger_weights, 0.04, self._nearest_m)
            + 4 * 0.5 * lifted
            + 1.28 * lifted / (0.04 + to_goal_m)
            + 4 * 0.5 * (to_goal_m <= self._bonus_m)
            - effort(action)
        )


class CubePick(Pick):
    """`Pick` with the success of a real arm: the cube is off the table and in the hand for half a second.

    Success: the cube's centre is 0.1 to 0.3 m above the table for 0.5 s. A cube that is thrown into that band falls out
    of it within 0.41 s. The reward is PixMC's with the goal in the middle of the band. Cube, table, ranges and yaw are
    `Pick`'s: the paper varies position and orientation over 16 trials and does not publish ranges (Sec. 4.6).
    """

    name = "cube"
    goal_z_m = 0.6
    lift_point_m = (0.55, 0.0, 0.6)
    protocols = ("deployment",)

"""Move: carry a cube to a sphere in the air (PixMC's FrankaMove and KukaMove)."""

import numpy as np

from envs.tasks.pick import Pick
from envs.tasks.task import GRIPPER_SEES, HAND_SEES, Goal


class Move(Pick):
    """`Pick`'s scene with a goal sphere of radius 0.04 m that touches nothing.

    Reset: cube as in `Pick`; goal x 0.5 ± 0.1, y ± 0.2, z 0.7 ± 0.1. Success: the cube's middle is within 0.04 m of the
    goal's (the Allegro hand: 0.0675 m). In the real-arm protocol this has to hold for 0.5 s; in PixMC's once for a
    gripper, as in its code, and for 10 consecutive steps for the Allegro hand. The reward is `Pick`'s with the distance
    to the goal instead of the height.
    """

    name = "move"
    goal_m = (0.5, 0.0, 0.7)
    goal_range_m = (0.1, 0.2, 0.1)
    goal_tolerance_m = 0.04
    pixmc_success_steps = 1
    privileged_names = (
        *GRIPPER_SEES,
        "cube (3)",
        "goal (3)",
        "left to cube (3)",
        "right to cube (3)",
        "cube to goal (3)",
    )
    _hands = {
        "parallel": {},
        "allegro": Pick._hands["allegro"]
        | dict(
            goal_tolerance_m=0.0675,
            pixmc_success_steps=10,
            privileged_names=(*HAND_SEES, "cube (3)", "goal (3)", "fingertips to cube (4 × 3)", "cube to goal (3)"),
        ),
    }
    _homes_rad = {
        "franka": (0.0, -1.2, 0.0, -1.95, 0.0, 1.8, 0.785),
        "kuka_gripper": (0.0, -0.82, 0.0, -1.53, 0.0, 1.39, 0.0),
        "kuka": (-1.54, 0.44, 0.5, -0.69, 1.05, 1.74, -0.51),
    }
    painted = Pick.painted | {"goal": ("object_rgb", Goal.rgb)}

    @classmethod
    def mjcf(cls) -> str:
        return super().mjcf() + Goal.mjcf()

    def __init__(self, model, robot, protocol):
        super().__init__(model, robot, protocol)
        self.goal = Goal(model)
        if protocol.name == "pixmc":
            self.success_steps = self.pixmc_success_steps

    def place(self, data, rng: np.random.Generator) -> None:
        super().place(data, rng)
        self.goal.place(data, rng, self.goal_m, self.goal_range_m)

    def privileged(self, data) -> np.ndarray:
        """What PixMC's oracle adds to proprio, (21,) or (36,), then the cube's rotation as in `Pick`."""
        cube, goal = data.xpos[self.body], self.goal.at(data)
        parts = [*self.hand_points(data), cube, goal, *(cube - self.fingertips(data)), goal - cube]
        return np.concatenate(parts + self._rotation(data))

    def good(self, data) -> bool:
        return self._to_goal_m(data) <= self.goal_tolerance_m

    def score(self, data, action) -> float:
        return self.reward(self.fingertips(data), data.xpos[self.body], self._to_goal_m(data), action)

    def _to_goal_m(self, data) -> float:
        return float(np.linalg.norm(self.goal.at(data) - data.xpos[self.body]))

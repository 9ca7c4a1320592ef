"""Reach: bring the hand to a sphere in the air (PixMC's FrankaReach and KukaReach)."""

import numpy as np

from envs.tasks.task import TABLE, Goal, Task, effort


class Reach(Task):
    """The empty table of `Pick` and a goal sphere of radius 0.04 m that touches nothing.

    The reaching point is the middle between the fingertips of a gripper, or the tip of the Allegro hand's index finger.
    Reset: goal x 0.55 ± 0.2, y ± 0.3, z 0.7 ± 0.2 (the Allegro hand: x 0.45, z 0.65). Success: the point is within 0.04
    m of the goal's middle for 10 consecutive steps. An episode has 200 steps in PixMC's protocol: 3.3 s, as in ours.
    """

    name = "reach"
    goal_m = (0.55, 0.0, 0.7)
    goal_range_m = (0.2, 0.3, 0.2)
    goal_tolerance_m = 0.04
    privileged_names = ("q (dof)", "dq (dof)", "hand (3)", "goal (3)", "hand to goal (3)")
    reaching = (0, 1)
    """The middle of these fingers' tips has to be at the goal; the order is that of `Robot.finger_bodies`."""
    _share_of_horizon = 0.4
    _hands = {"parallel": {}, "allegro": dict(goal_m=(0.45, 0.0, 0.65), reaching=(0,))}
    _homes_rad = {
        "franka": (0.0, -0.7, 0.0, -1.05, 0.0, 1.2, 0.785),
        "kuka_gripper": (0.0, -0.5, 0.0, -0.88, 0.0, 1.91, 0.0),
        "kuka": (0.0, -1.0, 0.0, -1.55, 0.0, 1.0, 0.0),
    }
    painted = {"table": ("table_rgb", None), "goal": ("object_rgb", Goal.rgb)}

    @classmethod
    def mjcf(cls) -> str:
        return TABLE + Goal.mjcf()

    def __init__(self, model, robot, protocol):
        super().__init__(model, robot, protocol)
        self.goal = Goal(model)

    def place(self, data, rng: np.random.Generator) -> None:
        self.goal.place(data, rng, self.goal_m, self.goal_range_m)

    def hand(self, data) -> np.ndarray:
        """(3,) the reaching point, world frame, metres."""
        return self.fingertips(data)[list(self.reaching)].mean(axis=0)

    def privileged(self, data) -> np.ndarray:
        hand, goal = self.hand(data), self.goal.at(data)
        return np.concatenate([hand, goal, goal - hand])

    def good(self, data) -> bool:
        return self._to_goal_m(data) <= self.goal_tolerance_m

    def score(self, data, action) -> float:
        return self.reward(self._to_goal_m(data), action)

    def _to_goal_m(self, data) -> float:
        return float(np.linalg.norm(self.goal.at(data) - self.hand(data)))

    def reward(self, to_goal_m: float, action) -> float:
        """PixMC's: nearness, bonus, action penalty."""
        return float(0.08 / (0.04 + to_goal_m) + 0.4 * 0.5 * (to_goal_m <= self.goal_tolerance_m)) - effort(action)

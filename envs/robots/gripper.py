"""An open/close gripper: one command a step, with hysteresis, at the speed of the real hand."""

import numpy as np

from envs.robots.robot import Robot

HYSTERESIS = 0.2


class Gripper:
    """Commands in [-1, 1]: above 0.2 opens, below -0.2 closes, between them the last command holds.

    `advance(rate_hz)` moves the fingers' common set-point (metres of one finger) towards the command.
    """

    def __init__(self, robot: Robot):
        self.range_m, self.speed_m_s = robot.finger_range_m, robot.gripper_speed_m_s
        self.reset()

    def reset(self) -> float:
        """Open, as a real gripper starts; returns the set-point."""
        self.opening, self.finger_m = True, self.range_m[1]
        return self.finger_m

    def command(self, value: float) -> None:
        if abs(value) > HYSTERESIS:
            self.opening = bool(value > 0)

    def advance(self, rate_hz: float) -> float:
        """The set-point one period later; called `rate_hz` times a second."""
        goal, reach = self.range_m[int(self.opening)], self.speed_m_s / rate_hz
        self.finger_m += float(np.clip(goal - self.finger_m, -reach, reach))
        return self.finger_m

    def state(self) -> np.ndarray:
        """(2,); `restore` takes it back exactly."""
        return np.array([self.opening, self.finger_m], np.float64)

    def restore(self, state) -> None:
        self.opening, self.finger_m = bool(state[0]), float(state[1])

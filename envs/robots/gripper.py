"""An open/close command: one number a step, with hysteresis, at the speed of the real hand."""

import numpy as np

from envs.robots.robot import Robot

HYSTERESIS = 0.2


class Gripper:
    """Commands in [-1, 1]: above 0.2 opens, below -0.2 closes, between them the last command holds.

    One number, the opening, moves towards the command. It is the travel of one finger in metres for a parallel gripper,
    and the place on the line from the closed (0) to the open posture (1) for a multi-finger hand.
    """

    def __init__(self, robot: Robot):
        self.robot = robot
        self.range, self.speed_per_s = robot.stroke()
        self.reset()

    def reset(self) -> np.ndarray:
        """Opens, as a real gripper starts. Returns the finger joints' set-points (F,)."""
        self.opening, self.place = True, self.range[1]
        return self.robot.fingers_at(self.place)

    def command(self, value: float) -> None:
        if abs(value) > HYSTERESIS:
            self.opening = bool(value > 0)

    def advance(self, rate_hz: float) -> np.ndarray:
        """The finger joints' set-points (F,) one period later. It is called `rate_hz` times a second."""
        goal, reach = self.range[int(self.opening)], self.speed_per_s / rate_hz
        self.place += float(np.clip(goal - self.place, -reach, reach))
        return self.robot.fingers_at(self.place)

    def state(self) -> np.ndarray:
        """(2,). `restore` restores it exactly."""
        return np.array([self.opening, self.place], np.float64)

    def restore(self, state) -> None:
        self.opening, self.place = bool(state[0]), float(state[1])

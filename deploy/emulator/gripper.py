"""The Franka Hand behind its server: homing, move, grasp and stop, one millisecond at a time."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deploy.emulator.plant import DT_S
from deploy.emulator.wire import GripperReply

MAX_WIDTH_M, MAX_SPEED_M_S, MAX_FORCE_N = 0.08, 0.2, 40.0
HOMING_M_S = 0.05
STILL_MS = 60
"""If the fingers have not moved for this time, they have arrived or something stops them."""
STILL_M = 2e-5
"""A smaller movement in a millisecond counts as none: 2 cm/s."""


@dataclass
class _Task:
    """A running command. `reply` takes its status."""

    goals_m: list[float]
    speed_m_s: float
    force_n: float
    done: Callable[[float], GripperReply]
    reply: Callable[[GripperReply], None]


class Hand:
    """The Franka Hand. Widths are between the fingers, in metres. `finger_kp` is the stiffness of a finger's servo,
    N/m.

    The next `fail_next` commands fail without a movement, as an injected fault.
    """

    def __init__(self, finger_kp: float):
        self.kp = finger_kp
        self.commands = self.fail_next = 0
        self.set_point_m, self.force_n = MAX_WIDTH_M / 2, MAX_FORCE_N
        self.grasped, self._still_ms, self._width = False, 0, MAX_WIDTH_M
        self.task: _Task | None = None

    def place(self, width_m: float) -> None:
        """Sets the fingers at rest at a width, holding nothing."""
        self.set_point_m, self.force_n = width_m / 2, MAX_FORCE_N
        self.grasped, self.task, self._still_ms, self._width = False, None, 0, width_m

    def homing(self, reply) -> None:
        """Closes and opens, as a real hand does to measure its greatest width."""
        self._start(_Task([0.0, MAX_WIDTH_M / 2], HOMING_M_S, MAX_FORCE_N, lambda width: GripperReply.SUCCESS, reply))

    def move(self, width_m: float, speed_m_s: float, reply) -> None:
        """Moves to `width_m`. It is unsuccessful if something keeps the fingers more than 5 mm away from it."""
        if not 0 <= width_m <= MAX_WIDTH_M + 1e-6 or not 0 < speed_m_s < math.inf:
            return self._refuse(reply)
        there = lambda width: GripperReply.SUCCESS if abs(width - width_m) < 0.005 else GripperReply.UNSUCCESSFUL
        self._start(_Task([width_m / 2], speed_m_s, MAX_FORCE_N, there, reply))

    def grasp(self, width_m: float, speed_m_s: float, force_n: float, inner_m: float, outer_m: float, reply) -> None:
        """Closes until something stops the fingers, and keeps pressing. It counts as a grasp if the width is then
        between `width_m - inner_m` and `width_m + outer_m`."""
        ordinary = all(0 < number < math.inf for number in (speed_m_s, force_n))
        if (
            not 0 <= width_m <= MAX_WIDTH_M
            or not ordinary
            or not 0 <= min(inner_m, outer_m) <= max(inner_m, outer_m) < math.inf
        ):
            return self._refuse(reply)
        force_n = min(force_n, MAX_FORCE_N)

        def done(width: float) -> GripperReply:
            self.grasped = width_m - inner_m < width < width_m + outer_m
            return GripperReply.SUCCESS if self.grasped else GripperReply.UNSUCCESSFUL

        # A set-point below zero: the servo presses with `force_n` when the fingers are closed.
        self._start(_Task([-force_n / self.kp], speed_m_s, force_n, done, reply))

    def stop(self) -> None:
        """Ends the running command, with a reply to its client, where the fingers are. A grasp goes on."""
        if self.task is not None:
            self.task.reply(GripperReply.ABORTED)
            self.task = None
            self.set_point_m = self._width / 2

    def _start(self, task: _Task) -> None:
        self.commands += 1
        if self.fail_next:
            self.fail_next -= 1
            return task.reply(GripperReply.FAIL)
        self.stop()
        self.task, self.grasped, self.force_n, self._still_ms = task, False, task.force_n, 0

    def _refuse(self, reply) -> None:
        self.commands += 1
        reply(GripperReply.FAIL)

    def advance(self, width_m: float) -> float:
        """A finger's set-point (m) for the next millisecond, from the present width."""
        moved, self._width = abs(width_m - self._width), width_m
        if self.task is None:
            return self.set_point_m
        goal, reach = self.task.goals_m[0], min(self.task.speed_m_s, MAX_SPEED_M_S) / 2 * DT_S
        self.set_point_m += float(np.clip(goal - self.set_point_m, -reach, reach))
        self._still_ms = self._still_ms + 1 if moved < STILL_M else 0
        if self._still_ms >= STILL_MS and self.set_point_m == goal:
            self._still_ms = 0
            self.task.goals_m.pop(0)
            if not self.task.goals_m:
                task, self.task = self.task, None
                task.reply(task.done(width_m))
        return self.set_point_m

"""Turns a policy's actions into set-points that are inside every limit. There is no other way from actions to
set-points.

The scene's own limiter and interpolation (`envs/robots/control.py`) make the set-points, so a policy meets the limits
that it was trained with. The gate adds two things that a scene does not have. Before it accepts a command, it computes
the path on which the arm would brake from it. Unless the whole path is inside the envelope, the increment is shortened
to a half, a quarter, or nothing. Braking is therefore always possible: the braking path was checked with the last
accepted command. And an arm that presses on something yields before a collision threshold stops it.
"""

from dataclasses import dataclass, replace

import numpy as np

from deploy.control import safety
from envs.robots.control import SERVO_DT_S, ArmController
from envs.robots.gripper import HYSTERESIS
from envs.robots.limits import JointLimiter, JointLimits
from envs.robots.robot import Robot

SHARES = (1.0, 0.5, 0.25)
MARGIN_M = 0.004
"""Extra room for the braking path, because the set-points round off the corners of the commands' path."""


@dataclass(frozen=True)
class Command:
    """The result of one control period."""

    points_rad: np.ndarray
    """(period / 1 ms, J) set-points."""
    applied: np.ndarray
    """(J + 1,) the action that was applied, in the policy's units. The gripper's part is -1 or 1."""
    close: bool
    """Whether the gripper closes."""
    limited: str
    """Why the action was shortened or refused. Empty for an unchanged action."""
    breach: str = ""
    """Why nothing may be sent, because the set-points would be outside the limits. Empty in all other cases."""


class Gate:
    """The commands of one arm. `speed` scales the policy's increments and the limits on speed, acceleration and jerk. 1
    is the speed of training."""

    def __init__(
        self,
        robot: Robot,
        limits: JointLimits,
        envelope: safety.Envelope,
        *,
        period_s: float,
        max_step_rad: float,
        max_lead_rad: float,
        speed: float = 1.0,
        margin_rad: float = 0.05,
    ):
        self.robot, self.envelope, self.max_step_rad = robot, envelope, speed * max_step_rad
        self.limits = safety.share_of(limits, speed, margin_rad)
        arm = replace(robot, limits=self.limits)
        self.controller = ArmController(arm, period_s, max_lead_rad)
        self.braking = JointLimiter(self.limits, period_s)
        self.joints = len(robot.arm_joints)
        self.sent_rad = np.zeros((3, self.joints))
        """(3, J) the last three set-points."""
        self.closed = False
        self.reset(np.array(robot.q_home_rad))

    def reset(self, q_rad) -> None:
        """Starts at rest at `q_rad` (J,), the gripper open."""
        self.controller.reset(q_rad)
        self.sent_rad = np.tile(self.controller.limiter.q_rad, (3, 1))
        self.closed = False

    def command(self, action, q_rad: np.ndarray, contact: safety.Contact = safety.Contact()) -> Command:
        """The next period's command, from an action (J + 1,) or None to slow down, the measured joints (J,) and the
        contact."""
        # The wanted action. An action that can't be sent counts as none.
        limited = "" if action is None else safety.refuse_action(action, self.joints + 1) or ""
        wanted = np.zeros(self.joints + 1)
        if action is not None and not limited:
            wanted = np.asarray(action, np.float64)
            self.closed = safety.closes(wanted[-1], self.closed, HYSTERESIS)
        before, start = self.controller.state(), self.controller.limiter.q_rad
        increment = self.max_step_rad * wanted[:-1]
        # An arm that presses on something presses no harder.
        if contact.share > safety.TOUCH:
            softer = safety.yielding(increment, start - q_rad, contact, self.controller.impedance.k)
            if softer is not increment:
                increment = np.clip(softer, -self.max_step_rad, self.max_step_rad)
                limited = limited or f"yields to a contact at {contact.share:.0%} of the collision threshold"
        # The largest share of the increment from which the arm can brake inside the envelope, or slowing down.
        for share in SHARES if increment.any() else ():
            points = self.controller.command(share * increment, q_rad)
            why = self.envelope.refuse(self._braking_path(start), MARGIN_M)
            if why is None:
                break
            limited = why
            self.controller.restore(before)
        else:
            points = self.controller.command(np.zeros(self.joints), q_rad)
        step = (self.controller.limiter.q_rad - start) / self.max_step_rad
        return Command(
            points, np.append(step, -1.0 if self.closed else 1.0), self.closed, limited, self._breach(points)
        )

    def _braking_path(self, start: np.ndarray) -> np.ndarray:
        """(N, J) from the last command through the new one to where the arm would stop, with the points half-way
        between."""
        self.braking.restore(self.controller.limiter.state())
        points = [start, self.braking.q_rad]
        while np.abs(self.braking.dq_rad_s).max() > 1e-9:
            points.append(self.braking.step(self.braking.q_rad))
        path = np.array(points)
        return np.concatenate([path[1:], (path[1:] + path[:-1]) / 2])

    def _breach(self, points: np.ndarray) -> str:
        why = safety.refuse_set_points(self.sent_rad, points, self.limits, SERVO_DT_S)
        self.sent_rad = np.vstack([self.sent_rad, points])[-3:]
        return why or ""


def minimum_jerk(start_rad, end_rad, limits: JointLimits, dt_s: float = SERVO_DT_S) -> np.ndarray:
    """(N, J) set-points from rest at `start_rad` to rest at `end_rad` inside `limits`. All joints move in the same
    time.

    The path is 10τ³ - 15τ⁴ + 6τ⁵ (Flash and Hogan 1985). Its greatest speed, acceleration and jerk are 15/8 Δ/T, 10/√3
    Δ/T² and 60 Δ/T³. T is the shortest time for which no joint exceeds a limit.
    """
    start, end = np.asarray(start_rad, np.float64), np.asarray(end_rad, np.float64)
    way = np.abs(end - start)
    times = [
        1.875 * way / limits.dq_max_rad_s,
        np.sqrt(10 / np.sqrt(3) * way / limits.ddq_max_rad_s2),
        np.cbrt(60 * way / limits.dddq_max_rad_s3),
    ]
    path = _minimum_jerk(start, end, int(np.ceil(np.max(times) / dt_s)) + 1)
    # Near an end an arm may allow less speed. A longer time makes all speeds smaller in the same ratio. If the arm
    # allows no speed at all, this does not help and the path stays as it is.
    low, high = limits.speeds_rad_s(path)
    dq = np.diff(path, axis=0, prepend=start[None]) / dt_s
    slower = np.max(np.maximum(dq / np.maximum(high, 1e-6), dq / np.minimum(low, -1e-6)))
    return _minimum_jerk(start, end, int(np.ceil(1.01 * slower * len(path)))) if 1 < slower < 100 else path


def _minimum_jerk(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    tau = (np.arange(1, steps + 1) / steps)[:, None]
    return start + (end - start) * tau**3 * (10 - 15 * tau + 6 * tau**2)

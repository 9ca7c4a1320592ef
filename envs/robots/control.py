"""From slow joint targets to 1 kHz torques: one limiter, one interpolation and one control law, for every arm.

The deployment scene commands its arm through `ArmController`. A loop that drives a real arm can use it too, because it
needs numpy and a `Robot` and no simulator:

    controller = ArmController(FRANKA, period_s=0.1, max_lead_rad=0.2)
    controller.reset(q_rad)
    every 0.1 s:  for q_d_rad in controller.command(increment_rad, q_rad):       # 100 set-points
    every 1 ms:       tau_nm = controller.torque(q_d_rad, q_rad, dq_rad_s, coriolis_nm)

A loop without a new command calls `command` with zeros: the arm then slows down inside its limits and holds.
"""

import numpy as np

from envs.errors import EnvError
from envs.robots.limits import JointLimiter, JointLimits
from envs.robots.robot import Robot

SERVO_DT_S = 0.001
"""The period in which an arm takes a torque or a set-point (libfranka's 1 kHz)."""


class SetPoints:
    """Set-points between commands that come once a period, as smooth as the arm's limits require.

    They are the straight line through the commands, averaged over the last period and then over `smooth_s`.
    `JointLimiter` keeps the commands' speed v = Δq/T and acceleration Δv/T inside the limits. The speed and
    acceleration of every set-point are averages of those, so they are inside the limits too, and the jerk is below
    2·a_max/smooth_s. `smooth_s` is the shortest time for which the jerk stays below the published one (4 ms for the
    Panda). The cost is the delay `delay_s`, half of the two averaging times.
    """

    def __init__(self, limits: JointLimits, period_s: float, dt_s: float = SERVO_DT_S):
        self.count = round(period_s / dt_s)
        if self.count < 1 or abs(self.count * dt_s - period_s) > 1e-9:
            raise EnvError(f"period_s must be a whole number of servo periods of {dt_s} s, got {period_s}")
        short = max(1, int(np.ceil(np.max(2 * limits.ddq_max_rad_s2 / limits.dddq_max_rad_s3) / dt_s - 1e-9)))
        if short > self.count:
            raise EnvError(f"the jerk limits ask for averaging over {short * dt_s} s, longer than period_s={period_s}")
        self.delay_s = (self.count + short - 2) / 2 * dt_s
        kernel = np.convolve(np.ones(self.count) / self.count, np.ones(short) / short)
        # Three periods of the line through four commands, averaged: the share of each command in the last period.
        time = np.arange(1, 3 * self.count + 1) / self.count
        shares = np.maximum(1 - np.abs(time[:, None] - np.arange(4)), 0)
        self.history = np.zeros((4, len(limits.q_min_rad)))
        """(4, J) the last four commands, the newest last."""
        self.weights = np.stack([np.convolve(share, kernel)[2 * self.count : 3 * self.count] for share in shares.T], 1)

    def reset(self, q_rad) -> None:
        """Starts at rest at `q_rad` (J,)."""
        self.history = np.tile(np.asarray(q_rad, np.float64), (4, 1))

    def push(self, q_rad) -> np.ndarray:
        """(period/dt, J) set-points of the next period. The line then ends at the command `q_rad` (J,)."""
        self.history = np.vstack([self.history[1:], q_rad])
        return self.history[-1] + self.weights @ (self.history - self.history[-1])  # exact when nothing moves


class JointImpedance:
    """The torque law of libfranka's example `joint_impedance_control`: τ = K (q_d - q) - D q̇ + Coriolis.

    The torque is limited to the joints' torque limits, and then to their torque rate from the last command. It does not
    include gravity, which the arm adds itself. K and D are the robot's `impedance_k_nm_rad` and `impedance_d_nms_rad`.
    """

    def __init__(self, robot: Robot, dt_s: float = SERVO_DT_S):
        if not robot.impedance_k_nm_rad:
            raise EnvError(f"the robot {robot.name} publishes no gains for torque control (impedance_k_nm_rad)")
        self.k, self.d = np.array(robot.impedance_k_nm_rad), np.array(robot.impedance_d_nms_rad)
        self.high, self.low = robot.limits.tau_max_nm, -robot.limits.tau_max_nm
        self.reach = robot.limits.dtau_max_nm_s * dt_s
        self.tau_nm = np.zeros_like(self.k)
        """(J,) the last command."""

    def reset(self) -> None:
        """Starts from zero torque, as an arm that holds itself."""
        self.tau_nm = np.zeros_like(self.k)

    def torque(self, q_d_rad, q_rad, dq_rad_s, coriolis_nm) -> np.ndarray:
        """The torque to command in this servo period, N·m (J,). Each argument is (J,)."""
        tau = self.k * (q_d_rad - q_rad) - self.d * dq_rad_s + coriolis_nm
        tau = np.minimum(np.maximum(tau, self.low), self.high)  # np.clip takes five times as long
        self.tau_nm = np.minimum(np.maximum(tau, self.tau_nm - self.reach), self.tau_nm + self.reach)
        return self.tau_nm


class ArmController:
    """Turns joint increments, one a period, into torques, one a servo period; see the module's docstring.

    `max_lead_rad` is how far a command may be ahead of the measured joints, as with an impedance controller's error
    clip.
    """

    def __init__(self, robot: Robot, period_s: float, max_lead_rad: float):
        self.joints, self.max_lead_rad = len(robot.arm_joints), max_lead_rad
        self.limiter = JointLimiter(robot.limits, period_s)
        self.set_points = SetPoints(robot.limits, period_s)
        self.impedance = JointImpedance(robot)
        self.torque = self.impedance.torque
        self.reset((self.limiter.low + self.limiter.high) / 2)

    @property
    def lag_s(self) -> np.ndarray:
        """(J,) seconds by which a joint is behind a command at constant speed: the interpolation's delay plus D/K."""
        return self.set_points.delay_s + self.impedance.d / self.impedance.k

    def reset(self, q_rad) -> None:
        """Starts at rest at `q_rad` (J,)."""
        self.limiter.reset(q_rad)
        self.set_points.reset(self.limiter.q_rad)
        self.impedance.reset()

    def command(self, increment_rad, q_rad) -> np.ndarray:
        """(period/dt, J) set-points of the next period, from the wanted increment (J,) of the last command and the
        measured joints (J,)."""
        wanted = self.limiter.q_rad + increment_rad
        wanted = np.clip(wanted, q_rad - self.max_lead_rad, q_rad + self.max_lead_rad)
        return self.set_points.push(self.limiter.step(wanted))

    def state(self) -> np.ndarray:
        """(7J,). `restore` restores it exactly."""
        return np.concatenate([self.limiter.state(), self.set_points.history.reshape(-1), self.impedance.tau_nm])

    def restore(self, state) -> None:
        parts = np.split(np.array(state, np.float64), [2 * self.joints, 6 * self.joints])
        self.limiter.restore(parts[0])
        self.set_points.history = parts[1].reshape(4, self.joints)
        self.impedance.tau_nm = parts[2]

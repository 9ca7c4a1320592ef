"""A Franka arm's controller: it follows a client's commands, checks them, and stops when one is wrong.

It is pure: `tick` takes the newest command and the measured state of one millisecond and gives torques, without
sockets, clock or simulator. The checks and their names are those of Franka's control interface documentation. The
tolerances below are our own where Franka publishes none.
"""

from collections.abc import Callable

import numpy as np

from deploy.emulator import ranges
from deploy.emulator.plant import DT_S, Sensed
from deploy.emulator.wire import ERRORS, Control, Generator, MoveRequest, MoveStatus, Reply, RobotMode
from envs.robots.limits import JointLimits

LOST_IN_A_ROW = 20
"""This many lost packets in a row end a motion."""
START_GRACE_MS = 100
"""The longest time that a motion waits for its first command."""
RECOVERY_MS = 2
"""Duration of automatic error recovery. A real arm needs 0.4 to 16 s."""
START_RAD = 1e-3
"""The largest distance of the first commanded position from the desired one."""
DQ_EPS_RAD_S, DDQ_EPS_RAD_S2, DDDQ_EPS_RAD_S3 = 1e-3, 0.5, 1000.0
"""Tolerances on the limits. The state of protocol 10 rounds positions to 32-bit floats (2.4e-7 rad), and a command that
is computed from it may exceed the limits by this much."""
TAU_EPS_NM = 1e-3
JOINT_STIFFNESS_NM_RAD = (3000, 3000, 3000, 2500, 2500, 2000, 2000)
"""The default; libfranka's examples set the same."""
TAU_THRESHOLD_NM, FORCE_THRESHOLD = (20.0,) * 7, (20.0,) * 6
"""The defaults; libfranka's examples set the same."""
ANSWERED = (1 << 100) - 1
"""The answers to the last 100 states as bits: all came."""


class Controller:
    """An arm's controller at rest at `q_rad` (7,). `damping_nms_rad` (7,) belongs to `JOINT_STIFFNESS_NM_RAD`.

    With `enforce_timing` 20 late commands in a row end a motion. Without it only commands that the network lost count
    (`tick`'s `lost`).
    """

    def __init__(self, limits: JointLimits, q_rad: np.ndarray, damping_nms_rad, enforce_timing: bool = True):
        self.limits, self.enforce_timing = limits, enforce_timing
        self.damping = np.asarray(damping_nms_rad, np.float64)
        self.errors, self.last_motion_errors = np.zeros(41, bool), np.zeros(41, bool)
        self.user_stopped = self.guiding = False
        self.recovering_ms = 0
        self.motion: MoveRequest | None = None
        """The running motion."""
        self.ended: MoveStatus | None = None
        """How the last motion ended, until somebody takes it."""
        self.violations: list[str] = []
        self.lost_packets = self.reflexes = self.motions = 0
        self.settings = {
            "joint_stiffness": np.array(JOINT_STIFFNESS_NM_RAD, np.float64),
            "m_load": np.zeros(1),
            "F_x_Cload": np.zeros(3),
            "I_load": np.zeros(9),
            "EE_T_K": np.eye(4).ravel(),
            "NE_T_EE": np.eye(4).ravel(),
        }
        for phase in ("acceleration", "nominal"):
            for side in ("lower", "upper"):
                self.settings[f"tau_{side}_{phase}"] = np.array(TAU_THRESHOLD_NM)
                self.settings[f"force_{side}_{phase}"] = np.array(FORCE_THRESHOLD)
        # The desired motion and torque, and what was measured in this millisecond, (7,) each.
        self.q_d, self.dq_d, self.ddq_d = np.array(q_rad, np.float64), np.zeros(7), np.zeros(7)
        self.tau_d = np.zeros(7)
        self._q, self._dq = self.q_d, self.dq_d
        # The running motion: its age, its answers, and its planner if it is asynchronous.
        self._age_ms = self._lost_in_a_row = self._history = 0
        self._answered = self._first = False
        self._planner: Planner | None = None

    def place(self, q_rad: np.ndarray) -> None:
        """Sets the arm at rest at `q_rad` (7,), as if a person had put it there."""
        self.q_d, self.dq_d, self.ddq_d = np.array(q_rad, np.float64), np.zeros(7), np.zeros(7)
        self.tau_d = np.zeros(7)
        self._history = 0

    @property
    def mode(self) -> RobotMode:
        if self.user_stopped:
            return RobotMode.USER_STOPPED
        if self.recovering_ms:
            return RobotMode.AUTOMATIC_ERROR_RECOVERY
        if self.errors.any():
            return RobotMode.REFLEX
        if self.guiding:
            return RobotMode.GUIDING
        return RobotMode.IDLE if self.motion is None else RobotMode.MOVE

    @property
    def success_rate(self) -> float:
        """Share of the last 100 states that were answered in time; 0 when no motion runs."""
        if self.motion is None:
            return 0.0
        return 1.0 if self.motion.use_async else self._history.bit_count() / 100

    # ------------------------------------------------------------------------------- requests of clients and operators

    def move(self, request: MoveRequest) -> MoveStatus:
        """MOTION_STARTED, or why not. Cartesian generators and Cartesian impedance are not emulated: NOT_POSSIBLE."""
        if self.mode is not RobotMode.IDLE:
            return MoveStatus.NOT_POSSIBLE
        generators = [Generator.JOINT_POSITION, Generator.JOINT_VELOCITY]
        if request.control is Control.EXTERNAL:
            generators.append(Generator.NONE)
        if request.generator not in generators or request.control is Control.CARTESIAN_IMPEDANCE:
            return MoveStatus.NOT_POSSIBLE
        if request.use_async:
            top = request.dq_max_rad_s
            joint_position = (request.generator, request.control) == (Generator.JOINT_POSITION, Control.JOINT_IMPEDANCE)
            if (
                not joint_position
                or not np.isfinite(top).all()
                or (top <= 0).any()
                or (top > self.limits.dq_max_rad_s).any()
            ):
                return MoveStatus.INVALID_ARGUMENT
        self.motion, self.ended = request, None
        self.last_motion_errors[:] = False
        self._age_ms = self._lost_in_a_row = 0
        self._answered, self._planner = False, None
        self._history = ANSWERED
        self.motions += 1
        return MoveStatus.MOTION_STARTED

    def stop_move(self) -> None:
        """The client stops its motion; the arm brakes."""
        if self.motion is not None:
            self._end(self.motion, MoveStatus.PREEMPTED)

    def abandon(self) -> None:
        """The client is gone."""
        if self.motion is not None:
            self._end(self.motion, MoveStatus.ABORTED)

    def set(self, command: str, values: dict[str, np.ndarray]) -> Reply:
        """Takes the values of a setter. A running motion allows only collision behaviour; Reflex and user stop allow
        nothing."""
        allowed = (RobotMode.IDLE, RobotMode.GUIDING) + (RobotMode.MOVE,) * (command == "SetCollisionBehavior")
        if self.mode not in allowed:
            return Reply.NOT_POSSIBLE
        if ranges.refusal(command, values):
            return Reply.INVALID_ARGUMENT
        self.settings.update(values)
        return Reply.SUCCESS

    def recover(self) -> Reply:
        """Starts automatic error recovery. It has ended when `recovering_ms` is 0. It does not recover from a user
        stop."""
        if self.mode in (RobotMode.USER_STOPPED, RobotMode.MOVE, RobotMode.GUIDING):
            return Reply.NOT_POSSIBLE
        self.recovering_ms = RECOVERY_MS
        return Reply.SUCCESS

    def user_stop(self, pressed: bool) -> None:
        """The operator's switch."""
        self.user_stopped, self.guiding = pressed, self.guiding and not pressed
        if pressed and self.motion is not None:
            self._end(self.motion, MoveStatus.USER_STOP_ABORTED)

    def latch(self, error: str, found: bool = True) -> None:
        """A reflex: the arm brakes and stays in mode Reflex until it is recovered. `found` is false for an injected
        error."""
        self.errors[ERRORS.index(error)] = True
        self.reflexes += 1
        if found:
            self.violations.append(error)
        if self.motion is not None:
            self.last_motion_errors[:] = self.errors
            self._end(self.motion, MoveStatus.REFLEX_ABORTED)

    def _end(self, motion: MoveRequest, status: MoveStatus) -> None:
        # With the client's torques there was no desired motion, so braking begins at the measured one.
        if motion.control is Control.EXTERNAL:
            self.q_d, self.dq_d = self._q, self._dq
        self.motion, self.ended, self.ddq_d = None, status, np.zeros(7)

    # ------------------------------------------------------------------------------------------------- one millisecond

    def tick(self, command: "Command | None", sensed: Sensed, inertia: Callable, lost: bool = False) -> np.ndarray:
        """Torques (7,) without gravity for the next millisecond.

        `command` is the answer to the last state, if it came. `lost` says whether the network lost it. `inertia(ddq)`
        gives the torque for an acceleration.
        """
        self._q, self._dq = sensed.q_rad, sensed.dq_rad_s
        # A recovery in progress clears the errors at its end.
        if self.recovering_ms:
            self.recovering_ms -= 1
            if not self.recovering_ms:
                self.errors[:] = False
        # The running motion: what the arm measures, whether answers come, and what they say. Each step may end the
        # motion.
        if self.motion is not None:
            self._check_measured(self.motion, sensed)
        if self.motion is not None:
            self._count(self.motion, command is not None, lost)
        if self.motion is not None and self._answered:
            self._obey(self.motion, command)
        # The torques. A person's hand moves the desired position. Without a motion, or before its first command, the
        # arm brakes and holds. A motion with the client's torques has set them already.
        holding = self.motion is None or not self._answered
        if self.guiding:
            self.place(sensed.q_rad)
            return self.tau_d
        if holding:
            self._brake()
        if holding or (self.motion is not None and self.motion.control is not Control.EXTERNAL):
            self._impedance(sensed, inertia)
        return self.tau_d

    def _count(self, motion: MoveRequest, fresh: bool, lost: bool) -> None:
        """Counts the answers to the states of a motion. Too many lost ones in a row end it."""
        self._age_ms += 1
        self._first = fresh and not self._answered
        self._answered |= fresh
        if motion.use_async:
            return
        if not self._answered:
            if self.enforce_timing and self._age_ms > START_GRACE_MS:
                self.latch("communication_constraints_violation")
            return
        self._history = (self._history << 1 | fresh) & ((1 << 100) - 1)
        self.lost_packets += not fresh
        counts = self.enforce_timing or lost
        self._lost_in_a_row = 0 if fresh else self._lost_in_a_row + counts
        if self._lost_in_a_row >= LOST_IN_A_ROW:
            self.latch("communication_constraints_violation")

    def _check_measured(self, motion: MoveRequest, sensed: Sensed) -> None:
        """Checks collisions in every motion, and positions and speeds if the client makes the torques."""
        phase = "acceleration" if np.abs(self.ddq_d).max() > 1e-3 else "nominal"
        if motion.control is Control.EXTERNAL:
            low, high = self.limits.q_min_rad, self.limits.q_max_rad
            if (sensed.q_rad < low).any() or (sensed.q_rad > high).any():
                return self.latch("joint_position_limits_violation")
            if (np.abs(sensed.dq_rad_s) > self.limits.dq_max_rad_s).any():
                return self.latch("joint_velocity_violation")
        if (np.abs(sensed.tau_ext_nm) > self.settings[f"tau_upper_{phase}"]).any():
            return self.latch("joint_reflex")
        if (np.abs(sensed.wrench) > self.settings[f"force_upper_{phase}"]).any():
            return self.latch("cartesian_reflex")

    def _obey(self, motion: MoveRequest, command: "Command | None") -> None:
        """Takes a command, or goes on without one."""
        if command is not None and not command.finite(motion):
            self.violations.append("invalid_input")
            return self._end(motion, MoveStatus.INPUT_ERROR_ABORTED)
        # The desired motion. The last command of an asynchronous one has no target: libfranka's handler sends zeros.
        if motion.use_async:
            if command is not None and command.finished:
                return self._end(motion, MoveStatus.SUCCESS)
            self._plan(motion, command)
        elif motion.generator is not Generator.NONE:
            self._follow(motion, command)
        # The client's torques, and the end of the motion. An error may have ended it already.
        if self.motion is not None and motion.control is Control.EXTERNAL and command is not None:
            self._take_torque(command.tau_nm)
        if self.motion is not None and command is not None and command.finished:
            if motion.generator is not Generator.NONE and (np.abs(self.dq_d) > self._reach + DQ_EPS_RAD_S).any():
                return self.latch("joint_motion_generator_velocity_discontinuity")
            self._end(motion, MoveStatus.SUCCESS)

    @property
    def _reach(self) -> np.ndarray:
        """The largest change of speed in a millisecond, rad/s (7,)."""
        return self.limits.ddq_max_rad_s2 * DT_S

    def _follow(self, motion: MoveRequest, command: "Command | None") -> None:
        """The next point of a joint motion: the commanded one, or without a command the one at constant
        acceleration."""
        if command is None:
            dq = self.dq_d + self.ddq_d * DT_S
            self.q_d, self.dq_d = self.q_d + dq * DT_S, dq
            return
        if motion.generator is Generator.JOINT_POSITION:
            if self._first and (np.abs(command.q_rad - self.q_d) > START_RAD).any():
                return self.latch("joint_position_motion_generator_start_pose_invalid")
            q, dq = command.q_rad, (command.q_rad - self.q_d) / DT_S
        else:
            q, dq = self.q_d + command.dq_rad_s * DT_S, command.dq_rad_s
        ddq = (dq - self.dq_d) / DT_S
        error = self._discontinuity(q, dq, ddq)
        if error:
            return self.latch(error)
        self.q_d, self.dq_d, self.ddq_d = q.copy(), dq.copy(), ddq

    def _discontinuity(self, q, dq, ddq) -> str | None:
        """The name of the first check that the next point of a joint motion fails, or None."""
        limits = self.limits
        if (q < limits.q_min_rad).any() or (q > limits.q_max_rad).any():
            return "joint_motion_generator_position_limits_violation"
        low, high = self.limits.speeds_rad_s(self.q_d)
        if (dq < low - DQ_EPS_RAD_S).any() or (dq > high + DQ_EPS_RAD_S).any():
            return "joint_motion_generator_velocity_limits_violation"
        if (np.abs(ddq) > limits.ddq_max_rad_s2 + DDQ_EPS_RAD_S2).any():
            return "joint_motion_generator_velocity_discontinuity"
        if (np.abs(ddq - self.ddq_d) > (limits.dddq_max_rad_s3 + DDDQ_EPS_RAD_S3) * DT_S).any():
            return "joint_motion_generator_acceleration_discontinuity"
        return None

    def _plan(self, motion: MoveRequest, command: "Command | None") -> None:
        """The next point of an asynchronous motion, which the arm plans itself."""
        if self._planner is None:
            self._planner = Planner(self.limits, motion.dq_max_rad_s, self.q_d)
        if command is not None:
            if (command.q_rad < self.limits.q_min_rad).any() or (command.q_rad > self.limits.q_max_rad).any():
                return self.latch("joint_motion_generator_position_limits_violation")
            self._planner.target_rad = command.q_rad.copy()
        q = self._planner.step()
        dq = (q - self.q_d) / DT_S
        self.q_d, self.dq_d, self.ddq_d = q, dq, (dq - self.dq_d) / DT_S

    def _take_torque(self, tau_nm: np.ndarray) -> None:
        """Takes the client's torques (7,) after the checks of range and rate."""
        if (np.abs(tau_nm) > self.limits.tau_max_nm + TAU_EPS_NM).any():
            return self.latch("tau_j_range_violation")
        if (np.abs(tau_nm - self.tau_d) > self.limits.dtau_max_nm_s * DT_S + TAU_EPS_NM).any():
            return self.latch("controller_torque_discontinuity")
        self.tau_d = tau_nm.copy()

    def _brake(self) -> None:
        """Slows the desired motion down as fast as the acceleration limits allow."""
        dq = self.dq_d - np.clip(self.dq_d, -self._reach, self._reach)
        self.ddq_d = (dq - self.dq_d) / DT_S
        self.q_d, self.dq_d = self.q_d + dq * DT_S, dq

    def _impedance(self, sensed: Sensed, inertia: Callable) -> None:
        """The arm's own law: impedance with the set stiffness around the desired motion, plus inertia and Coriolis
        torque."""
        stiffness = self.settings["joint_stiffness"]
        damping = self.damping * np.sqrt(stiffness / JOINT_STIFFNESS_NM_RAD)
        tau = stiffness * (self.q_d - sensed.q_rad) + damping * (self.dq_d - sensed.dq_rad_s) + sensed.coriolis_nm
        if self.ddq_d.any():
            tau = tau + inertia(self.ddq_d)
        self.tau_d = np.clip(tau, -self.limits.tau_max_nm, self.limits.tau_max_nm)


class Command:
    """One answer of a client: `q_rad`, `dq_rad_s`, `tau_nm` (7,), and whether it ends the motion."""

    def __init__(self, q_rad=None, dq_rad_s=None, tau_nm=None, finished: bool = False):
        zeros = np.zeros(7)
        self.q_rad, self.dq_rad_s, self.tau_nm = (
            zeros if v is None else np.asarray(v, np.float64) for v in (q_rad, dq_rad_s, tau_nm)
        )
        self.finished = finished

    def finite(self, motion: MoveRequest) -> bool:
        """Whether the numbers that `motion` uses are finite."""
        used = [self.tau_nm] if motion.control is Control.EXTERNAL else []
        used += {Generator.JOINT_POSITION: [self.q_rad], Generator.JOINT_VELOCITY: [self.dq_rad_s]}.get(
            motion.generator, []
        )
        return all(np.isfinite(v).all() for v in used)


class Planner:
    """Plans an asynchronous motion to the newest target, where it stops.

    Each joint is as fast as `dq_max` and `ddq_max` allow. The positions are averaged over enough milliseconds to keep
    the jerk below `dddq_max`.
    """

    def __init__(self, limits: JointLimits, dq_max_rad_s: np.ndarray, q_rad: np.ndarray):
        self.ddq_max, self.dq_max = limits.ddq_max_rad_s2, dq_max_rad_s
        count = int(np.ceil(np.max(2 * limits.ddq_max_rad_s2 / limits.dddq_max_rad_s3) / DT_S - 1e-9))
        self.recent = np.tile(q_rad, (max(count, 1), 1))
        self.q_rad, self.dq_rad_s, self.target_rad = q_rad.copy(), np.zeros(7), q_rad.copy()

    def step(self) -> np.ndarray:
        """The desired position (7,) one millisecond on."""
        way, reach = self.target_rad - self.q_rad, self.ddq_max * DT_S
        # The largest speed from which the joint can still stop at the target, in whole milliseconds.
        room = np.sqrt(2 * self.ddq_max * np.abs(way) + (reach / 2) ** 2) - reach / 2
        wanted = np.sign(way) * np.minimum(np.minimum(room, self.dq_max), np.abs(way) / DT_S)
        self.dq_rad_s = np.clip(wanted, self.dq_rad_s - reach, self.dq_rad_s + reach)
        self.q_rad = self.q_rad + self.dq_rad_s * DT_S
        self.recent = np.vstack([self.recent[1:], self.q_rad])
        return self.q_rad + (self.recent - self.q_rad).mean(0)  # exact when nothing moves

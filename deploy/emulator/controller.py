"""What a Franka arm's controller does with what a client sends: follow it, check it, stop when it is wrong.

Pure: `tick` is one millisecond, with the newest command and the measured state in and torques out; no sockets, no clock,
no simulator. The checks and their names are those of Franka's control interface documentation; tolerances that it
doesn't publish are ours and stand below.
"""

from collections.abc import Callable

import numpy as np

from deploy.emulator.plant import DT_S, Sensed
from deploy.emulator.wire import ERRORS, Control, Generator, MoveRequest, MoveStatus, Reply, RobotMode
from envs.robots.limits import JointLimits

LOST_IN_A_ROW = 20
"""As many lost packets end a motion."""
START_GRACE_MS = 100
"""How long a motion may wait for its first command."""
RECOVERY_MS = 2
"""How long automatic error recovery takes; a real arm needs 0.4 to 16 s."""
START_RAD = 1e-3
"""How far the first commanded position may be from the desired one."""
DQ_EPS_RAD_S, DDQ_EPS_RAD_S2, DDDQ_EPS_RAD_S3 = 1e-3, 0.5, 1000.0
"""Beyond the limits by no more than this is no violation: what rounding a position to a 32-bit float (2.4e-7 rad), as
the state of protocol 10 does, makes of a command that is computed from it."""
TAU_EPS_NM = 1e-3
JOINT_STIFFNESS_NM_RAD = (3000, 3000, 3000, 2500, 2500, 2000, 2000)
"""Before a client sets another; libfranka's examples set the same."""
TAU_THRESHOLD_NM, FORCE_THRESHOLD = (20.0,) * 7, (20.0,) * 6
"""Before a client sets others, as libfranka's examples do."""


class Controller:
    """An arm's controller at rest at `q_rad` (7,). `damping_nms_rad` (7,) belongs to `JOINT_STIFFNESS_NM_RAD`.

    `enforce_timing`: whether 20 commands that are late in a row end a motion; without it only those that the network
    lost count (`tick`'s `lost`).
    """

    def __init__(self, limits: JointLimits, q_rad: np.ndarray, damping_nms_rad, enforce_timing: bool = True):
        self.limits, self.enforce_timing = limits, enforce_timing
        self.damping = np.asarray(damping_nms_rad, np.float64)
        self.errors, self.last_motion_errors = np.zeros(41, bool), np.zeros(41, bool)
        self.user_stopped = self.guiding = False
        self.recovering_ms = 0
        self.motion: MoveRequest | None = None
        self.ended: MoveStatus | None = None
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
        self.place(q_rad)

    def place(self, q_rad: np.ndarray) -> None:
        """At rest at `q_rad` (7,), as after somebody has put the arm there."""
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
        """Share of the last 100 states that were answered in time, 0 when no motion runs."""
        if self.motion is None:
            return 0.0
        return 1.0 if self.motion.use_async else self._history.bit_count() / 100

    # ------------------------------------------------------------------------------- what a client or an operator asks

    def move(self, request: MoveRequest) -> MoveStatus:
        """MOTION_STARTED, or why not. Cartesian generators and Cartesian impedance are not emulated: NOT_POSSIBLE."""
        if self.mode is not RobotMode.IDLE:
            return MoveStatus.NOT_POSSIBLE
        generators = (Generator.JOINT_POSITION, Generator.JOINT_VELOCITY)
        if request.control is Control.EXTERNAL:
            generators += (Generator.NONE,)
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
        self._history = (1 << 100) - 1
        self.motions += 1
        return MoveStatus.MOTION_STARTED

    def stop_move(self) -> None:
        """The client stops its motion; the arm brakes."""
        if self.motion is not None:
            self._end(MoveStatus.PREEMPTED)

    def abandon(self) -> None:
        """The client is gone."""
        if self.motion is not None:
            self._end(MoveStatus.ABORTED)

    def set(self, command: str, values: dict[str, np.ndarray]) -> Reply:
        """Takes what a setter sets; while a motion runs only collision behaviour, and nothing in Reflex or user stop."""
        allowed = (RobotMode.IDLE, RobotMode.GUIDING) + (RobotMode.MOVE,) * (command == "SetCollisionBehavior")
        if self.mode not in allowed:
            return Reply.NOT_POSSIBLE
        numbers = np.concatenate(list(values.values()))
        positive = command in ("SetCollisionBehavior", "SetJointImpedance", "SetCartesianImpedance")
        if not np.isfinite(numbers).all() or (positive and (numbers < 0).any()) or values.get("m_load", 0) < 0:
            return Reply.INVALID_ARGUMENT
        self.settings.update(values)
        return Reply.SUCCESS

    def recover(self) -> Reply:
        """Starts automatic error recovery; it has ended when `recovering_ms` is 0. A user stop can't be recovered from."""
        if self.mode in (RobotMode.USER_STOPPED, RobotMode.MOVE, RobotMode.GUIDING):
            return Reply.NOT_POSSIBLE
        self.recovering_ms = RECOVERY_MS
        return Reply.SUCCESS

    def user_stop(self, pressed: bool) -> None:
        """The operator's switch."""
        self.user_stopped, self.guiding = pressed, self.guiding and not pressed
        if pressed and self.motion is not None:
            self._end(MoveStatus.USER_STOP_ABORTED)

    def latch(self, error: str, found: bool = True) -> None:
        """Reflex: the arm brakes and stays in mode Reflex until it is recovered. `found`: by a check, not injected."""
        self.errors[ERRORS.index(error)] = True
        self.reflexes += 1
        if found:
            self.violations.append(error)
        if self.motion is not None:
            self.last_motion_errors[:] = self.errors
            self._end(MoveStatus.REFLEX_ABORTED)

    def _end(self, status: MoveStatus) -> None:
        if self.motion.control is Control.EXTERNAL:
            self.q_d, self.dq_d = self._q, self._dq
        self.motion, self.ended, self.ddq_d = None, status, np.zeros(7)

    # ------------------------------------------------------------------------------------------------- one millisecond

    def tick(self, command: "Command | None", sensed: Sensed, inertia: Callable, lost: bool = False) -> np.ndarray:
        """Torques (7,) without gravity for the next millisecond. `command`: the answer to the last state, if it came;
        `lost`: whether the network lost it; `inertia(ddq)`: the torque that an acceleration takes."""
        self._q, self._dq = sensed.q_rad, sensed.dq_rad_s
        if self.recovering_ms:
            self.recovering_ms -= 1
            if not self.recovering_ms:
                self.errors[:] = False
        if self.motion is not None:
            self._check_measured(sensed)
        if self.motion is not None:
            self._count(command is not None, lost)
        if self.motion is not None and self._answered:
            self._obey(command, sensed)
        holding = self.motion is None or not self._answered
        if self.guiding:
            self.place(sensed.q_rad)
        elif holding or self.motion.control is not Control.EXTERNAL:
            if holding:
                self._brake()
            self._impedance(sensed, inertia)
        return self.tau_d

    def _count(self, fresh: bool, lost: bool) -> None:
        self._age_ms += 1
        self._first = fresh and not self._answered
        self._answered |= fresh
        if self.motion.use_async:
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

    def _check_measured(self, sensed: Sensed) -> None:
        """Collisions in every motion; positions and speeds where the client makes the torques."""
        phase = "acceleration" if np.abs(self.ddq_d).max() > 1e-3 else "nominal"
        if self.motion.control is Control.EXTERNAL:
            low, high = self.limits.q_min_rad, self.limits.q_max_rad
            if (sensed.q_rad < low).any() or (sensed.q_rad > high).any():
                return self.latch("joint_position_limits_violation")
            if (np.abs(sensed.dq_rad_s) > self.limits.dq_max_rad_s).any():
                return self.latch("joint_velocity_violation")
        if (np.abs(sensed.tau_ext_nm) > self.settings[f"tau_upper_{phase}"]).any():
            return self.latch("joint_reflex")
        if (np.abs(sensed.wrench) > self.settings[f"force_upper_{phase}"]).any():
            return self.latch("cartesian_reflex")

    def _obey(self, command: "Command | None", sensed: Sensed) -> None:
        motion = self.motion
        if command is not None and not command.finite(motion):
            self.violations.append("invalid_input")
            return self._end(MoveStatus.INPUT_ERROR_ABORTED)
        if motion.use_async:
            if command is not None and command.finished:
                return self._end(
                    MoveStatus.SUCCESS
                )  # its position is zeros: libfranka's handler sends no target with it
            self._plan(command)
        elif motion.generator is not Generator.NONE:
            self._follow(command)
        if self.motion is not None and motion.control is Control.EXTERNAL and command is not None:
            self._take_torque(command.tau_nm)
        if self.motion is not None and command is not None and command.finished:
            if motion.generator is not Generator.NONE and (np.abs(self.dq_d) > self._reach + DQ_EPS_RAD_S).any():
                return self.latch("joint_motion_generator_velocity_discontinuity")
            self._end(MoveStatus.SUCCESS)

    @property
    def _reach(self) -> np.ndarray:
        return self.limits.ddq_max_rad_s2 * DT_S

    def _follow(self, command: "Command | None") -> None:
        """The next point of a joint motion: the commanded one, or with none that at constant acceleration."""
        if command is None:
            dq = self.dq_d + self.ddq_d * DT_S
            self.q_d, self.dq_d = self.q_d + dq * DT_S, dq
            return
        if self.motion.generator is Generator.JOINT_POSITION:
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
        """The first check that the next point of a joint motion fails."""
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

    def _plan(self, command: "Command | None") -> None:
        if self._planner is None:
            self._planner = Planner(self.limits, self.motion.dq_max_rad_s, self.q_d)
        if command is not None:
            if (command.q_rad < self.limits.q_min_rad).any() or (command.q_rad > self.limits.q_max_rad).any():
                return self.latch("joint_motion_generator_position_limits_violation")
            self._planner.target_rad = command.q_rad.copy()
        q = self._planner.step()
        dq = (q - self.q_d) / DT_S
        self.q_d, self.dq_d, self.ddq_d = q, dq, (dq - self.dq_d) / DT_S

    def _take_torque(self, tau_nm: np.ndarray) -> None:
        if (np.abs(tau_nm) > self.limits.tau_max_nm + TAU_EPS_NM).any():
            return self.latch("tau_j_range_violation")
        if (np.abs(tau_nm - self.tau_d) > self.limits.dtau_max_nm_s * DT_S + TAU_EPS_NM).any():
            return self.latch("controller_torque_discontinuity")
        self.tau_d = tau_nm.copy()

    def _brake(self) -> None:
        dq = self.dq_d - np.clip(self.dq_d, -self._reach, self._reach)
        self.ddq_d = (dq - self.dq_d) / DT_S
        self.q_d, self.dq_d = self.q_d + dq * DT_S, dq

    def _impedance(self, sensed: Sensed, inertia: Callable) -> None:
        """The arm's own law: the set stiffness about the desired motion, whose inertia and Coriolis torque it knows."""
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
    """How the robot itself gets to the last target of an asynchronous motion, and stops there: in each joint as fast as
    `dq_max` and `ddq_max` allow, averaged over so many milliseconds that the jerk stays below `dddq_max`."""

    def __init__(self, limits: JointLimits, dq_max_rad_s: np.ndarray, q_rad: np.ndarray):
        self.ddq_max, self.dq_max = limits.ddq_max_rad_s2, dq_max_rad_s
        count = int(np.ceil(np.max(2 * limits.ddq_max_rad_s2 / limits.dddq_max_rad_s3) / DT_S - 1e-9))
        self.recent = np.tile(q_rad, (max(count, 1), 1))
        self.q_rad, self.dq_rad_s, self.target_rad = q_rad.copy(), np.zeros(7), q_rad.copy()

    def step(self) -> np.ndarray:
        """The desired position (7,) one millisecond on."""
        way, reach = self.target_rad - self.q_rad, self.ddq_max * DT_S
        # The speed from which one can still stop at the target, in whole milliseconds.
        room = np.sqrt(2 * self.ddq_max * np.abs(way) + (reach / 2) ** 2) - reach / 2
        wanted = np.sign(way) * np.minimum(np.minimum(room, self.dq_max), np.abs(way) / DT_S)
        self.dq_rad_s = np.clip(wanted, self.dq_rad_s - reach, self.dq_rad_s + reach)
        self.q_rad = self.q_rad + self.dq_rad_s * DT_S
        self.recent = np.vstack([self.recent[1:], self.q_rad])
        return self.q_rad + (self.recent - self.q_rad).mean(0)  # exact when nothing moves

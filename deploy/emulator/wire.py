"""The messages between a Franka arm's controller and its clients, protocol versions 10 (FR3) and 5 (Panda).

Layouts, numbers and names are those of libfranka-common's research_interface headers (Apache-2.0). Everything is packed
and little-endian, and matrices are column-major. Version 10 sends its state in 32-bit floats, version 5 in 64-bit
floats.
"""

import enum
import math
import struct
from dataclasses import dataclass

import numpy as np

ROBOT_PORT, GRIPPER_PORT = 1337, 1338
"""Fixed in the clients."""
GRIPPER_VERSION = 3

ERRORS = (
    "joint_position_limits_violation",
    "cartesian_position_limits_violation",
    "self_collision_avoidance_violation",
    "joint_velocity_violation",
    "cartesian_velocity_violation",
    "force_control_safety_violation",
    "joint_reflex",
    "cartesian_reflex",
    "max_goal_pose_deviation_violation",
    "max_path_pose_deviation_violation",
    "cartesian_velocity_profile_safety_violation",
    "joint_position_motion_generator_start_pose_invalid",
    "joint_motion_generator_position_limits_violation",
    "joint_motion_generator_velocity_limits_violation",
    "joint_motion_generator_velocity_discontinuity",
    "joint_motion_generator_acceleration_discontinuity",
    "cartesian_position_motion_generator_start_pose_invalid",
    "cartesian_motion_generator_elbow_limit_violation",
    "cartesian_motion_generator_velocity_limits_violation",
    "cartesian_motion_generator_velocity_discontinuity",
    "cartesian_motion_generator_acceleration_discontinuity",
    "cartesian_motion_generator_elbow_sign_inconsistent",
    "cartesian_motion_generator_start_elbow_invalid",
    "force_controller_desired_force_tolerance_violation",
    "start_elbow_sign_inconsistent",
    "communication_constraints_violation",
    "power_limit_violation",
    "cartesian_motion_generator_joint_position_limits_violation",
    "cartesian_motion_generator_joint_velocity_limits_violation",
    "cartesian_motion_generator_joint_velocity_discontinuity",
    "cartesian_motion_generator_joint_acceleration_discontinuity",
    "cartesian_position_motion_generator_invalid_frame",
    "controller_torque_discontinuity",
    "joint_p2p_insufficient_torque_for_planning",
    "tau_j_range_violation",
    "instability_detected",
    "joint_move_in_wrong_direction",
    "cartesian_spline_motion_generator_violation",
    "joint_via_motion_generator_planning_joint_limit_violation",
    "base_acceleration_initialization_timeout",
    "base_acceleration_invalid_reading",
)
"""The bits of `errors` and `reflex_reason` in order, by the names of libfranka's `Errors`."""


class RobotMode(enum.IntEnum):
    OTHER, IDLE, MOVE, GUIDING, REFLEX, USER_STOPPED, AUTOMATIC_ERROR_RECOVERY = range(7)


class Control(enum.IntEnum):
    """Who makes the torques (`ControllerMode`)."""

    JOINT_IMPEDANCE, CARTESIAN_IMPEDANCE, EXTERNAL, OTHER = range(4)


class Generator(enum.IntEnum):
    """The kind of a Move's commands. The state reports the number plus 1, with 0 for idle."""

    JOINT_POSITION, JOINT_VELOCITY, CARTESIAN_POSITION, CARTESIAN_VELOCITY, NONE = range(5)


class MoveStatus(enum.IntEnum):
    (
        SUCCESS,
        MOTION_STARTED,
        PREEMPTED,
        PREEMPTED_SAFETY,
        REJECTED_SAFETY,
        NOT_POSSIBLE,
        SINGULAR_POSE,
        INVALID_ARGUMENT,
        REFLEX_ABORTED,
        USER_STOP_ABORTED,
        INPUT_ERROR_ABORTED,
        ABORTED,
    ) = range(12)


class Reply(enum.IntEnum):
    """The status values that the other robot commands share."""

    SUCCESS, NOT_POSSIBLE, INVALID_ARGUMENT = range(3)


class GripperReply(enum.IntEnum):
    SUCCESS, FAIL, UNSUCCESSFUL, ABORTED = range(4)


GRIPPER_COMMANDS = ("Connect", "Homing", "Grasp", "Move", "Stop")
ROBOT_HEADER, GRIPPER_HEADER = struct.Struct("<III"), struct.Struct("<HII")
"""Command, command id, size of the whole message."""
GRIPPER_STATE = struct.Struct("<Idd?H")
"""Message id, width and greatest width in m, is grasped, temperature in °C."""

_STATE = (
    ("O_T_EE", 16),
    ("O_T_EE_d", 16),
    ("F_T_EE", 16),
    ("EE_T_K", 16),
    ("F_T_NE", 16),
    ("NE_T_EE", 16),
    ("m_ee", 1),
    ("I_ee", 9),
    ("F_x_Cee", 3),
    ("m_load", 1),
    ("I_load", 9),
    ("F_x_Cload", 3),
    ("elbow", 2),
    ("elbow_d", 2),
    ("tau_J", 7),
    ("tau_J_d", 7),
    ("dtau_J", 7),
    ("q", 7),
    ("q_d", 7),
    ("dq", 7),
    ("dq_d", 7),
    ("ddq_d", 7),
    ("joint_contact", 7),
    ("cartesian_contact", 6),
    ("joint_collision", 7),
    ("cartesian_collision", 6),
    ("tau_ext_hat_filtered", 7),
    ("O_F_ext_hat_K", 6),
    ("K_F_ext_hat_K", 6),
    ("O_dP_EE_d", 6),
    ("O_ddP_O", 3),
    ("elbow_c", 2),
    ("delbow_c", 2),
    ("ddelbow_c", 2),
    ("O_T_EE_c", 16),
    ("O_dP_EE_c", 6),
    ("O_ddP_EE_c", 6),
    ("theta", 7),
    ("dtheta", 7),
)
_ACCELEROMETERS = (("accelerometer_top", 18), ("accelerometer_bottom", 18))


def _state(real: str, fields) -> np.dtype:
    return np.dtype(
        [
            ("message_id", "<u8"),
            *((name, real, (n,)) for name, n in fields),
            ("motion_generator_mode", "u1"),
            ("controller_mode", "u1"),
            ("errors", "u1", (41,)),
            ("reflex_reason", "u1", (41,)),
            ("robot_mode", "u1"),
            ("control_command_success_rate", real),
        ]
    )


_COMMAND = [
    ("message_id", "<u8"),
    ("q_c", "<f8", (7,)),
    ("dq_c", "<f8", (7,)),
    ("O_T_EE_c", "<f8", (16,)),
    ("O_dP_EE_c", "<f8", (6,)),
    ("elbow_c", "<f8", (2,)),
    ("valid_elbow", "u1"),
    ("motion_generation_finished", "u1"),
    ("tau_J_d", "<f8", (7,)),
]


@dataclass(frozen=True)
class Protocol:
    """One version of the robot's protocol: its commands in the order of their numbers, its state and its command."""

    version: int
    commands: tuple[str, ...]
    state: np.dtype
    command: np.dtype

    def finished(self, command: np.void) -> bool:
        """Whether `command` ends its motion."""
        flags = ("motion_generation_finished", "torque_command_finished")
        return any(bool(command[name]) for name in flags if name in (self.command.names or ()))

    def move(self, body: bytes) -> "MoveRequest":
        """The request in the payload of a Move. Raises ValueError for a wrong size, an unknown mode, or largest
        deviations that are negative or not finite."""
        if len(body) != (113 if self.version == 10 else 56):
            raise ValueError(f"a Move of protocol {self.version} can't have a payload of {len(body)} bytes")
        control, generator, *deviations = struct.unpack_from("<II6d", body)
        if control == Control.OTHER or not all(0 <= deviation < math.inf for deviation in deviations):
            raise ValueError(f"a Move can't have control {control} and the deviations {deviations}")
        use_async = self.version == 10 and bool(body[56])
        velocity = np.frombuffer(body, "<f8", 7, 57) if self.version == 10 else np.zeros(7)
        return MoveRequest(Control(control), Generator(generator), use_async, velocity)


@dataclass(frozen=True)
class MoveRequest:
    """With `use_async` the robot itself interpolates to the newest target, no faster than `dq_max_rad_s` (7,)."""

    control: Control
    generator: Generator
    use_async: bool
    dq_max_rad_s: np.ndarray


PROTOCOLS = {
    10: Protocol(
        10,
        (
            "Connect",
            "Move",
            "StopMove",
            "SetCollisionBehavior",
            "SetJointImpedance",
            "SetCartesianImpedance",
            "SetGuidingMode",
            "SetEEToK",
            "SetNEToEE",
            "SetLoad",
            "AutomaticErrorRecovery",
            "GetRobotModel",
        ),
        _state("<f4", _STATE + _ACCELEROMETERS),
        np.dtype([*_COMMAND, ("torque_command_finished", "u1")]),
    ),
    5: Protocol(
        5,
        (
            "Connect",
            "Move",
            "StopMove",
            "GetCartesianLimit",
            "SetCollisionBehavior",
            "SetJointImpedance",
            "SetCartesianImpedance",
            "SetGuidingMode",
            "SetEEToK",
            "SetNEToEE",
            "SetLoad",
            "SetFilters",
            "AutomaticErrorRecovery",
            "LoadModelLibrary",
        ),
        _state("<f8", _STATE),
        np.dtype(_COMMAND),
    ),
}

_SETTERS = {
    "SetCollisionBehavior": (
        ("tau_lower_acceleration", 7),
        ("tau_upper_acceleration", 7),
        ("tau_lower_nominal", 7),
        ("tau_upper_nominal", 7),
        ("force_lower_acceleration", 6),
        ("force_upper_acceleration", 6),
        ("force_lower_nominal", 6),
        ("force_upper_nominal", 6),
    ),
    "SetJointImpedance": (("joint_stiffness", 7),),
    "SetCartesianImpedance": (("cartesian_stiffness", 6),),
    "SetGuidingMode": None,
    "SetEEToK": (("EE_T_K", 16),),
    "SetNEToEE": (("NE_T_EE", 16),),
    "SetLoad": (("m_load", 1), ("F_x_Cload", 3), ("I_load", 9)),
    "SetFilters": (("filters_hz", 5),),
}


def setter(name: str, body: bytes) -> dict[str, np.ndarray]:
    """The numbers that the setter `name` sets, by name. Raises ValueError for a wrong size, KeyError for an unknown
    setter."""
    fields = _SETTERS[name]
    if len(body) != (7 if fields is None else 8 * sum(n for _, n in fields)):
        raise ValueError(f"{name} can't have a payload of {len(body)} bytes")
    if fields is None:
        return {"guiding_mode": np.frombuffer(body, "u1")}
    values = np.split(np.frombuffer(body, "<f8"), np.cumsum([n for _, n in fields])[:-1])
    return {field: value for (field, _), value in zip(fields, values)}


def read_exactly(sock, size: int) -> bytes:
    """`size` bytes from a stream socket. Raises ConnectionError if the other side has closed it."""
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError("the client closed its connection")
        data += part
    return data


def read_message(sock, header: struct.Struct, longest: int = 4096) -> tuple[int, int, bytes]:
    """(command, id, payload) of the next message. Raises ConnectionError if closed, or if the size is not possible."""
    command, number, size = header.unpack(read_exactly(sock, header.size))
    if not header.size <= size <= longest:
        raise ConnectionError(f"a message claims to have {size} bytes")
    return command, number, read_exactly(sock, size - header.size)


def message(header: struct.Struct, command: int, number: int, payload: bytes) -> bytes:
    """A complete message: header and payload."""
    return header.pack(command, number, header.size + len(payload)) + payload

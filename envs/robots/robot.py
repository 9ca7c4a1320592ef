"""What a robot is to a task: its MJCF, its joints and limits, where the wrist camera sits."""

from dataclasses import dataclass

import numpy as np

from envs.robots.limits import JointLimits


@dataclass(frozen=True, kw_only=True)
class Robot:
    """A robot that any task can be composed with. Every name is a name in its MJCF.

    What depends on the kind of hand is in two subclasses, `GripperRobot` and `HandRobot`.
    """

    name: str
    """The key in an environment's name, as in `franka_pick`."""
    body_mjcf: str
    """`<body>` element of the whole robot, its base at the origin."""
    defaults_mjcf: str
    """`<default>` children that the body uses."""
    extras_mjcf: str
    """`<contact>`, `<equality>` and other top-level elements."""
    arm_joints: tuple[str, ...]
    """Joint names from base to wrist, (J,)."""
    finger_joints: tuple[str, ...]
    """Joint names of the hand, in the order of the observation, (F,)."""
    limits: JointLimits
    """Limits of the arm joints."""
    arm_kp: tuple[float, ...]
    """Stiffness of the arm's joint impedance controller, N·m/rad (J,)."""
    arm_kd: tuple[float, ...]
    """Damping of the same, N·m·s/rad (J,)."""
    q_home_rad: tuple[float, ...]
    """Arm joints at reset at the real-arm protocol, (J,): over the table, the camera sees the whole workspace."""
    q_home_pixmc_rad: tuple[float, ...]
    """Arm joints at reset at PixMC's, (J,); empty for a robot that PixMC does not have."""
    hand_body: str
    """Body that the wrist camera and the tool centre point are fixed to."""
    tcp_in_hand_m: tuple[float, float, float]
    """Tool centre point in the hand frame."""
    finger_bodies: tuple[str, ...]
    """Bodies whose grasp points the rewards use."""
    link_bodies: tuple[str, ...]
    """Arm links; a contact on one of them ends a PixMC episode."""
    impedance_k_nm_rad: tuple[float, ...] = ()
    """Stiffness for control in torques at 1 kHz, (J,); empty for an arm that is not commanded so."""
    impedance_d_nms_rad: tuple[float, ...] = ()
    """Damping of the same, N·m·s/rad (J,)."""

    @property
    def dof(self) -> int:
        return len(self.arm_joints) + len(self.finger_joints)


@dataclass(frozen=True, kw_only=True)
class GripperRobot(Robot):
    """An arm with a parallel gripper: two sliding fingers that one motor drives."""

    finger_range_m: tuple[float, float]
    """Travel of one finger."""
    gripper_speed_m_s: float
    """Speed of one finger when the gripper opens or closes."""
    gripper_force_n: float
    """Greatest force of one finger."""
    finger_grasp_m: tuple[float, float, float]
    """Grasp point in a finger's frame."""

    @property
    def hand(self) -> str:
        return "parallel"

    @property
    def scale_low(self) -> np.ndarray:
        """Lower ends for scaling joint positions to [-1, 1], (dof,)."""
        return np.concatenate([self.limits.q_min_rad, [self.finger_range_m[0]] * len(self.finger_joints)])

    @property
    def scale_high(self) -> np.ndarray:
        return np.concatenate([self.limits.q_max_rad, [self.finger_range_m[1]] * len(self.finger_joints)])

    def grasp_points_m(self) -> np.ndarray:
        """(fingers, 3), each in the frame of its finger's body."""
        return np.array([self.finger_grasp_m] * len(self.finger_bodies))

    def stroke(self) -> tuple[tuple[float, float], float]:
        """(closed, open) and speed a second of the one number that an open/close command moves: metres of a finger."""
        return self.finger_range_m, self.gripper_speed_m_s

    def fingers_at(self, opening: float):
        """Set-points of the finger joints at a point of the stroke."""
        return opening


@dataclass(frozen=True, kw_only=True)
class HandRobot(Robot):
    """An arm with a multi-finger hand: rotary joints with ranges of their own, and a synergy that closes it."""

    finger_low_rad: tuple[float, ...]
    """Lower ends of the finger joints, (F,)."""
    finger_high_rad: tuple[float, ...]
    """Upper ends, (F,)."""
    finger_kp: tuple[float, ...]
    """Stiffness of the finger joints' servos, N·m/rad (F,)."""
    finger_kd: tuple[float, ...]
    """Damping of the same, N·m·s/rad (F,)."""
    finger_tau_nm: float
    """Greatest torque of a finger joint."""
    open_rad: tuple[float, ...]
    """Finger joints of the open hand, (F,)."""
    closed_rad: tuple[float, ...]
    """Finger joints that the hand closes towards, (F,): nearer than any object lets it, so that it presses."""
    close_s: float
    """Time from open to closed."""
    finger_grasps_m: tuple[tuple[float, float, float], ...]
    """Grasp point of each finger in the frame of its body."""

    @property
    def hand(self) -> str:
        return "allegro"

    @property
    def scale_low(self) -> np.ndarray:
        """Lower ends for scaling joint positions to [-1, 1], (dof,)."""
        return np.concatenate([self.limits.q_min_rad, self.finger_low_rad])

    @property
    def scale_high(self) -> np.ndarray:
        return np.concatenate([self.limits.q_max_rad, self.finger_high_rad])

    def grasp_points_m(self) -> np.ndarray:
        """(fingers, 3), each in the frame of its finger's body."""
        return np.array(self.finger_grasps_m)

    def stroke(self) -> tuple[tuple[float, float], float]:
        """(closed, open) and speed a second of the one number that an open/close command moves: the share of openness."""
        return (0.0, 1.0), 1 / self.close_s

    def fingers_at(self, opening: float) -> np.ndarray:
        """Set-points (F,) of the finger joints at a point of the stroke: the line from closed to open."""
        closed = np.array(self.closed_rad)
        return closed + opening * (np.array(self.open_rad) - closed)

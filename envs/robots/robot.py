"""A robot as tasks and protocols see it: its MJCF, its joints and limits, its hand. The robots themselves stand beside
it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from envs.robots.limits import JointLimits


@dataclass(frozen=True, kw_only=True)
class Robot(ABC):
    """A robot that can be combined with any task. Every name is a name in its MJCF.

    The kind of hand decides the abstract members; `GripperRobot` and `HandRobot` implement them.
    """

    name: str
    """The key in an environment's name, as in `franka_pick`."""
    body_mjcf: str
    """`<body>` element of the whole robot. Its base is at the origin."""
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
    """Damping of the same controller, N·m·s/rad (J,)."""
    q_home_rad: tuple[float, ...]
    """Arm joints at reset in the real-arm protocol, (J,). The hand is above the table and the camera sees the
    workspace."""
    q_home_pixmc_rad: tuple[float, ...]
    """Arm joints at reset in PixMC's protocol, (J,). Empty for a robot that PixMC does not have."""
    hand_body: str
    """The wrist camera and the tool centre point are fixed to this body."""
    tcp_in_hand_m: tuple[float, float, float]
    """Tool centre point in the hand frame."""
    finger_bodies: tuple[str, ...]
    """Bodies whose grasp points the rewards use."""
    link_bodies: tuple[str, ...]
    """Arm links. A contact on one of them ends a PixMC episode."""
    impedance_k_nm_rad: tuple[float, ...] = ()
    """Stiffness for torque control at 1 kHz, (J,). Empty for an arm without torque control."""
    impedance_d_nms_rad: tuple[float, ...] = ()
    """Damping for torque control, N·m·s/rad (J,)."""

    @property
    def dof(self) -> int:
        """Number of joints, arm and hand."""
        return len(self.arm_joints) + len(self.finger_joints)

    @property
    @abstractmethod
    def hand(self) -> str:
        """The kind of hand, parallel or allegro. `Task.for_hand` and `joint_units` depend on it."""

    @property
    @abstractmethod
    def scale_low(self) -> np.ndarray:
        """Lower ends for scaling joint positions to [-1, 1], (dof,)."""

    @property
    @abstractmethod
    def scale_high(self) -> np.ndarray:
        """Upper ends for scaling joint positions to [-1, 1], (dof,)."""

    @abstractmethod
    def grasp_points_m(self) -> np.ndarray:
        """(fingers, 3), each in the frame of its finger's body."""

    @abstractmethod
    def stroke(self) -> tuple[tuple[float, float], float]:
        """((closed, open), speed a second) of the one number, the opening, that an open/close command moves."""

    @abstractmethod
    def fingers_at(self, opening: float) -> np.ndarray:
        """Set-points (F,) of the finger joints at a point of the stroke."""

    @abstractmethod
    def finger_servos(self) -> list[str]:
        """MJCF attributes of each finger joint's position servo, (F,). Its force is limited to what the hand can do."""

    @abstractmethod
    def fingers_at_reset(self) -> np.ndarray:
        """(F,) finger joints at reset in PixMC's protocol."""

    @abstractmethod
    def coupling_mjcf(self) -> str:
        """Top-level MJCF elements that couple joints which share a motor. Empty where each joint has its own."""


@dataclass(frozen=True, kw_only=True)
class GripperRobot(Robot):
    """An arm with a parallel gripper: one motor drives two sliding fingers. The opening is the travel of a finger in
    metres."""

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
        return np.concatenate([self.limits.q_min_rad, [self.finger_range_m[0]] * len(self.finger_joints)])

    @property
    def scale_high(self) -> np.ndarray:
        return np.concatenate([self.limits.q_max_rad, [self.finger_range_m[1]] * len(self.finger_joints)])

    def grasp_points_m(self) -> np.ndarray:
        return np.array([self.finger_grasp_m] * len(self.finger_bodies))

    def stroke(self) -> tuple[tuple[float, float], float]:
        return self.finger_range_m, self.gripper_speed_m_s

    def fingers_at(self, opening: float) -> np.ndarray:
        return np.full(len(self.finger_joints), opening)

    def finger_servos(self) -> list[str]:
        force = f'forcerange="{-self.gripper_force_n} {self.gripper_force_n}"'
        return [f'kp="1500" kv="40" {force}'] * len(self.finger_joints)

    def fingers_at_reset(self) -> np.ndarray:
        """35 mm, PixMC's start."""
        return np.full(len(self.finger_joints), 0.035)

    def coupling_mjcf(self) -> str:
        a, b = self.finger_joints
        return f'<equality><joint joint1="{a}" joint2="{b}" solref="0.005 1"/></equality>'


@dataclass(frozen=True, kw_only=True)
class HandRobot(Robot):
    """An arm with a multi-finger hand: each rotary joint has its own range, and a synergy closes the hand. The opening
    is 0 for the closed posture and 1 for the open one."""

    finger_low_rad: tuple[float, ...]
    """Lower ends of the finger joints, (F,)."""
    finger_high_rad: tuple[float, ...]
    """Upper ends, (F,)."""
    finger_kp: tuple[float, ...]
    """Stiffness of the finger joints' servos, N·m/rad (F,)."""
    finger_kd: tuple[float, ...]
    """Damping of the same servos, N·m·s/rad (F,)."""
    finger_tau_nm: float
    """Greatest torque of a finger joint."""
    open_rad: tuple[float, ...]
    """Finger joints of the open hand, (F,)."""
    closed_rad: tuple[float, ...]
    """Target of the closing hand, (F,). An object stops the fingers before they reach it, so the hand presses."""
    close_s: float
    """Time from open to closed."""
    finger_grasps_m: tuple[tuple[float, float, float], ...]
    """Grasp point of each finger in the frame of its body."""

    @property
    def hand(self) -> str:
        return "allegro"

    @property
    def scale_low(self) -> np.ndarray:
        return np.concatenate([self.limits.q_min_rad, self.finger_low_rad])

    @property
    def scale_high(self) -> np.ndarray:
        return np.concatenate([self.limits.q_max_rad, self.finger_high_rad])

    def grasp_points_m(self) -> np.ndarray:
        return np.array(self.finger_grasps_m)

    def stroke(self) -> tuple[tuple[float, float], float]:
        return (0.0, 1.0), 1 / self.close_s

    def fingers_at(self, opening: float) -> np.ndarray:
        """The point on the line from the closed to the open posture."""
        closed = np.array(self.closed_rad)
        return closed + opening * (np.array(self.open_rad) - closed)

    def finger_servos(self) -> list[str]:
        force = f'forcerange="{-self.finger_tau_nm} {self.finger_tau_nm}"'
        return [f'kp="{kp}" kv="{kd}" {force}' for kp, kd in zip(self.finger_kp, self.finger_kd)]

    def fingers_at_reset(self) -> np.ndarray:
        return np.zeros(len(self.finger_joints))

    def coupling_mjcf(self) -> str:
        return ""

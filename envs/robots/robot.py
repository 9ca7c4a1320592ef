"""What a robot is to a task: its MJCF, its joints and limits, where the wrist camera sits."""

from dataclasses import dataclass

import numpy as np

from envs.robots.limits import JointLimits


@dataclass(frozen=True)
class Robot:
    """A robot that any task can be composed with. Every name is a name in its MJCF."""

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
    """Joint names of the gripper."""
    limits: JointLimits
    """Limits of the arm joints."""
    finger_range_m: tuple[float, float]
    """Travel of one finger."""
    gripper_speed_m_s: float
    """Speed of one finger when the gripper opens or closes."""
    gripper_force_n: float
    """Greatest force of one finger."""
    arm_kp: tuple[float, ...]
    """Stiffness of the arm's joint impedance controller, N·m/rad (J,)."""
    arm_kd: tuple[float, ...]
    """Damping of the same, N·m·s/rad (J,)."""
    q_home_rad: tuple[float, ...]
    """Arm joints at reset at the real-arm protocol, (J,): over the table, the camera sees the whole workspace."""
    q_home_pixmc_rad: tuple[float, ...]
    """Arm joints at reset at PixMC's, (J,)."""
    hand_body: str
    """Body that the wrist camera and the tool centre point are fixed to."""
    tcp_in_hand_m: tuple[float, float, float]
    """Tool centre point in the hand frame."""
    finger_bodies: tuple[str, ...]
    """Bodies whose grasp points the rewards use."""
    finger_grasp_m: tuple[float, float, float]
    """Grasp point in a finger's frame."""
    link_bodies: tuple[str, ...]
    """Arm links; a contact on one of them ends a PixMC episode."""
    impedance_k_nm_rad: tuple[float, ...] = ()
    """Stiffness for control in torques at 1 kHz, (J,); empty for an arm that is not commanded so."""
    impedance_d_nms_rad: tuple[float, ...] = ()
    """Damping of the same, N·m·s/rad (J,)."""

    @property
    def dof(self) -> int:
        return len(self.arm_joints) + len(self.finger_joints)

    @property
    def scale_low(self) -> np.ndarray:
        """Lower ends for scaling joint positions to [-1, 1], (dof,)."""
        return np.concatenate([self.limits.q_min_rad, [self.finger_range_m[0]] * len(self.finger_joints)])

    @property
    def scale_high(self) -> np.ndarray:
        return np.concatenate([self.limits.q_max_rad, [self.finger_range_m[1]] * len(self.finger_joints)])

"""KUKA LBR iiwa 14 R820, with a parallel gripper and with the 16-joint Allegro hand, from published numbers.

Kinematics: KUKA's data sheet (0.36, 0.42, 0.40, 0.126 m between the joints' crossings). Masses and centres: the URDF of
iiwa_stack, which MuJoCo Menagerie's kuka_iiwa_14 shares. Position, speed and torque limits: KUKA's brochure "Sensitive
robotics_LBR iiwa". Accelerations: C. Larsen, "Including a collaborative robot in digital twin manufacturing systems",
Gothenburg 2019, Table 4 (measured). KUKA publishes no acceleration, jerk or torque rate, so jerk and torque rate are
unlimited here. The shapes are our own: capsules that follow the covers. The impedance gains are the Panda's.

`kuka_gripper` carries the Franka hand with its camera on an adapter plate of 12 mm.

`kuka` is PixMC's robot. PixMC itself loads an iiwa 7 (its URDF kuka_allegro) with the torques of the iiwa 14, and draws
and moves it at 0.9 of its size. Here it is the iiwa 14 at full size with PixMC's posture, gains and camera. In that
posture the camera looks horizontally over the table, and in 122 of 150 resets the cube is not in view at first. The
scene's near plane is at 26 mm, so the base of the thumb is not drawn.
"""

import numpy as np

from envs.robots import allegro, franka
from envs.robots.limits import JointLimits, per_joint
from envs.robots.links import chain
from envs.robots.robot import GripperRobot, HandRobot

LIMITS = JointLimits(
    q_min_rad=np.radians((-170, -120, -170, -120, -170, -120, -175)).round(5),
    q_max_rad=np.radians((170, 120, 170, 120, 170, 120, 175)).round(5),
    dq_max_rad_s=np.radians((85, 85, 100, 75, 130, 135, 135)).round(5),
    ddq_max_rad_s2=per_joint(8.57, 8.57, 8.74, 11.36, 12.23, 15.72, 15.72),
    dddq_max_rad_s3=per_joint(*(np.inf,) * 7),
    tau_max_nm=per_joint(320, 320, 176, 176, 110, 40, 40),
    dtau_max_nm_s=per_joint(*(np.inf,) * 7),
)

_TURN, _BACK = "0 0 0.7071068 0.7071068", "0.7071068 0.7071068 0 0"
_LINKS = (
    (
        "0 0 0.1575",
        None,
        5.76,
        "0 -0.03 0.12",
        "0.0333 0.033 0.0123 0 0 0",
        [("capsule", "0 0 -0.02 0 -0.03 0.1", "0.08")],
    ),
    (
        "0 0 0.2025",
        _TURN,
        6.35,
        "0.0003 0.059 0.042",
        "0.0305 0.0304 0.011 0 0 0",
        [("capsule", "0 0 -0.01 0 0 0.05", "0.085"), ("capsule", "0 0.04 0.045 0 0.18 0", "0.067")],
    ),
    (
        "0 0.2045 0",
        _TURN,
        3.5,
        "0 0.03 0.13",
        "0.025 0.0238 0.0076 0 0 0",
        [("capsule", "0 0 0.03 0 0.05 0.17", "0.064"), ("capsule", "0 0 0.2155 0 0.045 0.2155", "0.073")],
    ),
    (
        "0 0 0.2155",
        _BACK,
        3.5,
        "0 0.067 0.034",
        "0.017 0.0164 0.006 0 0 0",
        [("capsule", "0 0 0.045 0 0.11 0.04", "0.066"), ("capsule", "0 0.13 0.03 0 0.184 0", "0.066")],
    ),
    (
        "0 0.1845 0",
        _TURN,
        3.5,
        "0.0001 0.021 0.076",
        "0.01 0.0087 0.00449 0 0 0",
        [("capsule", "0 0 0.03 0 0.045 0.08", "0.062"), ("capsule", "0 0.062 0.11 0 0.065 0.185", "0.043")],
    ),
    (
        "0 0 0.2155",
        _BACK,
        1.8,
        "0 0.0006 0.0004",
        "0.0049 0.0047 0.0036 0 0 0",
        [("capsule", "0 0 -0.06 0 -0.01 0", "0.065")],
    ),
    ("0 0.081 0", _TURN, 1.2, "0 0 0.02", "0.001 0.001 0.001 0 0 0", [("capsule", "0 0 -0.02 0 0 0", "0.045")]),
)
FLANGE_M = 0.045
"""Position of the flange on the z axis of the last link."""

_DEFAULTS = """
<default class="kuka">
  <joint armature="0.1" damping="1" axis="0 0 1"/>
  <geom group="0" contype="1" conaffinity="6" friction="1 0.005 0.0001" priority="1"
        solref="0.006 1" solimp="0.95 0.99 0.001" rgba="0.93 0.93 0.93 1"/>
</default>"""


def _body(hand: str) -> str:
    return f"""<body name="link0" childclass="kuka">
  <inertial mass="5" pos="-0.1 0 0.07" fullinertia="0.05 0.06 0.03 0 0 0"/>
  <geom type="capsule" fromto="0 0 0.08 0 0 0.1" size="0.09"/>
  <geom type="capsule" fromto="-0.1 0 0.05 0 0 0.05" size="0.06"/>
  {chain(_LINKS, LIMITS, hand)}
</body>"""


_JOINTS = tuple(f"joint{i}" for i in range(1, 8))
_BODIES = tuple(f"link{i}" for i in range(8))

KUKA_GRIPPER = GripperRobot(
    name="kuka_gripper",
    body_mjcf=_body(f"""
  <geom type="cylinder" fromto="0 0 {FLANGE_M} 0 0 {FLANGE_M + 0.012}" size="0.04"/>
  {franka.hand(f'pos="0 0 {FLANGE_M + 0.012}" quat="0 0 0 1" childclass="franka"')}"""),
    defaults_mjcf=_DEFAULTS + franka.DEFAULTS,
    extras_mjcf="",
    arm_joints=_JOINTS,
    limits=LIMITS,
    arm_kp=franka.FRANKA.arm_kp,
    arm_kd=franka.FRANKA.arm_kd,
    link_bodies=_BODIES,
    finger_joints=franka.FRANKA.finger_joints,
    finger_range_m=franka.FRANKA.finger_range_m,
    gripper_speed_m_s=franka.FRANKA.gripper_speed_m_s,
    gripper_force_n=franka.FRANKA.gripper_force_n,
    q_home_rad=(0.0, 0.267, 0.0, -1.069, 0.0, 1.805, 0.0),
    q_home_pixmc_rad=(),
    hand_body="hand",
    tcp_in_hand_m=franka.FRANKA.tcp_in_hand_m,
    finger_bodies=franka.FRANKA.finger_bodies,
    finger_grasp_m=franka.FRANKA.finger_grasp_m,
)

KUKA = HandRobot(
    name="kuka",
    body_mjcf=_body(allegro.hand('pos="0 0 0.071"', franka.WRIST_FOVY_DEG)),
    defaults_mjcf=_DEFAULTS + allegro.DEFAULTS,
    extras_mjcf="",
    arm_joints=_JOINTS,
    limits=LIMITS,
    arm_kp=franka.FRANKA.arm_kp,
    arm_kd=franka.FRANKA.arm_kd,
    link_bodies=_BODIES,
    finger_joints=allegro.JOINTS,
    finger_low_rad=allegro.LOW_RAD,
    finger_high_rad=allegro.HIGH_RAD,
    finger_kp=(600, 600, 600, 1000) * 3 + (1000, 1000, 1000, 600),
    finger_kd=(15, 20, 15, 15) * 3 + (30, 20, 20, 15),
    finger_tau_nm=allegro.TAU_NM,
    open_rad=(-0.14, 0.75, 0.15, 0.1, 0.0, 0.75, 0.15, 0.1, 0.19, 0.75, 0.15, 0.1, 1.57, 0.0, 0.05, 0.05),
    closed_rad=(-0.14, 1.35, 0.2, 0.1, 0.0, 1.35, 0.2, 0.1, 0.19, 1.35, 0.2, 0.1, 1.57, 0.0, 0.6, 0.2),
    close_s=0.5,
    q_home_rad=(-1.096, 0.344, 0.822, -0.994, 0.592, 1.754, -1.295),
    q_home_pixmc_rad=(0.0, -0.4, 0.0, -1.0, 0.0, 1.0, 0.0),
    hand_body="hand",
    tcp_in_hand_m=(0.117, -0.018, 0.13),
    finger_bodies=tuple(f"{finger}_link_3" for finger in allegro.FINGERS),
    finger_grasps_m=allegro.GRASPS_M,
)
"""PixMC's gains and posture. The posture and the synergy of the real-arm protocol are our own: the hand is beside the
table's middle at 40°, the camera sees the cube in 78 of 80 resets, and fingers and thumb close around 60 mm."""

"""Franka Emika Panda with its hand, from published numbers and primitive shapes.

Kinematics: the DH table of Franka's documentation. Masses and inertias: Gaz et al., "Dynamic Identification of the
Franka Emika Panda Robot with Retrieval of Feasible Parameters", RA-L 2019. Limits: Franka's "Robot and interface
specifications". Gains for torque control: libfranka's examples/joint_impedance_control.cpp. The shapes are our own:
capsules and boxes that follow the covers, so nothing is downloaded and software rendering stays fast. Wrist camera:
MVP's PixMC (position 0.04, 0, 0.045 in the hand, looking along the fingers, image up = hand +x; 120° across 298 px,
cropped to the middle 224 = 104.9°).
"""

import math

from envs.robots.limits import Brake, JointLimits, per_joint
from envs.robots.links import chain
from envs.robots.robot import GripperRobot

WRIST_FOVY_DEG = math.degrees(2 * math.atan(math.tan(math.radians(60)) * 224 / 298))

LIMITS = JointLimits(
    q_min_rad=per_joint(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
    q_max_rad=per_joint(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
    dq_max_rad_s=per_joint(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
    ddq_max_rad_s2=per_joint(15, 7.5, 10, 12.5, 15, 20, 20),
    dddq_max_rad_s3=per_joint(7500, 3750, 5000, 6250, 7500, 10000, 10000),
    tau_max_nm=per_joint(87, 87, 87, 87, 12, 12, 12),
    dtau_max_nm_s=per_joint(*(1000,) * 7),
)
FR3_LIMITS = JointLimits(
    q_min_rad=per_joint(-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159),
    q_max_rad=per_joint(2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159),
    dq_max_rad_s=per_joint(2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
    ddq_max_rad_s2=per_joint(*(10,) * 7),
    dddq_max_rad_s3=per_joint(*(5000,) * 7),
    tau_max_nm=per_joint(87, 87, 87, 87, 12, 12, 12),
    dtau_max_nm_s=per_joint(*(1000,) * 7),
    brake=Brake(
        low_rad=per_joint(-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196),
        high_rad=per_joint(2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196),
        deceleration_rad_s2=per_joint(6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0),
        offset_rad_s=per_joint(0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35),
    ),
)
"""Franka's "Robot and interface specifications", and libfranka's rate_limiting.h and test/fr3.urdf."""
ARM_LIMITS = {"fr3": FR3_LIMITS, "panda": LIMITS}
"""The published limits of each real arm. To a policy both arms are the robot franka (`envs.interface.SAME_ROBOT`)."""

_SIDE, _BACK = "0.7071068 -0.7071068 0 0", "0.7071068 0.7071068 0 0"
_LINKS = (
    (
        "0 0 0.333",
        None,
        4.970684,
        "0.003875 0.002081 -0.04762",
        "0.70337 0.70661 0.009117 -0.000139 0.006772 0.019169",
        [("capsule", "0 0 -0.192 0 0 0", "0.06"), ("capsule", "0 -0.04 0 0 0.04 0", "0.06")],
    ),
    (
        "0 0 0",
        _SIDE,
        0.646926,
        "-0.003141 -0.02872 0.003495",
        "0.007962 0.02811 0.025995 -0.003925 0.010254 0.000704",
        [("capsule", "0 0 0 0 -0.18 0", "0.06")],
    ),
    (
        "0 -0.316 0",
        _BACK,
        3.228604,
        "0.027518 0.039252 -0.066502",
        "0.037242 0.036155 0.01083 -0.004761 -0.011396 -0.012805",
        [("capsule", "0 0 -0.13 0 0 -0.02", "0.06"), ("capsule", "0.0825 -0.03 0 0.0825 0.03 0", "0.055")],
    ),
    (
        "0.0825 0 0",
        _BACK,
        3.587895,
        "-0.05317 0.104419 0.027454",
        "0.025853 0.019552 0.028323 0.007796 -0.001332 0.008641",
        [("capsule", "-0.0825 0.07 0 -0.0825 0.12 0", "0.055")],
    ),
    (
        "-0.0825 0.384 0",
        _SIDE,
        1.225946,
        "-0.011953 0.041065 -0.038437",
        "0.035549 0.029474 0.008627 -0.002117 -0.004037 0.000229",
        [
            ("capsule", "0 0 -0.26 0 0.02 -0.22", "0.055"),
            ("capsule", "0 0.07 -0.19 0 0.075 -0.03", "0.03"),
            ("capsule", "0 0 -0.03 0 0 0.02", "0.05"),
        ],
    ),
    (
        "0 0 0",
        _BACK,
        1.666555,
        "0.060149 -0.014117 -0.010517",
        "0.001964 0.004354 0.005433 0.000109 -0.001158 0.000341",
        [("capsule", "0 0 -0.04 0 0 0.01", "0.045"), ("capsule", "0.088 -0.01 0 0.088 0.03 0", "0.045")],
    ),
    (
        "0.088 0 0",
        _BACK,
        0.735522,
        "0.010517 -0.004252 0.061597",
        "0.012516 0.010027 0.004815 -0.000428 -0.001196 -0.000741",
        [("capsule", "0 0 0.01 0 0 0.06", "0.04")],
    ),
)

DEFAULTS = """
<default class="franka">
  <joint armature="0.1" damping="1" axis="0 0 1"/>
  <geom group="0" contype="1" conaffinity="6" friction="1 0.005 0.0001" rgba="0.93 0.93 0.93 1"/>
  <default class="finger">
    <joint type="slide" axis="0 1 0" range="0 0.04" limited="true" armature="0.05" damping="5"/>
    <geom condim="4" solref="0.01 1" solimp="0.95 0.99 0.001" rgba="0.3 0.3 0.32 1"/>
  </default>
</default>"""

_HAND = f"""
<body name="hand" {{place}}>
  <inertial mass="0.73" pos="-0.01 0 0.03" diaginertia="0.001 0.0025 0.0017"/>
  <camera name="wrist" pos="0.04 0 0.045" xyaxes="0 1 0 1 0 0" fovy="{WRIST_FOVY_DEG:.6f}"/>
  <geom name="hand_top" type="box" pos="0 0 0.019" size="0.0316 0.1025 0.019"/>
  <geom name="hand_rail" type="box" pos="0 0 0.047" size="0.02 0.1 0.011"/>
  {{fingers}}
</body>"""

_FINGER = """
<body name="{side}_finger" pos="0 0 0.0584" quat="{quat}" childclass="finger">
  <inertial mass="0.015" pos="0 0.01 0.02" diaginertia="2.4e-6 2.4e-6 7.5e-7"/>
  <joint name="{side}_finger_joint"/>
  <geom name="{side}_finger_back" type="box" pos="0 0.0145 0.0175" size="0.0105 0.0085 0.0175"/>
  <geom name="{side}_finger_pad" type="box" pos="0 0.0075 0.0444" size="0.0105 0.0075 0.0094" rgba="0.12 0.12 0.13 1"/>
</body>"""


def hand(place: str) -> str:
    """The hand as a `<body>` element; `place` holds its attributes pos and quat."""
    fingers = _FINGER.format(side="left", quat="1 0 0 0") + _FINGER.format(side="right", quat="0 0 0 1")
    return _HAND.format(place=place, fingers=fingers)


def _body() -> str:
    inner = chain(_LINKS, LIMITS, hand('pos="0 0 0.107" quat="0.9238795 0 0 -0.3826834"'))
    return f"""<body name="link0" childclass="franka">
  <inertial mass="0.629769" pos="-0.041018 -0.00014 0.049974"
            fullinertia="0.00315 0.00388 0.004285 8.2904e-07 0.00015 8.2299e-06"/>
  <geom type="capsule" fromto="-0.09 0 0.06 0 0 0.06" size="0.06"/>
  <geom type="capsule" fromto="0 0 0.06 0 0 0.12" size="0.065"/>
  {inner}
</body>"""


FRANKA = GripperRobot(
    name="franka",
    body_mjcf=_body(),
    defaults_mjcf=DEFAULTS,
    extras_mjcf="",
    arm_joints=tuple(f"joint{i}" for i in range(1, 8)),
    finger_joints=("left_finger_joint", "right_finger_joint"),
    limits=LIMITS,
    finger_range_m=(0.0, 0.04),
    gripper_speed_m_s=0.05,
    gripper_force_n=40.0,
    arm_kp=(3000, 3000, 3000, 2500, 2500, 2000, 2000),
    arm_kd=(160, 160, 130, 110, 60, 50, 30),
    q_home_rad=(0.0, -0.073, 0.0, -1.400, 0.0, 1.327, 0.785),
    q_home_pixmc_rad=(1.157, -1.066, -0.155, -2.239, -1.841, 1.003, 0.469),
    hand_body="hand",
    tcp_in_hand_m=(0.0, 0.0, 0.1034),
    finger_bodies=("left_finger", "right_finger"),
    finger_grasp_m=(0.0, 0.0, 0.045),
    link_bodies=tuple(f"link{i}" for i in range(8)),
    impedance_k_nm_rad=(600, 600, 600, 600, 250, 150, 50),
    impedance_d_nms_rad=(50, 50, 50, 50, 30, 25, 15),
)

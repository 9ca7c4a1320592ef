"""The motors of a robot in MJCF, as the protocols drive them."""

import numpy as np

from envs.robots.robot import Robot

FINGERS_M = 0.035
"""Where the fingers of PixMC's parallel gripper start."""


def fingers_at_reset(robot: Robot) -> np.ndarray:
    """(F,) joint positions of the fingers that a reset is drawn around, at PixMC's: 35 mm, and 0 for a hand."""
    return np.full(len(robot.finger_joints), FINGERS_M if robot.hand == "parallel" else 0.0)


def position_actuators(robot: Robot, arm_kp, arm_kd, finger: str | list[str]) -> str:
    """A position servo on each joint: MuJoCo computes kp·(ctrl - q) - kd·dq and saturates it at the robot's limits.
    `finger` holds the attributes of the fingers' servos, one text for all or one for each."""
    rows = [
        f'<position name="{j}" joint="{j}" kp="{kp}" kv="{kd}" forcerange="{-tau} {tau}"/>'
        for j, kp, kd, tau in zip(robot.arm_joints, arm_kp, arm_kd, robot.limits.tau_max_nm)
    ]
    return "\n".join(rows + _fingers(robot, finger))


def torque_actuators(robot: Robot, finger: str | list[str]) -> str:
    """A motor on each arm joint, ctrl in N·m and saturated at the robot's limits; the fingers keep position servos."""
    rows = [
        f'<motor name="{j}" joint="{j}" forcerange="{-tau} {tau}"/>'
        for j, tau in zip(robot.arm_joints, robot.limits.tau_max_nm)
    ]
    return "\n".join(rows + _fingers(robot, finger))


def hand_servo(robot: Robot) -> str | list[str]:
    """Attributes of the fingers' servos: they push with the robot's grasp force, or joint torque, at most."""
    if robot.hand == "parallel":
        return f'kp="1500" kv="40" forcerange="{-robot.gripper_force_n} {robot.gripper_force_n}"'
    return [
        f'kp="{kp}" kv="{kd}" forcerange="{-robot.finger_tau_nm} {robot.finger_tau_nm}"'
        for kp, kd in zip(robot.finger_kp, robot.finger_kd)
    ]


def one_motor(robot: Robot) -> str:
    """Couples the two fingers of a parallel gripper, because one motor drives both."""
    if robot.hand != "parallel":
        return ""
    a, b = robot.finger_joints
    return f'<equality><joint joint1="{a}" joint2="{b}" solref="0.005 1"/></equality>'


def _fingers(robot: Robot, finger: str | list[str]) -> list[str]:
    each = [finger] * len(robot.finger_joints) if isinstance(finger, str) else finger
    return [f'<position name="{j}" joint="{j}" {servo}/>' for j, servo in zip(robot.finger_joints, each)]

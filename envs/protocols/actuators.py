"""The motors of a robot in MJCF, as the protocols drive them."""

from envs.robots.robot import Robot

FINGERS_M = 0.035
"""Where PixMC's fingers start."""


def position_actuators(robot: Robot, arm_kp, arm_kd, finger: str) -> str:
    """A position servo on each joint: MuJoCo computes kp·(ctrl - q) - kd·dq and saturates it at the robot's limits."""
    rows = [f'<position name="{j}" joint="{j}" kp="{kp}" kv="{kd}" forcerange="{-tau} {tau}"/>'
            for j, kp, kd, tau in zip(robot.arm_joints, arm_kp, arm_kd, robot.limits.tau_max_nm)]
    return "\n".join(rows + _fingers(robot, finger))


def torque_actuators(robot: Robot, finger: str) -> str:
    """A motor on each arm joint, ctrl in N·m and saturated at the robot's limits; the fingers keep position servos."""
    rows = [f'<motor name="{j}" joint="{j}" forcerange="{-tau} {tau}"/>'
            for j, tau in zip(robot.arm_joints, robot.limits.tau_max_nm)]
    return "\n".join(rows + _fingers(robot, finger))


def hand_servo(robot: Robot) -> str:
    """Attributes of a finger's servo: it pushes with the robot's grasp force at most."""
    return f'kp="1500" kv="40" forcerange="{-robot.gripper_force_n} {robot.gripper_force_n}"'


def one_motor(robot: Robot) -> str:
    """Couples two fingers, because one motor drives both."""
    a, b = robot.finger_joints
    return f'<equality><joint joint1="{a}" joint2="{b}" solref="0.005 1"/></equality>'


def _fingers(robot: Robot, finger: str) -> list[str]:
    return [f'<position name="{j}" joint="{j}" {finger}/>' for j in robot.finger_joints]

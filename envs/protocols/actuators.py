"""The motors of a robot as MJCF text. The protocols choose between them."""

from collections.abc import Sequence

from envs.robots.robot import Robot


def position_actuators(
    robot: Robot, arm_kp: Sequence[float], arm_kd: Sequence[float], finger_servos: Sequence[str]
) -> str:
    """A position servo on each joint. MuJoCo computes kp·(ctrl - q) - kd·dq and limits it to the robot's torque.

    `arm_kp` and `arm_kd` have one gain for each arm joint (J,), `finger_servos` the attributes for each finger joint
    (F,).
    """
    rows = [
        f'<position name="{j}" joint="{j}" kp="{kp}" kv="{kd}" forcerange="{-tau} {tau}"/>'
        for j, kp, kd, tau in zip(robot.arm_joints, arm_kp, arm_kd, robot.limits.tau_max_nm)
    ]
    return "\n".join(rows + _fingers(robot, finger_servos))


def torque_actuators(robot: Robot, finger_servos: Sequence[str]) -> str:
    """A motor on each arm joint: ctrl is in N·m and limited to the robot's torque. The fingers keep position servos."""
    rows = [
        f'<motor name="{j}" joint="{j}" forcerange="{-tau} {tau}"/>'
        for j, tau in zip(robot.arm_joints, robot.limits.tau_max_nm)
    ]
    return "\n".join(rows + _fingers(robot, finger_servos))


def _fingers(robot: Robot, servos: Sequence[str]) -> list[str]:
    return [f'<position name="{j}" joint="{j}" {servo}/>' for j, servo in zip(robot.finger_joints, servos)]

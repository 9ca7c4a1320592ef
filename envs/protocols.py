"""How an action becomes motion: the real arm's protocol, and PixMC's."""

import numpy as np

from envs.robots.limits import JointLimiter
from envs.robots.robot import Robot


FINGERS_M = 0.035
"""Where PixMC's fingers start."""


def _position_actuators(robot: Robot, arm_kp, arm_kd, finger: str) -> str:
    rows = [f'<position name="{j}" joint="{j}" kp="{kp}" kv="{kd}" forcerange="{-tau} {tau}"/>'
            for j, kp, kd, tau in zip(robot.arm_joints, arm_kp, arm_kd, robot.limits.tau_max_nm)]
    rows += [f'<position name="{j}" joint="{j}" {finger}/>' for j in robot.finger_joints]
    return "\n".join(rows)


class RealArm:
    """What a real arm takes: joint-target increments at 20 Hz inside its limits, and an open/close gripper.

    Action (J + 1,) in [-1, 1]: J increments of the commanded joint position, 1.0 = `max_step_rad`, then the gripper
    (> 0.2 opens, < -0.2 closes, between them the last command holds). The command passes the robot's `JointLimiter`
    (speed, acceleration, position) and may lead the measured position by `max_lead_rad` at most, as an impedance
    controller's error clip does; between control ticks it is interpolated.
    """

    name = "real_arm"
    random_yaw = True
    """Objects turn about the vertical axis at reset."""
    success_steps = 10
    """Consecutive steps in the goal that make a success: 0.5 s."""
    ends_at_success = True
    """Else the episode runs on to the horizon."""
    ends_at_failure = False
    """Whether an arm link that touches something, or an object that falls, ends the episode."""
    control_hz = 20.0
    physics_dt_s = 0.0025
    horizon_s = 8.3
    max_step_rad = 0.06
    max_lead_rad = 0.2
    hysteresis = 0.2
    pieces = 4  # interpolated set-points in one control period

    def __init__(self, robot: Robot):
        self.robot = robot
        self.limiter = JointLimiter(robot.limits, 1 / self.control_hz)
        self.action_names = (*(f"d_{j}" for j in robot.arm_joints), "gripper")
        self.substeps = round(1 / self.control_hz / self.physics_dt_s)
        self.horizon = round(self.horizon_s * self.control_hz)

    @staticmethod
    def home_rad(robot: Robot) -> np.ndarray:
        """(dof,) joint positions that a reset is drawn around."""
        return np.array([*robot.q_home_rad, *[FINGERS_M] * len(robot.finger_joints)])

    @classmethod
    def actuators(cls, robot):
        finger = f'kp="1500" kv="40" forcerange="{-robot.gripper_force_n} {robot.gripper_force_n}"'
        return _position_actuators(robot, robot.arm_kp, robot.arm_kd, finger)

    @classmethod
    def extras(cls, robot):
        a, b = robot.finger_joints  # one motor drives both fingers
        return f'<equality><joint joint1="{a}" joint2="{b}" solref="0.005 1"/></equality>'

    def reset(self, data):
        arms = len(self.robot.arm_joints)
        data.qpos[arms:self.robot.dof] = self.finger_m = self.robot.finger_range_m[1]  # a real gripper starts open
        self.limiter.reset(data.qpos[:arms].copy())
        self.opening = True
        data.ctrl[:arms] = self.limiter.q_rad
        data.ctrl[arms:] = self.finger_m

    def apply(self, action, data, step):
        """Moves the set-points over one control period, calling `step(n)` for n physics steps between them."""
        arms = len(self.robot.arm_joints)
        if action[arms] > self.hysteresis:
            self.opening = True
        elif action[arms] < -self.hysteresis:
            self.opening = False
        start, q = self.limiter.q_rad, data.qpos[:arms]
        wanted = np.clip(start + self.max_step_rad * action[:arms], q - self.max_lead_rad, q + self.max_lead_rad)
        end = self.limiter.step(wanted)
        low, high = self.robot.finger_range_m
        goal = high if self.opening else low
        reach = self.robot.gripper_speed_m_s / self.control_hz / self.pieces
        for piece in range(1, self.pieces + 1):
            data.ctrl[:arms] = start + (end - start) * (piece / self.pieces)
            self.finger_m += float(np.clip(goal - self.finger_m, -reach, reach))
            data.ctrl[arms:] = self.finger_m
            step(self.substeps // self.pieces)

    def action_for(self, dq_rad, open_gripper: bool, data) -> np.ndarray:
        """The action nearest to moving the arm by `dq_rad` (J,) in one control period."""
        arm = np.asarray(dq_rad) / self.max_step_rad
        return np.append(np.clip(arm, -1, 1), 1.0 if open_gripper else -1.0).astype(np.float32)

    def state(self) -> np.ndarray:
        return np.concatenate([self.limiter.state(), [self.opening, self.finger_m]])

    def restore(self, state):
        self.limiter.restore(state[:-2])
        self.opening, self.finger_m = bool(state[-2]), float(state[-1])


class PixMC:
    """The benchmark's protocol (MVP, arXiv 2203.06173): 60 Hz, 500 steps, increments of every joint's target.

    Action (dof,) in [-1, 1]: target ← clamp(target + speed_scale · 7.5/60 · a), speed_scale 1 for the arm (0.125 rad
    a step) and 0.1 for the fingers (12.5 mm). It integrates on the previous target, not on the measured position.
    Gains 400/80 on the arm as published; the fingers' 1e6/1e2 with 200 N are Isaac's and stand here as 2e4/1e2 with
    the same 200 N, which saturates at the same error to within a centimetre and is stable at this time step.
    """

    name = "pixmc"
    random_yaw = False
    success_steps = 10
    ends_at_success = False
    ends_at_failure = True
    control_hz = 60.0
    physics_dt_s = 1 / 480
    horizon = 500
    horizon_s = 500 / 60
    max_step_rad = 7.5 / 60
    max_step_finger_m = 0.1 * 7.5 / 60

    def __init__(self, robot: Robot):
        self.robot = robot
        self.action_names = tuple(f"d_{j}" for j in (*robot.arm_joints, *robot.finger_joints))
        self.substeps = 8
        arms, fingers = len(robot.arm_joints), len(robot.finger_joints)
        self.scale = np.array([self.max_step_rad] * arms + [self.max_step_finger_m] * fingers)

    @staticmethod
    def home_rad(robot: Robot) -> np.ndarray:
        return np.array([*robot.q_home_pixmc_rad, *[FINGERS_M] * len(robot.finger_joints)])

    @classmethod
    def actuators(cls, robot):
        arms = len(robot.arm_joints)
        return _position_actuators(robot, [400] * arms, [80] * arms, 'kp="20000" kv="100" forcerange="-200 200"')

    @classmethod
    def extras(cls, robot):
        return ""

    def reset(self, data):
        self.target = data.qpos[:self.robot.dof].copy()
        data.ctrl[:] = self.target

    def apply(self, action, data, step):
        self.target = np.clip(self.target + self.scale * action, self.robot.scale_low, self.robot.scale_high)
        data.ctrl[:] = self.target
        step(self.substeps)

    def action_for(self, dq_rad, open_gripper: bool, data) -> np.ndarray:
        """The action that puts the arm's target `dq_rad` (J,) ahead of the measured position.

        400/80 is a sluggish spring (time constant 0.2 s), so a target has to lead by 12 control periods' motion.
        """
        arms = len(self.robot.arm_joints)
        lead = data.qpos[:arms] + 12 * np.asarray(dq_rad) - self.target[:arms]
        low, high = self.robot.finger_range_m
        finger = (high if open_gripper else low) - self.target[arms:]
        return np.clip(np.concatenate([lead, finger]) / self.scale, -1, 1).astype(np.float32)

    def state(self) -> np.ndarray:
        return self.target.copy()

    def restore(self, state):
        self.target = np.array(state, np.float64)


PROTOCOLS = {"": RealArm, "_pixmc": PixMC}

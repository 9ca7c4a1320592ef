"""The protocol of a real arm under the deploy loop."""

import numpy as np

from envs.protocols.actuators import torque_actuators
from envs.protocols.real_arm import RealArm
from envs.robots.control import SERVO_DT_S, ArmController
from envs.robots.robot import Robot


class Deployment(RealArm):
    """Joint-target increments at 10 Hz (RPT, arXiv 2306.10007), followed by joint impedance control in torques at 1
    kHz.

    The action is `RealArm`'s. The commands pass `envs.robots.control.ArmController`, which limits position, speed and
    acceleration, interpolates within the jerk limit, and applies libfranka's published impedance law with its limits on
    torque and torque rate. The model compensates gravity, as the arm does. The Coriolis torque is that of the state 1
    ms earlier. The gripper has hysteresis, moves at 0.1 m/s between the fingers, and grasps with the robot's force.
    """

    name = "deployment"
    success_steps = 6
    """0.5 s from the first step to the last."""
    expert_gain_per_s = 3.0
    control_hz = 10.0
    physics_dt_s = SERVO_DT_S
    horizon_s = 10.0
    """A demonstration of RPT's picking has 300 frames at 30 Hz."""
    _meaning = """Joint-target increments at 10 Hz (RPT, arXiv 2306.10007) over joint impedance control in torques
    at 1 kHz. Action as `RealArm`'s, with increments of `max_step_rad`. The commands pass
    `envs.robots.control.ArmController`: limits on position, speed and acceleration, set-points between the commands
    within the jerk limit, and libfranka's published impedance law with its torque and torque-rate limits. Gravity
    is compensated below, as the arm does; the Coriolis torque is that of the state 1 ms before. Gripper:
    hysteresis, 0.1 m/s between the fingers, and the robot's grasp force."""

    def __init__(self, robot: Robot):
        super().__init__(robot)
        self.controller = ArmController(robot, 1 / self.control_hz, self.max_lead_rad)
        self.limiter = self.controller.limiter

    @staticmethod
    def fits(robot: Robot) -> bool:
        return bool(robot.impedance_k_nm_rad)

    @classmethod
    def actuators(cls, robot: Robot) -> str:
        return torque_actuators(robot, robot.finger_servos())

    def reset(self, data):
        arms = len(self.robot.arm_joints)
        data.qpos[arms : self.robot.dof] = data.ctrl[arms:] = self.gripper.reset()
        self.controller.reset(data.qpos[:arms].copy())
        data.ctrl[:arms] = 0

    def drive(self, action, data):
        """One control period in physics steps of 1 ms."""
        arms = len(self.robot.arm_joints)
        q, dq, torque = data.qpos[:arms], data.qvel[:arms], self.controller.torque
        bias, gravity = data.qfrc_bias[:arms], data.qfrc_gravcomp[:arms]
        self.gripper.command(action[arms])
        for q_d in self.controller.command(self.max_step_rad * action[:arms], q):
            data.ctrl[:arms] = torque(q_d, q, dq, bias - gravity)
            data.ctrl[arms:] = self.gripper.advance(1 / self.physics_dt_s)
            yield 1

    def action_for(self, dq_rad, open_gripper: bool, data) -> np.ndarray:
        """The action that brings the arm to the speed `dq_rad` (J,) a period.

        It is `dq_rad` plus the missing speed times the arm's lag. The measured joint speeds stand for the current
        command, because a policy sees the speeds and not the command.
        """
        arms = len(self.robot.arm_joints)
        missing = np.asarray(dq_rad) - data.qvel[:arms] / self.control_hz
        return super().action_for(dq_rad + self.expert_gain_per_s * self.controller.lag_s * missing, open_gripper, data)

    def state(self):
        return np.concatenate([self.controller.state(), self.gripper.state()])

    def restore(self, state):
        self.controller.restore(state[:-2])
        self.gripper.restore(state[-2:])

"""The protocol that policies are trained with in simulation: what a real arm accepts, at 20 Hz."""

import numpy as np

from envs.interface import ActionSpec
from envs.protocols.actuators import position_actuators
from envs.protocols.protocol import Protocol
from envs.robots.gripper import Gripper
from envs.robots.limits import JointLimiter
from envs.robots.robot import Robot


class RealArm(Protocol):
    """Joint-target increments at 20 Hz inside the arm's limits, and an open/close gripper.

    Action (J + 1,) in [-1, 1]. The first J numbers are increments of the commanded joint position; 1.0 stands for
    `max_step_rad`. The last number commands the gripper: above 0.2 opens, below -0.2 closes, and between them the last
    command holds. This is the same for every robot; a multi-finger hand follows the line between its closed and its
    open posture (`HandRobot`). The command passes the robot's `JointLimiter` (speed, acceleration, position). It is at
    most `max_lead_rad` ahead of the measured position, as with the error clip of an impedance controller. Between
    control steps it is interpolated.
    """

    name = "real_arm"
    suffix = ""
    random_yaw = True
    success_steps = 10
    """0.5 s."""
    ends_at_success = True
    ends_at_failure = False
    expert_gain_per_s = 6.0
    control_hz = 20.0
    physics_dt_s = 0.0025
    horizon_s = 8.3
    max_step_rad = 0.06
    max_lead_rad = 0.2
    pieces = 4  # interpolated set-points in one control period
    _meaning = """What a real arm takes: joint-target increments at 20 Hz inside its limits, and an open/close
    gripper. Action (J + 1,) in [-1, 1]: J increments of the commanded joint position, 1.0 = `max_step_rad`, then
    the gripper (> 0.2 opens, < -0.2 closes, between them the last command holds), the same for every robot: a
    multi-finger hand follows it along the line between its open and its closed posture (`HandRobot`). The command
    passes the robot's `JointLimiter` (speed, acceleration, position) and may lead the measured position by
    `max_lead_rad` at most, as an impedance controller's error clip does; between control ticks it is interpolated."""

    def __init__(self, robot: Robot):
        super().__init__(robot)
        self.limiter = JointLimiter(robot.limits, 1 / self.control_hz)
        self.gripper = Gripper(robot)
        self.action_names = (*(f"d_{j}" for j in robot.arm_joints), "gripper")
        self.substeps = round(1 / self.control_hz / self.physics_dt_s)
        self.horizon = round(self.horizon_s * self.control_hz)

    def actions(self) -> ActionSpec:
        arms, step = len(self.robot.arm_joints), self.max_step_rad
        return ActionSpec(
            names=self.action_names,
            units=("rad",) * arms + ("1",),
            meanings=("joint_increment",) * arms + ("gripper_open",),
            low=(-step,) * arms + (-1.0,),
            high=(step,) * arms + (1.0,),
        )

    @staticmethod
    def fits(robot: Robot) -> bool:
        return True

    @staticmethod
    def home_rad(robot: Robot) -> np.ndarray:
        return np.array([*robot.q_home_rad, *robot.fingers_at_reset()])

    @classmethod
    def actuators(cls, robot: Robot) -> str:
        return position_actuators(robot, robot.arm_kp, robot.arm_kd, robot.finger_servos())

    @classmethod
    def extras(cls, robot: Robot) -> str:
        return robot.coupling_mjcf()

    def reset(self, data):
        arms = len(self.robot.arm_joints)
        data.qpos[arms : self.robot.dof] = data.ctrl[arms:] = self.gripper.reset()
        self.limiter.reset(data.qpos[:arms].copy())
        data.ctrl[:arms] = self.limiter.q_rad

    def drive(self, action, data):
        arms = len(self.robot.arm_joints)
        self.gripper.command(action[arms])
        start, q = self.limiter.q_rad, data.qpos[:arms]
        wanted = np.clip(start + self.max_step_rad * action[:arms], q - self.max_lead_rad, q + self.max_lead_rad)
        end = self.limiter.step(wanted)
        for piece in range(1, self.pieces + 1):
            data.ctrl[:arms] = start + (end - start) * (piece / self.pieces)
            data.ctrl[arms:] = self.gripper.advance(self.control_hz * self.pieces)
            yield self.substeps // self.pieces

    def action_for(self, dq_rad, open_gripper: bool, data) -> np.ndarray:
        arm = np.asarray(dq_rad) / self.max_step_rad
        return np.append(np.clip(arm, -1, 1), 1.0 if open_gripper else -1.0).astype(np.float32)

    def state(self) -> np.ndarray:
        return np.concatenate([self.limiter.state(), self.gripper.state()])

    def restore(self, state):
        self.limiter.restore(state[:-2])
        self.gripper.restore(state[-2:])

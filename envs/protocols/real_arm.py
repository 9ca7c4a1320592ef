"""The protocol that policies are trained at in simulation: what a real arm takes, at 20 Hz."""

import numpy as np

from envs.interface import ActionSpec
from envs.protocols.actuators import fingers_at_reset, hand_servo, one_motor, position_actuators
from envs.robots.gripper import Gripper
from envs.robots.limits import JointLimiter
from envs.robots.robot import Robot


class RealArm:
    """What a real arm takes: joint-target increments at 20 Hz inside its limits, and an open/close gripper.

    Action (J + 1,) in [-1, 1]: J increments of the commanded joint position, 1.0 = `max_step_rad`, then the gripper
    (> 0.2 opens, < -0.2 closes, between them the last command holds), the same for every robot: a multi-finger hand
    follows it along the line between its open and its closed posture (`HandRobot`). The command passes the robot's
    `JointLimiter` (speed, acceleration, position) and may lead the measured position by `max_lead_rad` at most, as an
    impedance controller's error clip does; between control ticks it is interpolated.
    """

    name = "real_arm"
    suffix = ""
    """What follows robot_task in an environment's name."""
    random_yaw = True
    """Objects turn about the vertical axis at reset."""
    success_steps = 10
    """Consecutive steps in the goal that make a success: 0.5 s."""
    ends_at_success = True
    """Else the episode runs on to the horizon."""
    ends_at_failure = False
    """Whether an arm link that touches something, or an object that falls, ends the episode."""
    expert_gain_per_s = 6.0
    """How fast an expert may ask for its error to be closed: what the loop's delay allows without overshoot."""
    control_hz = 20.0
    physics_dt_s = 0.0025
    horizon_s = 8.3
    max_step_rad = 0.06
    max_lead_rad = 0.2
    pieces = 4  # interpolated set-points in one control period

    def __init__(self, robot: Robot):
        self.robot = robot
        self.limiter = JointLimiter(robot.limits, 1 / self.control_hz)
        self.gripper = Gripper(robot)
        self.action_names = (*(f"d_{j}" for j in robot.arm_joints), "gripper")
        self.substeps = round(1 / self.control_hz / self.physics_dt_s)
        self.horizon = round(self.horizon_s * self.control_hz)

    def actions(self) -> ActionSpec:
        """What the numbers of an action mean."""
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
        """Whether the robot publishes what this protocol needs."""
        return True

    @staticmethod
    def home_rad(robot: Robot) -> np.ndarray:
        """(dof,) joint positions that a reset is drawn around."""
        return np.array([*robot.q_home_rad, *fingers_at_reset(robot)])

    @classmethod
    def actuators(cls, robot):
        return position_actuators(robot, robot.arm_kp, robot.arm_kd, hand_servo(robot))

    @classmethod
    def extras(cls, robot):
        return one_motor(robot)

    @classmethod
    def adapt(cls, model) -> None:
        """What of the compiled model is the protocol's own."""

    @property
    def largest_seen(self) -> float | None:
        """The number at which `seen` cuts off; None for none."""
        return None

    def seen(self, values) -> np.ndarray:
        """What a policy sees of proprioception or privileged state, (n,)."""
        return values

    def reset(self, data):
        arms = len(self.robot.arm_joints)
        data.qpos[arms : self.robot.dof] = data.ctrl[arms:] = self.gripper.reset()
        self.limiter.reset(data.qpos[:arms].copy())
        data.ctrl[:arms] = self.limiter.q_rad

    def apply(self, action, data, step):
        """Moves the set-points over one control period, calling `step(n)` for n physics steps between them."""
        for count in self.drive(action, data):
            step(count)

    def drive(self, action, data):
        """`apply` as a generator: it gives the number of physics steps to take before it is asked on, so that many
        environments can go through their periods side by side."""
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
        """The action nearest to moving the arm by `dq_rad` (J,) in one control period."""
        arm = np.asarray(dq_rad) / self.max_step_rad
        return np.append(np.clip(arm, -1, 1), 1.0 if open_gripper else -1.0).astype(np.float32)

    def state(self) -> np.ndarray:
        return np.concatenate([self.limiter.state(), self.gripper.state()])

    def restore(self, state):
        self.limiter.restore(state[:-2])
        self.gripper.restore(state[-2:])

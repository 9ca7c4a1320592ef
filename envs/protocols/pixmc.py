"""PixMC's protocol."""

import numpy as np

from envs.interface import ActionSpec, joint_units
from envs.protocols.actuators import position_actuators
from envs.protocols.protocol import Protocol
from envs.robots.robot import Robot


class PixMC(Protocol):
    """The benchmark's protocol (MVP, arXiv 2203.06173): 60 Hz, 500 steps, increments of every joint's target.

    Action (dof,) in [-1, 1]: target ← clamp(target + speed_scale · 7.5/60 · a). speed_scale is 1 for the arm (0.125 rad
    a step) and for the joints of the Allegro hand, and 0.1 for sliding fingers (12.5 mm). The increment is added to the
    previous target, not to the measured position. The gains are the published ones: 400/80 on the arm, and 600 to
    1000/15 to 30 with 0.7 N·m in the Allegro hand. Isaac's sliding fingers have 1e6/1e2 with 200 N; here they have
    2e4/1e2 with the same 200 N, which saturates at the same error to within a centimetre and is stable at this time
    step. Isaac takes one physics step in a control step, MuJoCo takes eight. Observations are clipped to ±5.
    """

    name = "pixmc"
    suffix = "_pixmc"
    random_yaw = False
    success_steps = 10
    ends_at_success = False
    ends_at_failure = True
    expert_gain_per_s = 6.0
    control_hz = 60.0
    physics_dt_s = 1 / 480
    horizon = 500
    horizon_s = 500 / 60
    max_step_rad = 7.5 / 60
    max_step_finger_m = 0.1 * 7.5 / 60
    _clip = 5.0
    contact_solref = (0.005, 1.0)
    contact_solimp = (0.99, 0.999, 0.001, 0.5, 2.0)
    """MuJoCo's hardness of every contact; it replaces the geoms' own. With their own, 200 N on light fingers compress a
    cube by 15 mm and throw it out, and targets that jump by 0.125 rad a step drive a link 38 mm into the table."""
    _meaning = """The benchmark's protocol (MVP, arXiv 2203.06173): 60 Hz, 500 steps, increments of every joint's
    target. Action (dof,) in [-1, 1]: target ← clamp(target + speed_scale · 7.5/60 · a), speed_scale 1 for the arm
    (0.125 rad a step), 1 for the joints of the Allegro hand and 0.1 for sliding fingers (12.5 mm). It integrates on
    the previous target, not on the measured position. Gains 400/80 on the arm and 600 to 1000/15 to 30 with 0.7 N·m
    in the Allegro hand as published; sliding fingers' 1e6/1e2 with 200 N are Isaac's and stand here as 2e4/1e2 with
    the same 200 N, which saturates at the same error to within a centimetre and is stable at this time step. Isaac
    steps the physics once a control step, MuJoCo eight times. Observations are clipped to ±5."""

    def __init__(self, robot: Robot):
        super().__init__(robot)
        self.target = self.home_rad(robot)
        """(dof,) the commanded positions, rad or m."""
        self.action_names = tuple(f"d_{j}" for j in (*robot.arm_joints, *robot.finger_joints))
        self.substeps = 8
        arms, fingers = len(robot.arm_joints), len(robot.finger_joints)
        finger_step = self.max_step_finger_m if robot.hand == "parallel" else self.max_step_rad
        self.scale = np.array([self.max_step_rad] * arms + [finger_step] * fingers)

    def actions(self) -> ActionSpec:
        step = tuple(float(v) for v in self.scale)
        return ActionSpec(
            names=self.action_names,
            units=joint_units(self.robot),
            meanings=("joint_increment",) * len(step),
            low=tuple(-v for v in step),
            high=step,
        )

    @staticmethod
    def fits(robot: Robot) -> bool:
        return bool(robot.q_home_pixmc_rad)

    @staticmethod
    def home_rad(robot: Robot) -> np.ndarray:
        return np.array([*robot.q_home_pixmc_rad, *robot.fingers_at_reset()])

    @classmethod
    def actuators(cls, robot: Robot) -> str:
        arms, sliding = len(robot.arm_joints), ['kp="20000" kv="100" forcerange="-200 200"'] * len(robot.finger_joints)
        fingers = sliding if robot.hand == "parallel" else robot.finger_servos()
        return position_actuators(robot, [400] * arms, [80] * arms, fingers)

    @classmethod
    def adapt(cls, model):
        model.geom_solref[:], model.geom_solimp[:] = cls.contact_solref, cls.contact_solimp

    @property
    def largest_seen(self) -> float | None:
        return self._clip

    def seen(self, values) -> np.ndarray:
        return np.clip(values, -self._clip, self._clip)

    def reset(self, data):
        self.target = data.qpos[: self.robot.dof].copy()
        data.ctrl[:] = self.target

    def drive(self, action, data):
        self.target = np.clip(self.target + self.scale * action, self.robot.scale_low, self.robot.scale_high)
        data.ctrl[:] = self.target
        yield self.substeps

    def action_for(self, dq_rad, open_gripper: bool, data) -> np.ndarray:
        """The action that puts the arm's target `dq_rad` (J,) ahead of the measured position.

        400/80 is a slow spring (time constant 0.2 s), so the target leads by 12 control periods' motion.
        """
        arms = len(self.robot.arm_joints)
        lead = data.qpos[:arms] + 12 * np.asarray(dq_rad) - self.target[:arms]
        (closed, open_), _ = self.robot.stroke()
        finger = self.robot.fingers_at(open_ if open_gripper else closed) - self.target[arms:]
        return np.clip(np.concatenate([lead, finger]) / self.scale, -1, 1).astype(np.float32)

    def state(self) -> np.ndarray:
        return self.target.copy()

    def restore(self, state):
        self.target = np.array(state, np.float64)

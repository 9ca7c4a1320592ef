"""`--backend sim`: the Gymnasium scene itself, stepped millisecond by millisecond with the control law of a real arm.

The same set-points give the same bits as `env.step`: torques of `envs.robots.control.JointImpedance` on 1 kHz physics.
The hand is part of the scene, so the gripper is served here too.
"""

import time
from typing import Any

import mujoco
import numpy as np

import envs
from deploy.control.shared import Block
from deploy.robots.base import Address, Features, GripperState, RobotState
from envs.robots.control import SERVO_DT_S, JointImpedance

CATCH_UP = 50
"""The largest number of milliseconds that one `serve` makes up for. A scene that is further behind loses time."""


class SimRobot:
    """With `realtime` the physics follows the wall's clock. Otherwise each `serve` is one millisecond."""

    features = Features("sim", ("fr3", "panda"), 7, True, f"mujoco {mujoco.__version__}")

    def __init__(self, env_name: str, physics: Block | None = None, realtime: bool = False):
        self.env_name, self.physics, self.realtime = env_name, physics, realtime
        self.moving = False
        self.time_ms, self.seed, self._start_s = 0, 0, 0.0
        self.env: Any = None

    def connect(self) -> None:
        self.env = envs.make(self.env_name, render=False)
        self.arms = len(self.env.robot.arm_joints)
        self.law = JointImpedance(self.env.robot)
        self.time_ms, self._start_s = 0, time.monotonic()
        self.place(0)

    def place(self, seed: int) -> None:
        """Puts object and arm where `env.reset(seed=seed)` puts them. Simulated time goes on."""
        self.seed = seed
        self.env.reset(seed=seed)
        self.law.reset()
        self.q_d_rad = self.env.data.qpos[: self.arms].copy()
        self._publish()

    def time_s(self) -> float:
        return self.time_ms / 1000

    def observe(self) -> RobotState:
        data = self.env.data
        return RobotState(
            self.time_s(),
            data.qpos[: self.arms].copy(),
            data.qvel[: self.arms].copy(),
            "move" if self.moving else "idle",
            success_rate=1.0,
        )

    def start(self) -> None:
        self.law.reset()
        self.q_d_rad = self.env.data.qpos[: self.arms].copy()
        self.moving = True

    def act(self, q_d_rad: np.ndarray) -> np.ndarray:
        self.q_d_rad = np.array(q_d_rad, np.float64)
        return self.q_d_rad

    def serve(self) -> None:
        steps = 1
        if self.realtime:
            late = int(1000 * (time.monotonic() - self._start_s)) - self.time_ms
            steps = min(max(late, 0), CATCH_UP)
            self._start_s += max(late - CATCH_UP, 0) / 1000
        for _ in range(steps):
            self._step()
        if steps:
            self._publish()

    def _step(self) -> None:
        data, arms = self.env.data, self.arms
        data.ctrl[:arms] = self.law.torque(
            self.q_d_rad, data.qpos[:arms], data.qvel[:arms], data.qfrc_bias[:arms] - data.qfrc_gravcomp[:arms]
        )
        data.ctrl[arms:] = self.env.protocol.gripper.advance(1 / SERVO_DT_S)
        mujoco.mj_step(self.env.model, data)
        self.time_ms += 1

    def _publish(self) -> None:
        if self.physics is not None:
            self.physics.write(np.concatenate([[self.time_s(), self.seed], self.env.data.qpos, self.env.data.qvel]))

    def stop(self) -> None:
        """Holds the arm where it is. A simulated arm stops at once."""
        self.q_d_rad = self.env.data.qpos[: self.arms].copy()
        self.moving = False

    def recover(self) -> None:
        pass

    def disconnect(self) -> None:
        self.moving = False

    def score(self, action: np.ndarray) -> bool:
        """Whether the task is now done. It is called once in a control period, as in `env.step`."""
        mujoco.mj_forward(self.env.model, self.env.data)
        _, done, _ = self.env.task.evaluate(self.env.data, action)
        return bool(done)


class SimGripper:
    """The scene's hand."""

    def __init__(self, robot: SimRobot):
        self.robot = robot

    def connect(self) -> None:
        pass

    def observe(self) -> GripperState:
        fingers = self.robot.env.data.qpos[self.robot.arms : self.robot.env.dof]
        return GripperState(float(fingers.sum()), False)

    def command(self, close: bool) -> None:
        self.robot.env.protocol.gripper.command(-1.0 if close else 1.0)

    def serve(self) -> None:
        pass

    def disconnect(self) -> None:
        pass


def make(address: Address) -> SimRobot:
    """`address.options`: env, physics, realtime."""
    return SimRobot(address.options["env"], address.options.get("physics"), address.options.get("realtime", False))

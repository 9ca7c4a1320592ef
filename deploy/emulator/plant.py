"""The scene behind the controller: MuJoCo in steps of 1 ms, and the arm's sensors.

O is the arm's base frame, F its flange. The model compensates gravity on the robot, as the arm does, so torques here
are without gravity. The friction of the joints (1 N·m·s/rad) is not compensated.
"""

from typing import NamedTuple

import mujoco
import numpy as np

import envs
from deploy.emulator.arm import FLANGE_IN_LINK7_M
from envs.robots.limits import JointLimits

SCENES = {"cube": "franka_cube"}
"""The emulator's scenes and their environments."""
DT_S = 0.001
FILTER_S = 0.01
"""Time constant of the low pass on external torques. Franka does not publish one."""
STOP_BEYOND_RAD = 0.02
"""The mechanical end of a joint is this far beyond its limit."""
HAND_K_NM_RAD = np.array([80, 80, 80, 80, 20, 20, 20], np.float64)
HAND_D_NMS_RAD = np.array([20, 20, 20, 20, 4, 4, 4], np.float64)
HAND_TAU_NM = np.array([15, 15, 15, 15, 4, 4, 4], np.float64)
"""A person who guides the arm by hand: a soft spring that pulls at most this hard."""
SUCCESS_EVERY_MS = 100
"""The task is scored at the rate of the environment's control steps."""


class Sensed(NamedTuple):
    """What the arm measures, (7,) each unless stated otherwise."""

    q_rad: np.ndarray
    dq_rad_s: np.ndarray
    tau_nm: np.ndarray
    """In the joints, with gravity."""
    tau_ext_nm: np.ndarray
    """The torques that the arm exerts on things, low-passed."""
    wrench: np.ndarray
    """The same at the end effector in the base frame, (6,): N, then N·m."""
    coriolis_nm: np.ndarray
    jacobian: np.ndarray
    """(6, 7) of the end effector in the base frame."""
    O_T_F: np.ndarray
    """(4, 4)."""


class Plant:
    """One arm with its hand in one scene."""

    def __init__(self, scene: str, limits: JointLimits, seed: int, shift: str | None = None):
        self.env = envs.make(SCENES[scene], render=False, shift=shift)
        self.model, self.data = self.env.model, self.env.data
        self.model.jnt_range[:7, 0] = limits.q_min_rad - STOP_BEYOND_RAD
        self.model.jnt_range[:7, 1] = limits.q_max_rad + STOP_BEYOND_RAD
        self.finger_kp = float(self.model.actuator_gainprm[7, 0])
        self._link7 = self.model.body("link7").id
        self._desired = mujoco.MjData(self.model)
        self._jacobian = np.zeros((6, self.model.nv))
        self._full = np.zeros(self.model.nv)
        self.hand_rad: np.ndarray | None = None
        """(7,) where a person pulls the joints to; None without a person."""
        self.tau_ext_nm = np.zeros(7)
        self.seed, self.steps, self.success = seed, 0, False
        self._base_p, self._base_r = np.zeros(3), np.eye(3)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Puts cube and arm where `env.reset(seed=seed)` puts them. Everything is at rest and the hand is open."""
        self.seed = seed
        self.env.reset(seed=seed)
        base = self.data.body("link0")
        self._base_p, self._base_r = base.xpos.copy(), base.xmat.reshape(3, 3).copy()
        self.tau_ext_nm = np.zeros(7)
        self.hand_rad = None
        self.steps, self.success = 0, False
        self.data.qfrc_applied[:] = 0

    def step(self, tau_nm: np.ndarray, finger_m: float) -> None:
        """One millisecond with `tau_nm` (7,) in the arm's joints and both fingers' set-points at `finger_m`."""
        data = self.data
        data.ctrl[:7], data.ctrl[7:] = tau_nm, finger_m
        if self.hand_rad is not None:
            pull = HAND_K_NM_RAD * (self.hand_rad - data.qpos[:7]) - HAND_D_NMS_RAD * data.qvel[:7]
            data.qfrc_applied[:7] = np.clip(pull, -HAND_TAU_NM, HAND_TAU_NM)
        mujoco.mj_step(self.model, data)
        mujoco.mj_kinematics(self.model, data)  # brings the poses up to date with the joints
        self.tau_ext_nm += DT_S / FILTER_S * (-data.qfrc_constraint[:7] - data.qfrc_applied[:7] - self.tau_ext_nm)
        self.steps += 1
        if self.steps % SUCCESS_EVERY_MS == 0:
            self.success |= self.env.task.evaluate(data, np.zeros(8))[1]

    def sense(self, F_T_EE: np.ndarray) -> Sensed:
        """The present values of the sensors, for an end effector at `F_T_EE` (4, 4)."""
        data = self.data
        O_T_F = self._flange(data)
        jacobian = self._ee_jacobian(O_T_F @ F_T_EE)
        wrench = np.zeros(6)
        if np.abs(self.tau_ext_nm).max() > 1e-3:
            wrench = np.linalg.solve(jacobian @ jacobian.T + 1e-6 * np.eye(6), jacobian @ self.tau_ext_nm)
        return Sensed(
            data.qpos[:7].copy(),
            data.qvel[:7].copy(),
            data.qfrc_actuator[:7] + data.qfrc_gravcomp[:7],
            self.tau_ext_nm.copy(),
            wrench,
            data.qfrc_bias[:7] - data.qfrc_gravcomp[:7],
            jacobian,
            O_T_F,
        )

    def flange(self, q_rad: np.ndarray) -> np.ndarray:
        """O_T_F (4, 4) at other joint positions."""
        self._desired.qpos[:7] = q_rad
        mujoco.mj_kinematics(self.model, self._desired)
        return self._flange(self._desired)

    def inertia(self, ddq_rad_s2: np.ndarray) -> np.ndarray:
        """The torque (7,) for an acceleration (7,)."""
        vector, self._full[:7] = np.zeros(self.model.nv), ddq_rad_s2
        mujoco.mj_mulM(self.model, self.data, vector, self._full)
        return vector[:7]

    def weight(self, mass_kg: float, com_in_flange_m: np.ndarray, O_T_F: np.ndarray) -> np.ndarray:
        """The torque (7,) that carries a load at the flange."""
        point = O_T_F[:3, :3] @ com_in_flange_m + O_T_F[:3, 3]
        jacobian = self._ee_jacobian(np.block([[np.eye(3), point[:, None]], [0, 0, 0, 1]]))
        return jacobian[2] * mass_kg * 9.81

    def width_m(self) -> float:
        """Distance between the fingers."""
        return float(self.data.qpos[7] + self.data.qpos[8])

    def _flange(self, data) -> np.ndarray:
        turn = data.xmat[self._link7].reshape(3, 3)
        pose = np.eye(4)
        pose[:3, :3] = self._base_r.T @ turn
        pose[:3, 3] = self._base_r.T @ (data.xpos[self._link7] + FLANGE_IN_LINK7_M * turn[:, 2] - self._base_p)
        return pose

    def _ee_jacobian(self, O_T_EE: np.ndarray) -> np.ndarray:
        point = self._base_r @ O_T_EE[:3, 3] + self._base_p
        mujoco.mj_jac(self.model, self.data, self._jacobian[:3], self._jacobian[3:], point, self._link7)
        out = np.empty((6, 7))
        out[:3], out[3:] = self._base_r.T @ self._jacobian[:3, :7], self._base_r.T @ self._jacobian[3:, :7]
        return out

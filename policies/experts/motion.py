"""What scripted experts share: the tool's pose, and joint velocities for a velocity of the tool (inverse
kinematics)."""

import mujoco
import numpy as np


class Scripted:
    """An expert that sees the simulator's true state and moves the tool centre point (TCP)."""

    speed_m_s = 0.75
    """Top speed of the TCP."""
    turn_rad_s = 2.5
    """Top turning rate of the hand."""
    damping = 0.05
    """λ of the damped least squares, m/rad."""
    end_rad = 0.1
    """A joint that is nearer to its limit than about this slows down if the other joints can move the tool without
    it."""

    def label(self, env) -> np.ndarray:
        """The action (A,) float32 for the present state of `env`, a `RobotEnv` of a task that this expert knows."""
        raise NotImplementedError

    def drive(self, env, velocity_m_s, spin_rad_s, open_gripper: bool) -> np.ndarray:
        """The action (A,) for a twist of the TCP in the world frame, (3,) and (3,), limited to this expert's speeds.
        With a zero twist the arm stands still. Used in teleoperation."""
        tcp, _ = self.tool(env)
        velocity, spin = np.asarray(velocity_m_s, float), np.asarray(spin_rad_s, float)
        dq = np.zeros(len(env.robot.arm_joints))
        if velocity.any() or spin.any():
            dq = self._ik(env, tcp, self._capped(velocity, self.speed_m_s), self._capped(spin, self.turn_rad_s), 1.0)
        return env.protocol.action_for(dq / env.control_hz, open_gripper, env.data)

    @staticmethod
    def tool(env) -> tuple[np.ndarray, np.ndarray]:
        """The TCP (3,) and the hand's rotation (3, 3), world frame."""
        hand = env.data.body(env.robot.hand_body)
        turn = hand.xmat.reshape(3, 3)
        return hand.xpos + turn @ env.robot.tcp_in_hand_m, turn

    @staticmethod
    def _in_view(env, point_m) -> float:
        """1 if a point (world frame, metres) is in the wrist camera's picture, 0 if it is outside, and in between near
        the picture's edge (15 %). Objects in front of the point don't matter."""
        camera = env.data.camera("wrist")
        right, up, back = camera.xmat.reshape(3, 3).T @ (point_m - camera.xpos)
        if back >= 0:
            return 0.0
        side = -back * np.tan(np.radians(env.model.camera("wrist").fovy[0]) / 2)
        return float(np.clip((1 - max(abs(right), abs(up)) / side) / 0.15, 0, 1))

    @staticmethod
    def _capped(vector, top):
        size = np.linalg.norm(vector)
        return vector * (top / size) if size > top else vector

    @staticmethod
    def _face_yaw(cube) -> float:
        """Yaw in rad of an upright face of a cube with this rotation (3, 3). The others differ by right angles."""
        side = cube[:, (int(np.argmax(np.abs(cube[2]))) + 1) % 3]
        return np.arctan2(side[1], side[0])

    @staticmethod
    def _upright(turn) -> np.ndarray:
        """Rotation vector that points the hand's z axis down."""
        axis = np.cross(turn[:, 2], (0, 0, -1.0))
        if turn[2, 2] > 0.99:  # the hand points up: every horizontal axis is right
            return np.array([1.0, 0, 0])
        return axis

    @staticmethod
    def _towards(turn, wanted) -> np.ndarray:
        """Rotation vector, world frame, from the hand's rotation (3, 3) to the wanted rotation."""
        quat, vector = np.zeros(4), np.zeros(3)
        mujoco.mju_mat2Quat(quat, (wanted @ turn.T).reshape(-1))
        mujoco.mju_quat2Vel(vector, quat, 1.0)
        return vector

    def _ik(self, env, tcp, velocity, spin, stiff) -> np.ndarray:
        """Joint velocities (J,) rad/s for a TCP twist. The null space moves the arm towards the task's posture."""
        jacp, jacr = self._jacobians(env, tcp)
        weight = 0.3 * stiff  # metres a radian
        jac = np.vstack([jacp, weight * jacr])
        twist = np.concatenate([velocity, weight * spin])
        inverse = jac.T @ np.linalg.inv(jac @ jac.T + self.damping**2 * np.eye(6))
        home = env.task.posture_rad - env.data.qpos[: len(env.robot.arm_joints)]
        dq = inverse @ twist
        dq += 0.5 * (home - inverse @ (jac @ home))
        return self._within_speed(env, dq)

    def _ik_position_first(self, env, tcp, velocity, spin) -> np.ndarray:
        """Joint velocities (J,) rad/s for a TCP velocity first, then the hand's rotation, then the arm's posture, each
        as far as the earlier ones allow. For places that a hand with a fixed orientation can't reach."""
        jacp, jacr = self._jacobians(env, tcp)
        q, limits = env.data.qpos[: jacp.shape[1]], env.robot.limits
        home = env.task.posture_rad - q
        dq = self._position_first(jacp, jacr, velocity, spin, home)
        # A joint at its limit leaves the motion to the others.
        free = np.clip(np.where(dq > 0, limits.q_max_rad - q, q - limits.q_min_rad) / self.end_rad - 0.2, 0, 1)
        if (free < 1).any():
            dq = free * self._position_first(jacp * free, jacr * free, velocity, spin, free * home)
        return self._within_speed(env, dq)

    def _position_first(self, jacp, jacr, velocity, spin, home) -> np.ndarray:
        place = jacp.T @ np.linalg.inv(jacp @ jacp.T + self.damping**2 * np.eye(3))
        free = np.eye(jacp.shape[1]) - place @ jacp
        dq = place @ velocity
        turning = jacr @ free
        back = turning.T @ np.linalg.inv(turning @ turning.T + 0.1 * np.eye(3))
        dq += free @ (back @ (spin - jacr @ dq))
        return dq + 0.5 * (free - free @ back @ turning) @ home

    @staticmethod
    def _jacobians(env, tcp) -> tuple[np.ndarray, np.ndarray]:
        jacp, jacr = np.zeros((3, env.model.nv)), np.zeros((3, env.model.nv))
        mujoco.mj_jac(env.model, env.data, jacp, jacr, tcp, env.model.body(env.robot.hand_body).id)
        arms = len(env.robot.arm_joints)
        return jacp[:, :arms], jacr[:, :arms]

    @staticmethod
    def _within_speed(env, dq):
        top = 0.98 * env.robot.limits.dq_max_rad_s
        return dq / max(1.0, np.max(np.abs(dq) / top))


def tilted(angle_rad: float) -> np.ndarray:
    """The rotation (3, 3) of a hand that points down and is tilted forward (to the world's -x) by an angle. The columns
    are the hand's axes; x points to the top of the wrist camera's image."""
    forward, down = np.sin(angle_rad), np.cos(angle_rad)
    z, x = np.array([-forward, 0, -down]), np.array([-down, 0, forward])
    return np.stack([x, np.cross(z, x), z], 1)

"""Scripted experts: privileged, memoryless, and able to label any state the student reaches.

An expert sees the simulator's true state. It is a continuous function of that state, without phases or counters,
because a student that sees one frame can only imitate what one frame can tell: a state machine would label the same
picture in two ways.
"""

import mujoco
import numpy as np


class ScriptedPick:
    """Damped-least-squares IK towards a funnel over the cube, then a grasp, then a lift to a common point.

    The tool centre point (TCP) descends as its lateral error shrinks; the fingers close once the cube is between
    them; they open again whenever it is not. The hand turns towards the nearest face of the cube at a rate
    proportional to sin 4δ, which is continuous where the nearest face changes (the opening takes the cube at any yaw).
    """

    speed_m_s = 0.75
    """Top speed of the TCP."""
    turn_rad_s = 2.5
    """Top turning rate of the hand."""
    funnel_slope = 2.5
    """Height above the cube for each metre of lateral error beyond `funnel_m`."""
    funnel_m = 0.008
    """Lateral error inside which the TCP may be at the cube's height."""
    near_m = (0.014, 0.016)
    """Lateral and vertical distance of the cube from the TCP that count as between the fingers."""
    damping = 0.05
    """λ of the damped least squares, metres a radian."""

    def label(self, env) -> np.ndarray:
        """The action (A,) float32 for the present state of `env` (a `RobotEnv` of a pick task)."""
        if env.robot.hand == "allegro":
            h = HandPick(); a = h.label(env); self.debug = h.debug; return a
        data, robot = env.data, env.robot
        hand = data.body(robot.hand_body)
        turn = hand.xmat.reshape(3, 3)
        tcp = hand.xpos + turn @ robot.tcp_in_hand_m
        cube = data.xpos[env.task.body]
        arms = len(robot.arm_joints)
        gain = env.protocol.expert_gain_per_s
        fingers = slice(arms, env.dof)
        gap_m, slide_m_s = data.qpos[fingers].sum(), np.abs(data.qvel[fingers]).max()

        offset = cube - tcp
        lateral = float(np.hypot(offset[0], offset[1]))
        between = lateral < self.near_m[0] and abs(offset[2]) < self.near_m[1]
        held = between and (gap_m < 0.048 or (gap_m < 0.067 and slide_m_s < 0.01))
        if held:
            error = np.array(env.task.lift_point_m) - cube
            spin, stiff = self._upright(turn), 0.3
        else:
            tilt = np.hypot(turn[0, 2], turn[1, 2]) if turn[2, 2] < 0 else 1.0
            above = min(self.funnel_slope * max(lateral - self.funnel_m, 0.0) + 0.4 * max(tilt - 0.1, 0.0), 0.15)
            error = offset + (0, 0, above)
            spin, stiff = self._upright(turn) + self._towards_face(turn, data.xmat[env.task.body].reshape(3, 3)), 1.0
        velocity = self._capped(gain * error, self.speed_m_s)
        if between and not held:
            velocity = self._capped(velocity, 0.03)  # the fingers are closing
        dq = self._ik(env, tcp, velocity, self._capped(gain * spin, self.turn_rad_s), stiff) / env.control_hz
        return env.protocol.action_for(dq, not between, data)

    def drive(self, env, velocity_m_s, spin_rad_s, open_gripper: bool) -> np.ndarray:
        """The action (A,) that moves the TCP by a twist in the world frame, (3,) and (3,), capped at this expert's
        speeds; a zero twist stands still. For teleoperation."""
        hand = env.data.body(env.robot.hand_body)
        tcp = hand.xpos + hand.xmat.reshape(3, 3) @ env.robot.tcp_in_hand_m
        velocity, spin = np.asarray(velocity_m_s, float), np.asarray(spin_rad_s, float)
        dq = np.zeros(len(env.robot.arm_joints))
        if velocity.any() or spin.any():
            dq = self._ik(env, tcp, self._capped(velocity, self.speed_m_s), self._capped(spin, self.turn_rad_s), 1.0)
        return env.protocol.action_for(dq / env.control_hz, open_gripper, env.data)

    @staticmethod
    def _capped(vector, top):
        size = np.linalg.norm(vector)
        return vector * (top / size) if size > top else vector

    @staticmethod
    def _upright(turn) -> np.ndarray:
        """Rotation vector that points the hand's z axis down."""
        axis = np.cross(turn[:, 2], (0, 0, -1.0))
        if turn[2, 2] > 0.99:  # pointing up: any axis will do
            return np.array([1.0, 0, 0])
        return axis

    @staticmethod
    def _towards_face(turn, cube) -> np.ndarray:
        """Rotation vector about the vertical that squares the fingers' closing axis to a face of the cube."""
        up = int(np.argmax(np.abs(cube[2])))
        side = cube[:, (up + 1) % 3]
        delta = np.arctan2(side[1], side[0]) - np.arctan2(turn[1, 1], turn[0, 1])
        return np.array([0, 0, np.sin(4 * delta) / 4])

    def _ik(self, env, tcp, velocity, spin, stiff) -> np.ndarray:
        """Joint velocities (J,) rad/s for a TCP twist, with a pull to the home posture in the null space."""
        arms = len(env.robot.arm_joints)
        jacp, jacr = np.zeros((3, env.model.nv)), np.zeros((3, env.model.nv))
        mujoco.mj_jac(env.model, env.data, jacp, jacr, tcp, env.model.body(env.robot.hand_body).id)
        weight = 0.3 * stiff  # metres a radian
        jac = np.vstack([jacp[:, :arms], weight * jacr[:, :arms]])
        twist = np.concatenate([velocity, weight * spin])
        inverse = jac.T @ np.linalg.inv(jac @ jac.T + self.damping ** 2 * np.eye(6))
        home = np.array(env.robot.q_home_rad) - env.data.qpos[:arms]
        dq = inverse @ twist
        dq += 0.5 * (home - inverse @ (jac @ home))
        top = 0.98 * env.robot.limits.dq_max_rad_s
        return dq / max(1.0, np.max(np.abs(dq) / top))


class HandPick(ScriptedPick):
    """The same for the Allegro hand: thumb on one face of the cube, the fingers on the opposite one.

    The hand lies sideways over the table, its fingers hanging down: the thumb's side is then its lower end.
    """

    speed_m_s = 0.5
    pitch_rad = np.radians(20)
    near_m = (0.016, 0.014)
    lift_point_m = (0.60, 0.0, 0.76)

    def label(self, env) -> np.ndarray:
        data, robot = env.data, env.robot
        hand = data.body(robot.hand_body)
        turn = hand.xmat.reshape(3, 3)
        tcp = hand.xpos + turn @ robot.tcp_in_hand_m
        cube = data.xpos[env.task.body]
        gain = env.protocol.expert_gain_per_s
        arms = len(robot.arm_joints)
        offset = cube - tcp
        lateral = float(np.hypot(offset[0], offset[1]))
        tips = env.task.fingertips(data)
        spread = np.linalg.norm(tips[:3].mean(0) - tips[3])
        slow = np.abs(data.qvel[arms:env.dof]).max() < 0.5
        between = lateral < self.near_m[0] and abs(offset[2]) < self.near_m[1]
        caged = spread < 0.14 and np.linalg.norm(cube - (tips[:3].mean(0) + tips[3]) / 2) < 0.04
        held = spread < 0.085 and slow and caged
        goal = self._grasp(cube, data.xmat[env.task.body].reshape(3, 3), turn)
        spin = 0.5 * sum(np.cross(turn[:, i], goal[:, i]) for i in range(3))
        if held:
            error, stiff = np.array(self.lift_point_m) - cube, 0.3
        else:
            above = min(self.funnel_slope * max(lateral - self.funnel_m, 0.0) + 0.25 * max(np.linalg.norm(spin) - 0.1, 0.0), 0.15)
            error, stiff = offset + (0, 0, above), 1.0
        velocity = self._capped(gain * error, self.speed_m_s)
        if (between or caged) and not held:
            velocity = self._capped(velocity, 0.03)
        dq = self._ik(env, tcp, velocity, self._capped(gain * spin, self.turn_rad_s), stiff) / env.control_hz
        self.debug = (offset, lateral, spread, slow, between, caged, held, np.linalg.norm(spin))
        return env.protocol.action_for(dq, not (between or caged), data)

    def _grasp(self, cube, box, turn) -> np.ndarray:
        """Rotation (3, 3) of the hand at the grasp."""
        out = np.arctan2(cube[1], cube[0] - 1.0)
        heading = out + np.radians(np.interp(np.hypot(cube[1], cube[0] - 1.0), [0.4, 0.632], [94, 68]))
        up = int(np.argmax(np.abs(box[2])))
        side = box[:, (up + 1) % 3]
        yaw = np.arctan2(side[1], side[0]) - heading
        heading += (yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4
        ahead, down = np.array([np.cos(heading), np.sin(heading), 0]), np.array([0, 0, -1.0])
        z = np.cos(self.pitch_rad) * ahead + np.sin(self.pitch_rad) * down
        x = np.cos(self.pitch_rad) * down - np.sin(self.pitch_rad) * ahead
        return np.stack([x, np.cross(z, x), z], 1)

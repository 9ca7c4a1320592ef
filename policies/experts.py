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
            return HandPick().label(env)
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

    The hand comes from the side, about level (`pitch_rad` below it), with thumb and fingers hanging down around the cube:
    beside it, because a level hand that points away from the base leaves the elbow no room over the near half of the
    table. Its heading is that of the cube's face nearest to `heading_rad`, so it jumps where a cube's yaw lies between two
    faces, but never with the motion of the hand.
    """

    speed_m_s = 0.5
    pitch_rad = np.radians(20)
    """Of the fingers' direction below the horizontal, where the closing thumb and fingers are vertical."""
    heading_rad = ((0.4, 0.632), tuple(np.radians((94, 64))))
    """Heading from the outward direction, over the cube's distance from the base in metres: nearest and farthest cube."""
    near_m = (0.016, 0.014)
    held_spread_m, open_spread_m = 0.085, 0.14
    """Between the fingers' middle and the thumb: below the first the cube is in between, above the second the hand is open."""
    still_rad_s = 0.5
    """Fingers slower than this have come to rest on something."""
    caged_m = 0.04
    """The closing hand goes on closing while the cube is this near to the middle of its tips."""

    def label(self, env) -> np.ndarray:
        data, robot = env.data, env.robot
        hand = data.body(robot.hand_body)
        turn = hand.xmat.reshape(3, 3)
        tcp = hand.xpos + turn @ robot.tcp_in_hand_m
        cube = data.xpos[env.task.body]
        gain = env.protocol.expert_gain_per_s

        tips = env.task.fingertips(data)
        fingers, thumb = tips[:3].mean(0), tips[3]
        spread = np.linalg.norm(fingers - thumb)
        caged = spread < self.open_spread_m and np.linalg.norm(cube - (fingers + thumb) / 2) < self.caged_m
        still = np.abs(data.qvel[len(robot.arm_joints):env.dof]).max() < self.still_rad_s
        held = caged and spread < self.held_spread_m and still
        offset = cube - tcp
        lateral = float(np.hypot(offset[0], offset[1]))
        between = lateral < self.near_m[0] and abs(offset[2]) < self.near_m[1]

        goal = self._grasp(cube - data.body("base").xpos, data.xmat[env.task.body].reshape(3, 3))
        spin = 0.5 * np.cross(turn, goal, axis=0).sum(1)
        if held:
            error, stiff = np.array(env.task.lift_point_m) - cube, 0.3
        else:
            above = self.funnel_slope * max(lateral - self.funnel_m, 0.0) + 0.25 * max(np.linalg.norm(spin) - 0.1, 0.0)
            error, stiff = offset + (0, 0, min(above, 0.15)), 1.0
        velocity = self._capped(gain * error, self.speed_m_s)
        if (between or caged) and not held:
            velocity = self._capped(velocity, 0.03)  # the hand is closing
        dq = self._ik(env, tcp, velocity, self._capped(gain * spin, self.turn_rad_s), stiff) / env.control_hz
        return env.protocol.action_for(dq, not (between or caged), data)

    def _grasp(self, from_base, cube) -> np.ndarray:
        """Rotation (3, 3) of the hand at the grasp; `from_base` (3,) to the cube, `cube` its rotation."""
        outward = np.arctan2(from_base[1], from_base[0])
        heading = outward + np.interp(np.hypot(from_base[0], from_base[1]), *self.heading_rad)
        side = cube[:, (int(np.argmax(np.abs(cube[2]))) + 1) % 3]
        heading += (np.arctan2(side[1], side[0]) - heading + np.pi / 4) % (np.pi / 2) - np.pi / 4
        c, s = np.cos(self.pitch_rad), np.sin(self.pitch_rad)
        ahead, down = np.array([np.cos(heading), np.sin(heading), 0]), np.array([0, 0, -1.0])
        z, x = c * ahead + s * down, c * down - s * ahead
        return np.stack([x, np.cross(z, x), z], 1)

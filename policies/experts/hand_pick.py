"""The expert of the task pick for the Allegro hand."""

import numpy as np

from policies.experts.motion import Scripted


class HandPick(Scripted):
    """Picks a cube with the Allegro hand: the thumb on one face of the cube, the fingers on the opposite face.

    The hand comes from the side and is nearly level (`pitch_rad` below the horizontal), with thumb and fingers hanging
    down around the cube. It does not come from the base's side: a level hand that points away from the base leaves the
    elbow no room over the near half of the table. Its heading is `heading_rad`, turned by a share towards the nearest
    face of the cube. The closing fingers turn the cube the rest of the way. Turning to the face itself is not more
    reliable, and a student that sees a cube between two faces would have to know which of them the arm can reach.
    """

    speed_m_s = 0.5
    pitch_rad = np.radians(20)
    """Angle of the fingers' direction below the horizontal. The closing thumb and fingers are then vertical."""
    heading_rad = ((0.4, 0.632), tuple(np.radians((94, 64))))
    """Cube's distance from the base in metres (nearest, farthest) → the heading, measured from the outward
    direction."""
    face_share = 0.3
    """The hand turns by this share of the angle to the nearest face."""
    turn_enough_rad = 0.3
    """The hand comes down when its rotation error is below this."""
    funnel_slope, funnel_m = 2.5, 0.008
    """As `ScriptedPick`'s."""
    near_m = (0.016, 0.014)
    held_spread_m, open_spread_m = 0.085, 0.14
    """Distance between the fingers' middle and the thumb. Below the first number the hand holds the cube, above the
    second one it is open."""
    still_rad_s = 0.5
    """Fingers that are slower than this touch something and have stopped."""
    caged_m = 0.04
    """The hand continues to close while the cube is this near to the middle of the fingertips."""

    def label(self, env) -> np.ndarray:
        data, robot = env.data, env.robot
        tcp, turn = self.tool(env)
        cube = data.xpos[env.task.body]
        gain = env.protocol.expert_gain_per_s

        tips = env.task.fingertips(data)
        fingers, thumb = tips[:3].mean(0), tips[3]
        spread = np.linalg.norm(fingers - thumb)
        caged = spread < self.open_spread_m and np.linalg.norm(cube - (fingers + thumb) / 2) < self.caged_m
        still = np.abs(data.qvel[len(robot.arm_joints) : env.dof]).max() < self.still_rad_s
        held = caged and spread < self.held_spread_m and still
        offset = cube - tcp
        lateral = float(np.hypot(offset[0], offset[1]))
        between = lateral < self.near_m[0] and abs(offset[2]) < self.near_m[1]

        goal = self._grasp(cube - data.body("base").xpos, data.xmat[env.task.body].reshape(3, 3))
        spin = 0.5 * np.cross(turn, goal, axis=0).sum(1)
        closing = between or caged
        if held:
            dq = self._carry(env, tcp, turn, cube, spin)
        else:
            above = self.funnel_slope * max(lateral - self.funnel_m, 0.0) + 0.25 * max(
                float(np.linalg.norm(spin)) - self.turn_enough_rad, 0.0
            )
            velocity = self._capped(gain * (offset + (0, 0, min(above, 0.15))), 0.03 if closing else self.speed_m_s)
            dq = self._ik(env, tcp, velocity, self._capped(gain * spin, self.turn_rad_s), 1.0)
        return env.protocol.action_for(dq / env.control_hz, not closing, data)

    def _carry(self, env, tcp, turn, cube, spin) -> np.ndarray:
        """Joint velocities (J,) rad/s with the cube in the hand. `spin` (3,) leads to the rotation of the grasp."""
        gain = env.protocol.expert_gain_per_s
        velocity = self._capped(gain * (np.array(env.task.lift_point_m) - cube), self.speed_m_s)
        return self._ik(env, tcp, velocity, self._capped(gain * spin, self.turn_rad_s), 0.3)

    def _grasp(self, from_base, cube) -> np.ndarray:
        """Rotation (3, 3) of the hand at the grasp. `from_base` (3,) is the way to the cube, `cube` the cube's
        rotation."""
        c, s = np.cos(self.pitch_rad), np.sin(self.pitch_rad)
        outward = np.arctan2(from_base[1], from_base[0])
        heading = outward + np.interp(np.hypot(from_base[0], from_base[1]), *self.heading_rad)
        quarter = np.pi / 2
        heading += self.face_share * ((self._face_yaw(cube) - heading + quarter / 2) % quarter - quarter / 2)
        ahead, down = np.array([np.cos(heading), np.sin(heading), 0]), np.array([0, 0, -1.0])
        z, x = c * ahead + s * down, c * down - s * ahead
        return np.stack([x, np.cross(z, x), z], 1)

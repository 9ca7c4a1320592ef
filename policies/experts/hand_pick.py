"""The expert of the task pick for the Allegro hand."""

import numpy as np

from policies.experts.motion import Scripted


class HandPick(Scripted):
    """Pick with the Allegro hand: thumb on one face of the cube, the fingers on the opposite one.

    The hand comes from the side, about level (`pitch_rad` below it), with thumb and fingers hanging down around the cube:
    beside it, because a level hand that points away from the base leaves the elbow no room over the near half of the
    table. Its heading is that of the cube's face nearest to `heading_rad`. Where the cube's yaw lies between two faces, the
    hand's own heading decides: a student that hesitates there and is turned a little is told to go on that way.
    """

    speed_m_s = 0.5
    pitch_rad = np.radians(20)
    """Of the fingers' direction below the horizontal, where the closing thumb and fingers are vertical."""
    heading_rad = ((0.4, 0.632), tuple(np.radians((94, 64))))
    """Heading from the outward direction, over the cube's distance from the base in metres: nearest and farthest cube."""
    own_heading_rad = 0.14
    """How far the hand's own heading draws that heading to itself, at most: an arm of full length has little more room."""
    funnel_slope, funnel_m = 2.5, 0.008
    """As `ScriptedPick`'s."""
    near_m = (0.016, 0.014)
    held_spread_m, open_spread_m = 0.085, 0.14
    """Between the fingers' middle and the thumb: below the first the cube is in between, above the second the hand is open."""
    still_rad_s = 0.5
    """Fingers slower than this have come to rest on something."""
    caged_m = 0.04
    """The closing hand goes on closing while the cube is this near to the middle of its tips."""

    def label(self, env) -> np.ndarray:
        data, robot = env.data, env.robot
        tcp, turn = self.tool(env)
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

        goal = self._grasp(turn, cube - data.body("base").xpos, data.xmat[env.task.body].reshape(3, 3), self._faces(lateral))
        spin = 0.5 * np.cross(turn, goal, axis=0).sum(1)
        closing = between or caged
        if held:
            dq = self._carry(env, tcp, turn, cube, spin)
        else:
            above = self.funnel_slope * max(lateral - self.funnel_m, 0.0) + 0.25 * max(np.linalg.norm(spin) - 0.1, 0.0)
            velocity = self._capped(gain * (offset + (0, 0, min(above, 0.15))), 0.03 if closing else self._speed(lateral, spin))
            dq = self._ik(env, tcp, velocity, self._capped(gain * spin, self.turn_rad_s), 1.0)
        return env.protocol.action_for(dq / env.control_hz, not closing, data)

    def _carry(self, env, tcp, turn, cube, spin) -> np.ndarray:
        """Joint velocities (J,) rad/s with the cube in the hand; `spin` (3,) to the rotation of the grasp."""
        gain = env.protocol.expert_gain_per_s
        velocity = self._capped(gain * (np.array(env.task.lift_point_m) - cube), self.speed_m_s)
        return self._ik(env, tcp, velocity, self._capped(gain * spin, self.turn_rad_s), 0.3)

    def _faces(self, lateral_m) -> float:
        """How much the cube's yaw counts in the hand's heading, this far beside it."""
        return 1.0

    def _speed(self, lateral_m, spin) -> float:
        """Top speed towards the cube, this far beside it and with a rotation (3,) to go."""
        return self.speed_m_s

    def _grasp(self, turn, from_base, cube, faces=1.0) -> np.ndarray:
        """Rotation (3, 3) of the hand at the grasp; `turn` is its rotation now, `from_base` (3,) to the cube, `cube` its
        rotation, which counts by the share `faces`."""
        c, s = np.cos(self.pitch_rad), np.sin(self.pitch_rad)
        own = c * turn[:, 2] - s * turn[:, 0]
        outward = np.arctan2(from_base[1], from_base[0])
        heading = outward + np.interp(np.hypot(from_base[0], from_base[1]), *self.heading_rad)
        near = np.clip(_wrapped(np.arctan2(own[1], own[0]) - heading, np.pi), -self.own_heading_rad, self.own_heading_rad)
        side = cube[:, (int(np.argmax(np.abs(cube[2]))) + 1) % 3]
        heading += faces * (near + _wrapped(np.arctan2(side[1], side[0]) - heading - near, np.pi / 4))
        ahead, down = np.array([np.cos(heading), np.sin(heading), 0]), np.array([0, 0, -1.0])
        z, x = c * ahead + s * down, c * down - s * ahead
        return np.stack([x, np.cross(z, x), z], 1)


def _wrapped(angle, half) -> float:
    """The angle plus or minus whole turns of 2 · `half`, in [-half, half)."""
    return (angle + half) % (2 * half) - half

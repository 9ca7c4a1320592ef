"""The expert of the task move for the Allegro hand."""

import numpy as np

from policies.experts.hand_pick import HandPick


class HandMove(HandPick):
    """`HandPick` up to the grasp. Then the hand turns to its rotation at home, from which the wrist camera sees every
    possible goal past the cube. As it turns, the target moves from a common point to the goal. This way a student that
    can't see the goal yet only needs to lift and turn."""

    common_m = (0.6, 0.3, 0.7)
    """Where the cube is lifted to before the goal is in view, world frame."""
    ahead, top = (-0.87, -0.37, -0.33), (-0.47, 0.42, 0.78)
    """Directions of the carrying hand and of the top of the camera's image, world frame: about those at home."""
    turned_rad = (0.7, 0.3)
    """Angles from that rotation at which the target leaves the common point, and at which it is the goal. With (1.0,
    0.5) the goal was out of view in 8 % of the steps whose label depends on it; with these, in 3 %."""
    carry_turn_rad_s = 1.5
    """Top turning rate with the cube in the hand."""

    def _carry(self, env, tcp, turn, cube, spin) -> np.ndarray:
        gain = env.protocol.expert_gain_per_s
        to_go = self._towards(turn, self.carrying())
        begin, end = self.turned_rad
        seen = np.clip((begin - np.linalg.norm(to_go)) / (begin - end), 0, 1)
        target = (1 - seen) * np.array(self.common_m) + seen * env.task.goal.at(env.data)
        velocity = self._capped(gain * (target - cube), self.speed_m_s)
        return self._ik_position_first(env, tcp, velocity, self._capped(gain * to_go, self.carry_turn_rad_s))

    def carrying(self) -> np.ndarray:
        """The rotation (3, 3) of the hand that carries."""
        z, top = np.array(self.ahead) / np.linalg.norm(self.ahead), np.array(self.top)
        x = (top @ z) * z - top
        x /= np.linalg.norm(x)
        return np.stack([x, np.cross(z, x), z], 1)

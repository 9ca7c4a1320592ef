"""The expert of the task move."""

import numpy as np

from policies.experts.motion import tilted
from policies.experts.pick import ScriptedPick


class ScriptedMove(ScriptedPick):
    """`ScriptedPick` up to the grasp. Then the hand tilts forward, so that the wrist camera sees the goal, which it doesn't
    in the moment of the grasp; the tilt says how far the target has gone over from a common point to the goal: a student
    that can't see the goal yet needs only to lift and tilt."""

    tilt_rad = 1.1
    """Tilt of the hand from pointing down, with the cube in it."""
    common_m = (0.68, 0.0, 0.68)
    """Where the cube is lifted to before the goal is in view, world frame."""

    near_m = (0.014, 0.01)

    def _grips(self, offset, gap_m: float) -> bool:
        return 0.03 < gap_m < 0.048 and float(np.linalg.norm(offset)) < 0.035  # turning, it is pushed off the middle

    def _carry(self, env, tcp, turn, cube) -> np.ndarray:
        gain = env.protocol.expert_gain_per_s
        tilt = np.arctan2(-turn[0, 2], -turn[2, 2])
        seen = np.clip((tilt / self.tilt_rad - 0.4) / 0.4, 0, 1)
        target = (1 - seen) * np.array(self.common_m) + seen * env.task.goal.at(env.data)
        velocity = self._capped(gain * (target - cube), self.speed_m_s)
        spin = self._capped(gain * self._towards(turn, tilted(self.tilt_rad)), self.turn_rad_s)
        return self._ik_position_first(env, tcp, velocity, spin)

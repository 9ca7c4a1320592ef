"""The expert of the task move."""

import numpy as np

from policies.experts.motion import tilted
from policies.experts.pick import ScriptedPick


class ScriptedMove(ScriptedPick):
    """`ScriptedPick` up to the grasp. Then the hand tilts forward. If the wrist camera sees the goal, the cube moves to
    the goal. Otherwise (at the moment of the grasp, or after a student has passed the goal) it moves to a common point
    from which every goal is in view. Thus no label depends on a goal that can't be seen."""

    tilt_rad = 1.0
    """Tilt of the hand from pointing down, with the cube in it."""
    common_m = (0.7, 0.0, 0.76)
    """Where the cube is lifted to before the goal is in view, world frame."""

    def _grips(self, offset, gap_m: float) -> bool:
        return 0.03 < gap_m < 0.048 and float(np.linalg.norm(offset)) < 0.035  # turning pushes it out of the middle

    def _carry(self, env, tcp, turn, cube) -> np.ndarray:
        gain = env.protocol.expert_gain_per_s
        goal = env.task.goal.at(env.data)
        seen = self._in_view(env, goal)
        target = (1 - seen) * np.array(self.common_m) + seen * goal
        velocity = self._capped(gain * (target - cube), self.speed_m_s)
        spin = self._capped(gain * self._towards(turn, tilted(self.tilt_rad)), self.turn_rad_s)
        return self._ik_position_first(env, tcp, velocity, spin)

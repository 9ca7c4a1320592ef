"""The expert of the task reach."""

import numpy as np

from policies.experts.motion import Scripted, tilted


class ScriptedReach(Scripted):
    """Moves straight to the goal. The hand is tilted forward so that the wrist camera keeps the goal in view. The tilt
    changes if the arm can't reach the goal otherwise. The fingers stay open."""

    tilt_rad = 0.85
    """Angle between the hand and straight down."""

    def label(self, env) -> np.ndarray:
        tcp, turn = self.tool(env)
        gain = env.protocol.expert_gain_per_s
        velocity = self._capped(gain * (env.task.goal.at(env.data) - env.task.hand(env.data)), self.speed_m_s)
        spin = self._capped(gain * self._towards(turn, tilted(self.tilt_rad)), self.turn_rad_s)
        dq = self._ik_position_first(env, tcp, velocity, spin)
        return env.protocol.action_for(dq / env.control_hz, True, env.data)

"""The expert of the task reach for the Allegro hand."""

import numpy as np

from policies.experts.motion import Scripted, tilted


class HandReach(Scripted):
    """Moves the index fingertip straight to the goal. The hand is open, with its palm down and its fingers ahead, so
    that the wrist camera keeps the goal in view. The direction changes if the arm can't reach the goal otherwise."""

    pitch_rad = 0.6
    """Angle of the hand below the horizontal."""

    def label(self, env) -> np.ndarray:
        tip, turn = env.task.hand(env.data), self.tool(env)[1]
        gain = env.protocol.expert_gain_per_s
        velocity = self._capped(gain * (env.task.goal.at(env.data) - tip), self.speed_m_s)
        spin = self._capped(gain * self._towards(turn, palm_down(self.pitch_rad)), self.turn_rad_s)
        dq = self._ik_position_first(env, tip, velocity, spin)
        return env.protocol.action_for(dq / env.control_hz, True, env.data)


def palm_down(pitch_rad: float) -> np.ndarray:
    """The rotation (3, 3) of the Allegro hand that points forward (to the world's -x), an angle below the horizontal,
    with its palm down. The wrist camera's image is then upright."""
    return tilted(np.pi / 2 - pitch_rad) * (-1, -1, 1)

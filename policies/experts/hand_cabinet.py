"""The expert of the task cabinet for the Allegro hand."""

import numpy as np

from policies.experts.hand_reach import palm_down
from policies.experts.motion import Scripted


class HandCabinet(Scripted):
    """The three fingers of the open hand come from above into the gap between handle and drawer front, and pull.

    The hand never closes: fingers that hang behind the handle hold more than the drawer asks for. A funnel over the gap
    lowers the fingertips as their lateral error shrinks, and sideways motion waits until they are high enough for it.
    How deep they hang behind the handle blends the way there over into the pull, so that no label jumps.
    """

    speed_m_s = 0.6
    pitch_rad = np.radians(20)
    """Of the hand below the horizontal: the last links hang about vertically."""
    end_m = (0.04, 0.002, 0.0)
    """The end of a finger's last link, in its frame."""
    gap_m = 0.0245
    """The gap's middle in front of the handle's: 32 mm wide, and fingers are 21 mm thick."""
    depth_m = 0.03
    """How far below the handle's middle the fingertips hang."""
    funnel_slope, funnel_m = 3.0, (0.004, 0.012)
    """Height for each metre of lateral error beyond the tolerances, across and along the handle."""
    clear_m = 0.07
    """Greatest height above the depth."""
    hooked_m = (0.012, 0.024)
    """Depths below the handle's middle from which the pull begins, and at which it is in full."""
    pull_m_s = 0.3
    open_m = 0.38
    """How far the drawer is pulled: short of its stop."""

    def label(self, env) -> np.ndarray:
        data, gain = env.data, env.protocol.expert_gain_per_s
        tip = np.mean([data.xpos[b] + data.xmat[b].reshape(3, 3) @ self.end_m for b in env.task.fingers[:3]], 0)
        turn = self.tool(env)[1]
        offset = env.task.handle(data) + (-self.gap_m, 0, -self.depth_m) - tip
        spin = self._towards(turn, palm_down(self.pitch_rad))

        beyond = np.maximum(np.abs(offset[:2]) - self.funnel_m, 0)
        up = min(self.funnel_slope * float(np.hypot(*beyond)), self.clear_m)
        short = up + offset[2]
        error = offset + (0, 0, up)
        error[:2] *= np.clip(1 - (short - 0.01) / 0.03, 0, 1)
        way = self._capped(gain * error, self.speed_m_s)

        depth = self.depth_m + offset[2]
        hooked = np.clip((depth - self.hooked_m[0]) / (self.hooked_m[1] - self.hooked_m[0]), 0, 1)
        hooked *= np.clip(2 - abs(offset[0]) / 0.01, 0, 1) * np.clip(2 - abs(offset[1]) / 0.015, 0, 1)
        top = np.clip(0.1 + data.qvel[env.task.drawer_speed], 0.05, self.pull_m_s)
        pull = np.array([min(gain * (self.open_m - data.qpos[env.task.drawer]), top), *way[1:]])
        velocity = (1 - hooked) * way + hooked * pull
        dq = self._ik(env, tip, velocity, self._capped(gain * spin, self.turn_rad_s), 1.0)
        return env.protocol.action_for(dq / env.control_hz, True, data)

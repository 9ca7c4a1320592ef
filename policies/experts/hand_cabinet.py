"""The expert of the task cabinet for the Allegro hand."""

import numpy as np

from policies.experts.hand_reach import palm_down
from policies.experts.motion import Scripted


class HandCabinet(Scripted):
    """Opens a drawer: three fingers of the open hand reach from above into the gap behind the handle, and pull.

    The hand never closes, because fingers behind the handle are strong enough for the drawer. A funnel over the gap
    lowers the fingertips as their lateral error shrinks. Sideways motion waits until they are high enough. The approach
    and the pull are blended by the depth of the fingers behind the handle, so that no label jumps.
    """

    speed_m_s = 0.6
    pitch_rad = np.radians(20)
    """Angle of the hand below the horizontal. The fingers' last links are then about vertical."""
    end_m = (0.04, 0.002, 0.0)
    """The end of a finger's last link, in the link's coordinates."""
    gap_m = 0.0245
    """Distance from the handle's middle to the gap's middle. The gap is 32 mm wide, and fingers are 21 mm thick."""
    depth_m = 0.03
    """How far below the handle's middle the fingertips are."""
    funnel_slope, funnel_m = 3.0, (0.004, 0.012)
    """Height for each metre of lateral error beyond the tolerances, across and along the handle."""
    clear_m = 0.07
    """Greatest height above the depth."""
    hooked_m = (0.012, 0.024)
    """Depths below the handle's middle at which the pull begins, and at which it has its full share."""
    pull_m_s = 0.3
    open_m = 0.38
    """How far the drawer is pulled: less than to its stop."""

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

"""The expert of the task cabinet."""

import numpy as np

from policies.experts.motion import Scripted


class ScriptedCabinet(Scripted):
    """Opens a drawer. The hand comes through a funnel in front of the handle, with one finger above the other. It
    closes when the handle is between the fingers, pulls straight back, and opens again whenever the handle is not
    there."""

    tilt_rad = 0.2
    """How far the hand points below the horizontal. This way the lower finger comes from the front, and the arm folds
    better."""
    funnel_slope = 2.0
    """Distance in front of the handle for each metre of lateral error beyond `funnel_m`."""
    funnel_m = 0.008
    """Lateral error inside which the fingers may be around the handle."""
    stand_off_m = 0.15
    """The greatest distance in front of the handle."""
    near_m = (0.02, 0.015, 0.006)
    """The handle is between the fingers if it is nearer to the TCP than this: along the handle, in the closing
    direction, and ahead."""
    grip_m = 0.0185
    """Opening of a hand that has closed on the handle, 16 mm thick."""
    pull_m_s = 0.3
    """Top speed of the pull."""
    open_m = 0.38
    """How far the drawer is pulled: less than to its stop."""

    def label(self, env) -> np.ndarray:
        data, arms = env.data, len(env.robot.arm_joints)
        tcp, turn = self.tool(env)
        gain = env.protocol.expert_gain_per_s
        wanted = level(self.tilt_rad)
        offset = env.task.handle(data) - tcp
        along, closing, ahead = offset @ turn
        between = abs(along) < self.near_m[0] and abs(closing) < self.near_m[1] and abs(ahead) < self.near_m[2]
        held = between and data.qpos[arms : env.dof].sum() < self.grip_m
        if held:
            # The pull speeds up with the drawer: a hand that holds with 40 N loses the handle in a sudden pull.
            top = np.clip(0.1 + data.qvel[env.task.drawer_speed], 0.05, self.pull_m_s)
            pull = min(gain * (self.open_m - data.qpos[env.task.drawer]), top)
            velocity = self._capped(gain * offset * (0, 1, 1), 0.1) + (pull, 0, 0)
        else:
            lateral = float(np.linalg.norm(offset - (offset @ wanted[:, 2]) * wanted[:, 2]))
            spin = float(np.linalg.norm(self._towards(turn, wanted)))
            back = min(
                self.funnel_slope * max(lateral - self.funnel_m, 0.0) + 0.4 * max(spin - 0.1, 0.0), self.stand_off_m
            )
            velocity = self._capped(gain * (offset - back * wanted[:, 2]), 0.03 if between else self.speed_m_s)
        spin = self._capped(gain * self._towards(turn, wanted), self.turn_rad_s)
        dq = self._ik(env, tcp, velocity, spin, 0.5 if held else 1.0)
        return env.protocol.action_for(dq / env.control_hz, not between, data)


def level(tilt_rad: float) -> np.ndarray:
    """The rotation (3, 3) of a hand that points forward (to the world's -x) and a little down, with its closing axis
    upwards."""
    z, x = np.array([-np.cos(tilt_rad), 0, -np.sin(tilt_rad)]), np.array([0, -1.0, 0])
    return np.stack([x, np.cross(z, x), z], 1)

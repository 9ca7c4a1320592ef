"""The expert of the tasks pick and cube."""

import numpy as np

from policies.experts.motion import Scripted


class ScriptedPick(Scripted):
    """Picks a cube: through a funnel over the cube, then a grasp, then a lift to a common point.

    The tool centre point (TCP) descends as its lateral error shrinks. The fingers close when the cube is between them,
    and open again whenever it is not. The hand turns towards the nearest face of the cube at a rate proportional to sin
    4δ. This is continuous where the nearest face changes (the open hand fits around the cube at any yaw).
    """

    funnel_slope = 2.5
    """Height above the cube for each metre of lateral error beyond `funnel_m`."""
    funnel_m = 0.008
    """With less lateral error than this, the TCP may be at the cube's height."""
    near_m = (0.014, 0.016)
    """The cube is between the fingers if its lateral and vertical distances from the TCP are below these."""

    def label(self, env) -> np.ndarray:
        data, arms = env.data, len(env.robot.arm_joints)
        tcp, turn = self.tool(env)
        cube = data.xpos[env.task.body]
        fingers = slice(arms, env.dof)
        gap_m, slide_m_s = data.qpos[fingers].sum(), np.abs(data.qvel[fingers]).max()

        offset = cube - tcp
        lateral = float(np.hypot(offset[0], offset[1]))
        between = lateral < self.near_m[0] and abs(offset[2]) < self.near_m[1]
        held = between and (gap_m < 0.048 or (gap_m < 0.067 and slide_m_s < 0.01)) or self._grips(offset, gap_m)
        if held:
            dq = self._carry(env, tcp, turn, cube)
        else:
            tilt = np.hypot(turn[0, 2], turn[1, 2]) if turn[2, 2] < 0 else 1.0
            above = min(self.funnel_slope * max(lateral - self.funnel_m, 0.0) + 0.4 * max(tilt - 0.1, 0.0), 0.15)
            spin = self._upright(turn) + self._towards_face(turn, data.xmat[env.task.body].reshape(3, 3))
            # The hand moves slowly while the fingers close.
            dq = self._twist(env, tcp, offset + (0, 0, above), spin, 1.0, 0.03 if between else self.speed_m_s)
        return env.protocol.action_for(dq / env.control_hz, not (between or held), data)

    def _grips(self, offset, gap_m: float) -> bool:
        """Whether the hand holds the cube, although the cube is not in the middle."""
        return False

    def _carry(self, env, tcp, turn, cube) -> np.ndarray:
        """Joint velocities (J,) rad/s with the cube in the hand."""
        return self._twist(env, tcp, np.array(env.task.lift_point_m) - cube, self._upright(turn), 0.3, self.speed_m_s)

    def _twist(self, env, tcp, error, spin, stiff, top_m_s) -> np.ndarray:
        gain = env.protocol.expert_gain_per_s
        velocity = self._capped(gain * error, min(top_m_s, self.speed_m_s))
        return self._ik(env, tcp, velocity, self._capped(gain * spin, self.turn_rad_s), stiff)

    def _towards_face(self, turn, cube) -> np.ndarray:
        """Rotation vector about the vertical that aligns the fingers' closing axis with a face of the cube."""
        delta = self._face_yaw(cube) - np.arctan2(turn[1, 1], turn[0, 1])
        return np.array([0, 0, np.sin(4 * delta) / 4])

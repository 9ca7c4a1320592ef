"""The expert of robosuite's Lift."""

import numpy as np

from policies.experts.motion import Scripted


class ScriptedLift(Scripted):
    """`ScriptedPick`'s funnel, grasp and lift in robosuite's own actions. These are displacements of the hand, so no
    inverse kinematics is needed."""

    gain = 0.8
    """Share of the error that a step commands. robosuite's controller moves about half of the way in a step."""
    near_m = (0.012, 0.012)
    """The cube is between the fingers if its lateral and vertical distances from the grip site are below these."""
    metres, radians = 0.05, 0.5
    """The displacement of 1.0 in the action."""

    def label(self, env) -> np.ndarray:
        """The action (7,) float32 for the present state of `env`, a `RobosuiteLift`."""
        (tool, turn), (cube, cube_turn) = env.tool, env.cube
        offset = cube - tool
        lateral = float(np.hypot(offset[0], offset[1]))
        between = lateral < self.near_m[0] and abs(offset[2]) < self.near_m[1]
        above = min(2.5 * max(lateral - 0.008, 0.0), 0.1)
        move = np.array([0, 0, 0.05]) if between and env.grasped else offset + (0, 0, above)
        spin = self._upright(turn) + self._to_a_face(turn, cube_turn)
        action = np.concatenate(
            [self.gain * move / self.metres, self.gain * spin / self.radians, [1.0 if between else -1.0]]
        )
        return np.clip(action, -1, 1).astype(np.float32)

    @staticmethod
    def _to_a_face(turn, cube) -> np.ndarray:
        """Rotation vector about the vertical that aligns the fingers' closing axis (the site's y) with a face of the
        cube."""
        delta = np.arctan2(cube[1, 0], cube[0, 0]) - np.arctan2(turn[1, 1], turn[0, 1])
        return np.array([0, 0, np.sin(4 * delta) / 4])

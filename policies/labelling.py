"""Names of the experts that can label any state of an environment."""

import numpy as np

from policies.experts import ScriptedCabinet, ScriptedMove, ScriptedPick, ScriptedReach
from toto_robot.errors import UserError

SCRIPTED = {"reach": ScriptedReach(), "cabinet": ScriptedCabinet(), "pick": ScriptedPick(), "move": ScriptedMove(),
            "cube": ScriptedPick()}
"""The scripted expert of each task."""


class ScriptedExpert:
    """The scripted expert of whichever task an environment has."""

    def label(self, env) -> np.ndarray:
        """The action (A,) float32 for the present state of `env` (a `RobotEnv`)."""
        return SCRIPTED[env.task.name].label(env)


EXPERTS = {"scripted": ScriptedExpert}


def make_labeller(name: str):
    """The expert called `name`: a picklable object whose `label(env)` gives the action for the present state."""
    if name not in EXPERTS:
        raise UserError(f"expert={name!r} does not exist. What exists: {', '.join(sorted(EXPERTS))}.")
    return EXPERTS[name]()

"""Names of the experts that can label any state of an environment."""

import numpy as np

from envs.errors import EnvError
from policies.experts import HandPick, ScriptedCabinet, ScriptedLift, ScriptedMove, ScriptedPick, ScriptedReach
from toto_robot.errors import UserError

SCRIPTED = {
    "parallel": {"reach": ScriptedReach(), "cabinet": ScriptedCabinet(), "pick": ScriptedPick(), "cube": ScriptedPick(),
                 "move": ScriptedMove(), "lift": ScriptedLift()},
    "allegro": {"pick": HandPick()},
}
"""The scripted expert of each task, for each kind of hand."""


class ScriptedExpert:
    """The scripted expert of whichever task and hand an environment has."""

    def label(self, env) -> np.ndarray:
        """The action (A,) float32 for the present state of `env` (a `RobotEnv`)."""
        experts = SCRIPTED.get(env.robot.hand, {})
        if env.task.name not in experts:
            what = "; ".join(f"{hand} hand: {', '.join(tasks)}" for hand, tasks in SCRIPTED.items())
            raise EnvError(f"expert=scripted does not exist for {env.name} ({env.robot.hand} hand). What exists: {what}.")
        return experts[env.task.name].label(env)


EXPERTS = {"scripted": ScriptedExpert}


def make_labeller(name: str):
    """The expert called `name`: a picklable object whose `label(env)` gives the action for the present state."""
    if name not in EXPERTS:
        raise UserError(f"expert={name!r} does not exist. What exists: {', '.join(sorted(EXPERTS))}.")
    return EXPERTS[name]()

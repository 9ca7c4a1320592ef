"""The experts by name: scripted, or the policy of a run."""

from pathlib import Path

import numpy as np

from envs.errors import EnvError
from policies.experts import (
    HandCabinet,
    HandMove,
    HandPick,
    HandReach,
    LearnedExpert,
    ScriptedCabinet,
    ScriptedHidden,
    ScriptedLift,
    ScriptedMove,
    ScriptedPick,
    ScriptedReach,
)
from toto_robot.ground.errors import unknown

SCRIPTED = {
    "parallel": {
        "reach": ScriptedReach(),
        "cabinet": ScriptedCabinet(),
        "pick": ScriptedPick(),
        "cube": ScriptedPick(),
        "pick_clutter": ScriptedPick(),
        "pick_hidden": ScriptedHidden(),
        "move": ScriptedMove(),
        "lift": ScriptedLift(),
    },
    "allegro": {"reach": HandReach(), "cabinet": HandCabinet(), "pick": HandPick(), "move": HandMove()},
}
"""Kind of hand → task → its scripted expert."""


class ScriptedExpert:
    """The scripted expert for the task and the hand of any environment."""

    def label(self, env) -> np.ndarray:
        """The action (A,) float32 for the present state of `env` (a `RobotEnv`)."""
        experts = SCRIPTED.get(env.robot.hand, {})
        if env.task.name not in experts:
            what = "; ".join(f"{hand} hand: {', '.join(tasks)}" for hand, tasks in SCRIPTED.items())
            raise EnvError(
                f"expert=scripted does not exist for {env.name} ({env.robot.hand} hand). What exists: {what}."
            )
        return experts[env.task.name].label(env)


EXPERTS = {"scripted": ScriptedExpert}


def make_labeller(name: str, env: str | None = None):
    """The expert called `name`, or the policy of the run `name`: a picklable object whose `label(env)` returns the
    action for the present state. Raises UserError if there is none, or if a learned expert is for another environment
    than `env`.
    """
    if name in EXPERTS:
        return EXPERTS[name]()
    if not Path(name).exists() and not (Path("runs") / name).exists():
        learned = sorted(str(p.parents[1]) for p in Path("runs").glob("*/policy/policy.yaml"))
        raise unknown(
            "expert",
            name,
            EXPERTS,
            "Or give a run on the privileged state (`python -m toto_robot.train_expert` makes one), by folder or name; "
            f"runs with a policy: {', '.join(learned) or 'none'}.",
        )
    return LearnedExpert.load(name, env)

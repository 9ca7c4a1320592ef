"""Names of the experts that can label any state of an environment."""

from policies.experts import ScriptedPick
from toto_robot.errors import UserError

EXPERTS = {"scripted": ScriptedPick}


def make_labeller(name: str):
    """The expert called `name`: a picklable object whose `label(env)` gives the action for the present state."""
    if name not in EXPERTS:
        raise UserError(f"expert={name!r} does not exist. What exists: {', '.join(sorted(EXPERTS))}.")
    return EXPERTS[name]()

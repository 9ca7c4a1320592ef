"""Numbers that are not finite: where the first one stands in recorded data, and the stop of a training that diverged.

Importing, inspecting and reading demonstrations use `first_not_finite`. Every training loop uses `check_loss` before it
changes its weights, so that the newest checkpoint is always a good one.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from toto_robot.ground.errors import UserError


def first_not_finite(
    columns: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str] | None] | None = None
) -> str | None:
    """Where the first number of an episode stands that is not finite: `step 3: proprio joint_2 is nan`.

    columns: arrays (T, ...) by name. names: the names of the entries of a column, if they are known. None if every
    number is finite.
    """
    for key, values in columns.items():
        if values.dtype.kind != "f" or np.isfinite(values).all():
            continue
        step, *entry = (int(at) for at in np.argwhere(~np.isfinite(values))[0])
        known = (names or {}).get(key) or ()
        at = entry[0] if len(entry) == 1 else -1
        name = known[at] if 0 <= at < len(known) else "column " + ",".join(map(str, entry)) if entry else ""
        return f"step {step}: {key}{' ' * bool(name)}{name} is {values[(step, *entry)]}"
    return None


def check_loss(when: str, remedy: str, **found: float) -> None:
    """Raise UserError unless all numbers in `found` (loss, gradient_norm, ...) are finite.

    when: the step that gave them, e.g. `step 120`. remedy: what the user can change.
    """
    wrong = {name.replace("_", " "): value for name, value in found.items() if not math.isfinite(value)}
    if wrong:
        said = " and ".join(f"the {name} is {value}" for name, value in wrong.items())
        raise UserError(
            f"Training has diverged: since {when} {said}. The last checkpoint is from before it, and nothing later is "
            f"saved. {remedy}"
        )

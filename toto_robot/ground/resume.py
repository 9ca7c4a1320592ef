"""May this run resume? One comparison of two runs' settings, and one sentence that names what differs.

On the arrow: every trainer (policies, tokenizers, pre-training) calls it before it loads a checkpoint.
"""

from collections.abc import Collection
from typing import Any

from toto_robot.ground.errors import UserError

MOST_LISTED = 4
"""Differences that a message names. It counts the others."""


def flat(settings: dict, prefix: str = "") -> dict[str, Any]:
    """Nested settings as one dict with dotted keys: `{"a": {"b": 1}}` → `{"a.b": 1}`."""
    out: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        out |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return out


def differences(then: dict, now: dict, ignored: Collection[str] = ()) -> list[str]:
    """What differs between the settings of a saved run and those of this command, such as `seed was 0 and is 1`.

    Keys are compared by their dotted names, in alphabetical order. A key in `ignored`, or inside of one, may differ.
    A missing key counts as None. The list is empty if the run may resume.
    """
    old, new = flat(then), flat(now)
    compared = [key for key in sorted(old | new) if not any(f"{key}.".startswith(f"{name}.") for name in ignored)]
    return [f"{key} was {old.get(key)!r} and is {new.get(key)!r}" for key in compared if old.get(key) != new.get(key)]


def listed(found: list[str]) -> str:
    """The first differences in one phrase, and the number of the others."""
    more = f"; and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
    return "; ".join(found[:MOST_LISTED]) + more


def check_resumable(what: str, then: dict, now: dict, ignored: Collection[str] = ()) -> None:
    """Raise UserError naming the keys that differ, with both values, unless the run `what` may resume."""
    if found := differences(then, now, ignored):
        raise UserError(
            f"{what} was written with other settings: {listed(found)}. Resume with the same settings, or leave "
            "resume out to start a new run."
        )

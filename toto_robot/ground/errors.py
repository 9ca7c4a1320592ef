"""Mistakes that a user can correct, and the two sentences that report most of them."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in a value, a file or a key, reported in one sentence.

    The message says what was expected, what was given, what exists and what to do next. A command shows it without a
    traceback and ends with `exit_code`. Any other exception is a bug and keeps its traceback.
    """

    exit_code = 2


def unknown(
    kind: str, got: object, exists: Iterable[str], remedy: str = "", error: type[UserError] = UserError
) -> UserError:
    """The error for a name that does not exist: the name, the nearest one, all that exist, and what to do.

    Unknown env 'franka_pik'. Did you mean 'franka_pick'? What exists: franka_cube, franka_pick, …. REMEDY
    """
    names = sorted(exists)
    near = difflib.get_close_matches(str(got)[:80], names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return error(f"Unknown {kind} {got!r}.{hint} What exists: {', '.join(names) or 'nothing'}.{_then(remedy)}")


def expected(what: str, wanted: str, got: object, remedy: str = "", error: type[UserError] = UserError) -> UserError:
    """The error for a value that does not fit: where it stands, what was expected, the value, and what to do.

    hop_s: expected a number of seconds above 0, got -1. REMEDY
    """
    return error(f"{what}: expected {wanted}, got {got}.{_then(remedy)}")


def _then(remedy: str) -> str:
    return f" {remedy}" if remedy else ""

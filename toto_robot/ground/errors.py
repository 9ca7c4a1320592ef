"""Mistakes that a user can put right."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in a value, a file or a key, told in one sentence.

    The message says what was expected, what came, what exists and what to do next. A command shows it without
    a traceback and ends with `exit_code`; any other exception is a bug and keeps its traceback.
    """

    exit_code = 2


def unknown(kind: str, got: str, exists: Iterable[str], remedy: str = "") -> UserError:
    """The error for a name that does not exist: what came, the nearest name, all that exist, what to do."""
    exists = sorted(exists)
    near = difflib.get_close_matches(got, exists, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listing = ", ".join(exists) if exists else "nothing"
    return UserError(f"Unknown {kind} {got!r}.{hint} What exists: {listing}.{' ' + remedy if remedy else ''}")

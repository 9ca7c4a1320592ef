"""Mistakes that a user can put right."""


class UserError(ValueError):
    """A mistake in a value, a file or a key, told in one sentence.

    The message says what was expected, what came, what exists and what to do next. A command shows it without
    a traceback and ends with `exit_code`; any other exception is a bug and keeps its traceback.
    """

    exit_code = 2

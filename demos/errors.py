"""The one error of `demos` that a user can cause."""

from toto_robot.ground.errors import UserError


class DemoError(UserError):
    """A demonstration set can't be written or read as asked.

    A command prints it as one sentence and exits with `exit_code`. The message says what was expected, what was found,
    what exists and what to do.
    """

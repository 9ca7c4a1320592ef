"""The only error that a user of `envs` can cause."""

from toto_robot.ground.errors import UserError


class EnvError(UserError):
    """A mistake in a name or a value. A command prints it as one sentence and exits with `exit_code`."""

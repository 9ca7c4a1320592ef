"""The one error a user of `envs` can cause."""


class EnvError(ValueError):
    """A mistake in a name or a value. The doors print it as one sentence and exit with `exit_code`."""

    exit_code = 2

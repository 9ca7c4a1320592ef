"""The one error a user of `demos` can cause."""


class DemoError(ValueError):
    """A mistake in a name, a value or a file. The doors print it as one sentence and exit with `exit_code`."""

    exit_code = 2

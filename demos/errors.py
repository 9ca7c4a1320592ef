"""The one error a user of `demos` can cause."""


class DemoError(ValueError):
    """A demonstration set that can't be written or read as asked. The doors print it as one sentence and exit with
    `exit_code`; the message says what was expected, what came, what exists and what to do."""

    exit_code = 2

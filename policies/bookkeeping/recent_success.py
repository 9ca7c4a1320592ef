"""What the newest training episodes came to, while others are still running."""

from collections.abc import Sequence

NEWEST = 100
"""Episodes behind the figures that are shown."""

Ended = Sequence[float]
"""An episode that ended: the step of its slot, since the run began, at which it began, and what it came to."""


def settled(ended: list[Ended], now: int, horizon: int) -> list[Ended]:
    """The newest 100 of the episodes that began `horizon` steps before `now`, and those that began with the oldest of them.
    Of the newer ones the short, which are the successes, have ended and the failures are still running: they don't count yet."""
    old = [one for one in ended if one[0] <= now - horizon]
    starts = sorted(one[0] for one in old)[-NEWEST:]
    return [one for one in old if one[0] >= starts[0]]


def kept(ended: list[Ended], now: int, horizon: int) -> list[Ended]:
    """Those of `ended` that `settled` can need from `now` on."""
    return settled(ended, now, horizon) + [one for one in ended if one[0] > now - horizon]


def mean(ended: list[Ended], column: int = 1) -> float | None:
    """Over the episodes, of one thing that they came to; None where there are none."""
    return sum(one[column] for one in ended) / len(ended) if ended else None

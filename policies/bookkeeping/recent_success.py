"""How the newest training episodes ended, while others are still running.

On the arrow: the rounds of `policies.dagger.train` and `policies.rl.rounds` report success by it.
"""

from collections.abc import Sequence

NEWEST = 100
"""Episodes behind the figures that are shown."""

Ended = Sequence[float]
"""An episode that ended: first the step at which it began (counted in its slot since the run began), then its outcome,
such as success and reward."""


def settled(ended: list[Ended], now: int, horizon: int) -> list[Ended]:
    """The newest 100 of the episodes that began at least `horizon` steps before `now`, and all that began with the
    oldest of these.

    Younger episodes don't count yet: the short ones, which are the successes, have ended, and the failures still run.
    """
    old = [one for one in ended if one[0] <= now - horizon]
    starts = sorted(one[0] for one in old)[-NEWEST:]
    return [one for one in old if one[0] >= starts[0]]


def still_needed(ended: list[Ended], now: int, horizon: int) -> list[Ended]:
    """Those of `ended` that `settled` can return at `now` or later. A run stores only these."""
    return settled(ended, now, horizon) + [one for one in ended if one[0] > now - horizon]


def mean_outcome(ended: list[Ended], column: int = 1) -> float | None:
    """The mean of one outcome over the episodes. None if there are no episodes."""
    return sum(one[column] for one in ended) / len(ended) if ended else None

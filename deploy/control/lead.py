"""When to request the action of the next control period: late, so that its frame is new, but not too late."""

from collections import deque

RECENT = 30
MARGIN_S = 0.015


class Lead:
    """The lead is the time of the slowest of the last `RECENT` answers, and a margin.

    A policy that shares its computer is slower in a run than in its warm-up, and an answer after the period's begin is
    lost.
    """

    def __init__(self, answer_s: float, period_s: float):
        self.period_s, self._took_s = period_s, deque([answer_s], RECENT)

    def heard(self, took_s: float) -> None:
        """Records that an answer came `took_s` after its request."""
        self._took_s.append(took_s)

    @property
    def seconds(self) -> float:
        """How long before the period begins the request has to be sent."""
        return min(max(self._took_s) + MARGIN_S, self.period_s)

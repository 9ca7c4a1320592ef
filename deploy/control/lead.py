"""When the action of the next control period is asked for: late, because its frame should be new, but not too late."""

from collections import deque

RECENT = 30
MARGIN_S = 0.015


class Lead:
    """Goes by the slowest of the last `RECENT` answers: a policy that shares its computer answers later in a run than it did
    when it was warmed up, and an answer that comes after the period has begun is lost."""

    def __init__(self, answer_s: float, period_s: float):
        self.period_s, self._took_s = period_s, deque([answer_s], RECENT)

    def heard(self, took_s: float) -> None:
        """An answer has come `took_s` after it was asked for."""
        self._took_s.append(took_s)

    @property
    def seconds(self) -> float:
        """Before the period begins."""
        return min(max(self._took_s) + MARGIN_S, self.period_s)

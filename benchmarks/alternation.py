"""The one harness of all benchmarks: what is measured, its peers and the machine's own rate take turns.

The speed of a shared or a warm machine drifts. Two things that are measured one after the other meet two machines, and
their ratio is wrong: the encoder once seemed to reach 137 % of the rate of a matrix product. Here a round gives every
thing a short window, a ratio is taken inside a round, and the report has the median of these ratios and their spread.
The windows of a round run forth and back (a b b a), so a steady drift cancels. A wide spread says that the machine was
busy, and `warning` says it in the report.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

ROUNDS = 9
FEWEST = 3
"""Rounds that a spread needs."""
BUSY = 0.1
"""Spread of a ratio above which its report carries a warning."""
MATRIX = 2048
COPIED_FLOATS = 64 << 20

Measure = Callable[[float], float]
"""measure(budget_s) → seconds for one unit of work. It works at least once, and for about `budget_s`."""
Clock = Callable[[], float]


def repeated(call: Callable[[], object], units: float = 1.0, clock: Clock = time.perf_counter) -> Measure:
    """Measures `call`, which does `units` units of work."""

    def measure(budget_s: float) -> float:
        start, calls = clock(), 0
        while not calls or clock() - start < budget_s:
            call()
            calls += 1
        return (clock() - start) / (calls * units)

    return measure


def matmul(dtype=None, device: str = "cpu") -> Measure:
    """The machine's own rate: seconds for one FLOP of a large square matrix product, float32 by default."""
    import torch

    a, b = (torch.randn(MATRIX, MATRIX, device=device).to(dtype or torch.float32) for _ in range(2))

    def product() -> None:
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()

    return repeated(product, 2 * MATRIX**3)


def memory() -> Measure:
    """The machine's own rate of reading: seconds for one byte of a sum over 256 MB."""
    import torch

    x = torch.ones(COPIED_FLOATS)
    return repeated(x.sum, 4 * COPIED_FLOATS)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two rates: one value for each round."""

    values: np.ndarray

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    @property
    def range(self) -> tuple[float, float]:
        """The middle half of the rounds: quartiles."""
        low, high = np.quantile(self.values, [0.25, 0.75])
        return float(low), float(high)

    @property
    def spread(self) -> float:
        """Width of the middle half over the median."""
        low, high = self.range
        return (high - low) / self.median

    def times(self) -> str:
        """As a factor: 1.39× (1.37 to 1.42)."""
        low, high = self.range
        return f"{self.median:.2f}× ({low:.2f} to {high:.2f})"

    def share(self) -> str:
        """As a share: 87 % (85 to 90)."""
        low, high = self.range
        digits = 0 if self.median > 0.1 else 1 if self.median > 0.01 else 2
        return f"{100 * self.median:.{digits}f} % ({100 * low:.{digits}f} to {100 * high:.{digits}f})"


class Rounds:
    """Seconds for one unit of each thing, one value for each round; and the ratios that were asked for."""

    def __init__(self, seconds: Mapping[str, list[float]]) -> None:
        self.seconds = {name: np.array(values) for name, values in seconds.items()}
        self.asked: dict[str, Ratio] = {}
        """What a report names → its ratio; `warning` looks at these."""

    def unit_s(self, name: str) -> float:
        """Median of the seconds for one unit of work."""
        return float(np.median(self.seconds[name]))

    def rate(self, name: str) -> float:
        """Units of work in a second, by the median."""
        return 1 / self.unit_s(name)

    def ratio(self, name: str, of: str, scale: float = 1.0) -> Ratio:
        """`scale` times the rate of `name` over that of `of`, round by round."""
        found = Ratio(scale * self.seconds[of] / self.seconds[name])
        self.asked[f"{name} / {of}"] = found
        return found

    def warning(self) -> str:
        """A sentence about ratios that spread too far, or that have too few rounds to tell; "" if all is well."""
        if self.asked and min(len(ratio.values) for ratio in self.asked.values()) < FEWEST:
            return f"WARNING: fewer than {FEWEST} rounds, so nothing says whether the machine was busy."
        wide = {name: ratio.spread for name, ratio in self.asked.items() if ratio.spread > BUSY}
        if not wide:
            return ""
        worst = max(wide, key=lambda name: wide[name])
        return (
            f"WARNING: the machine was busy. {len(wide)} of {len(self.asked)} ratios spread by more than {BUSY:.0%} "
            f"(most: {worst}, {wide[worst]:.0%}). Measure again on an idle machine, or with more seconds."
        )


def alternate(things: Mapping[str, Measure], seconds: float, rounds: int = ROUNDS) -> Rounds:
    """Measures all `things` in turn, `rounds` times; `seconds` is the time that each gets in total.

    A round measures each thing twice, forth and back (a b c c b a), and takes the mean. A measurement before the first
    round warms each thing up, and its number is thrown away.
    """
    names = list(things)
    for name in names:
        things[name](0.0)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        forth = {name: things[name](seconds / rounds / 2) for name in names}
        back = {name: things[name](seconds / rounds / 2) for name in reversed(names)}
        for name in names:
            taken[name].append((forth[name] + back[name]) / 2)
    return Rounds(taken)


def joined(*all_rounds: Rounds) -> str:
    """The warnings of several alternations, a space before each."""
    return "".join(f" {said}" for said in (rounds.warning() for rounds in all_rounds) if said)

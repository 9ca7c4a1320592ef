"""Success statistics. Every success rate that is printed anywhere comes from here."""

import math

import numpy as np


def wilson95(successes: int, episodes: int) -> tuple[float, float]:
    """The 95 % Wilson score interval for a success probability, as (low, high) in [0, 1].

    Raises ValueError unless 0 <= successes <= episodes and episodes >= 1. (Wilson 1927; z = 1.959964.)
    """
    if not 0 <= successes <= episodes or episodes < 1:
        raise ValueError(f"expected 0 <= successes <= episodes and episodes >= 1, got {successes} of {episodes}")
    z = 1.959963984540054
    p = successes / episodes
    centre = p + z * z / (2 * episodes)
    spread = z * math.sqrt(p * (1 - p) / episodes + z * z / (4 * episodes * episodes))
    scale = 1 + z * z / episodes
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == episodes else (centre + spread) / scale
    return low, high


def summary_line(successes: int, episodes: int) -> str:
    """One line such as `success 197/200 = 98.5 % (95 % CI 95.7–99.5, Wilson)`."""
    low, high = wilson95(successes, episodes)
    rate = 100 * successes / episodes
    return f"success {successes}/{episodes} = {rate:.1f} % (95 % CI {100 * low:.1f}–{100 * high:.1f}, Wilson)"


def over_seeds95(scores: list[tuple[int, int]], draws: int = 20_000) -> tuple[float, float, float]:
    """The mean success of several training seeds and its 95 % interval, as (mean, low, high) in [0, 1].

    `scores` holds (successes, episodes) of each seed. The interval is a bootstrap over both sources of chance. Seeds
    are drawn with replacement. Each drawn seed's success comes from its Jeffreys posterior, Beta(s + ½, n − s + ½). It
    has a width at 0 and at 1 too. With one seed it says nothing about other seeds. Equal scores give equal results.
    """
    rng = np.random.default_rng(0)
    successes, episodes = np.array(scores).T
    chosen = rng.integers(len(scores), size=(draws, len(scores)))
    drawn = rng.beta(successes[chosen] + 0.5, (episodes - successes)[chosen] + 0.5).mean(1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    mean = float((successes / episodes).mean())
    return mean, float(min(low, mean)), float(max(high, mean))

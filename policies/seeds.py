"""Episode seeds. Training, watching (evaluations during training) and the final evaluation use disjoint ranges.

    training    [0,            2^30)
    watching    [2^30,         2^30 + 2^29)
    evaluation  [2^30 + 2^29,  2^31)

Each seed is a pure function of (seed, index), so a run only remembers how many episodes it has started. Within a range,
consecutive indices give consecutive values, from a start that depends on the seed. Therefore the seeds of one run don't
repeat before the range is exhausted.
"""

from toto_robot.ground.seeds import key64, stream

__all__ = ["EVALUATION", "TRAINING", "WATCHING", "evaluation_seeds", "stream", "training_seed", "watching_seeds"]

TRAINING = range(0, 2**30)
WATCHING = range(2**30, 2**30 + 2**29)
EVALUATION = range(2**30 + 2**29, 2**31)


def training_seed(seed: int, index: int) -> int:
    """The seed of the `index`-th episode that a training run with `seed` starts."""
    return _draw(TRAINING, "training", seed, index)


def watching_seeds(seed: int, episodes: int) -> list[int]:
    """Seeds for learning curves. Neither training nor the final evaluation uses them."""
    return [_draw(WATCHING, "watching", seed, i) for i in range(episodes)]


def evaluation_seeds(seed: int, episodes: int) -> list[int]:
    """`episodes` different seeds for a final evaluation. The first k are the same for every value of `episodes`."""
    return [_draw(EVALUATION, "evaluation", seed, i) for i in range(episodes)]


def _draw(among: range, name: str, seed: int, index: int) -> int:
    if index < 0:
        raise ValueError(f"expected an episode index >= 0, got {index}")
    return among.start + (key64(name, seed) + index) % len(among)

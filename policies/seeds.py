"""Episode seeds. Training, watching (evaluations during training) and the final evaluation use disjoint ranges.

    training    [0,            2^30)
    watching    [2^30,         2^30 + 2^29)
    evaluation  [2^30 + 2^29,  2^31)

Each seed is a pure function of (seed, index), so a run only remembers how many episodes it has started. Within a range,
consecutive indices give consecutive values, from a start that depends on the seed. Therefore the seeds of one run don't
repeat before the range is exhausted.
"""

import hashlib

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


def stream(*key: int | str) -> list[int]:
    """Entropy for `np.random.default_rng` from a readable key. It is the same on every machine."""
    digest = hashlib.sha256("/".join(str(k) for k in key).encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]


def _draw(among: range, name: str, seed: int, index: int) -> int:
    if index < 0:
        raise ValueError(f"expected an episode index >= 0, got {index}")
    start = int.from_bytes(hashlib.sha256(f"{name}/{seed}".encode()).digest()[:8], "little")
    return among.start + (start + index) % len(among)

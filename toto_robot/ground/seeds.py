"""Random numbers from keys: the same key gives the same numbers on every machine, whatever was drawn before.

A run that resumes needs no generator state, because every draw is a pure function of (seed, step, ...). Token stores,
demonstrations, policies and resumed runs depend on the bits of each function here, so none of them may change.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

STRIDE = 1_000_003
"""Between the seeds of neighbouring runs, so that their steps don't meet."""


def stream(*key: int | str) -> list[int]:
    """Eight 32-bit words of entropy for `np.random.default_rng` from a readable key: `stream(seed, "dropout",
    epoch)`."""
    digest = _digest(key)
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]


def key64(*key: object) -> int:
    """One 64-bit number from anything that prints the same on every machine."""
    return int.from_bytes(_digest(key)[:8], "little")


def keyed_rng(*key: int) -> np.random.Generator:
    """NumPy's generator for a key of whole numbers: `keyed_rng(seed, step)`."""
    return np.random.default_rng(key)


def keyed_generator(seed: int, step: int, salt: int = 0) -> "torch.Generator":
    """Torch's generator for a step of a run. `salt` tells apart what is drawn for different purposes."""
    import torch

    return torch.Generator().manual_seed(seed * STRIDE + step + salt)


def _digest(key: tuple) -> bytes:
    return hashlib.sha256("/".join(map(str, key)).encode()).digest()

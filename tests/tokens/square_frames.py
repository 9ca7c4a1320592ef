"""Frames that a small tokenizer learns in a hundred steps."""

import numpy as np


def squares(count, seed=0, size=32):
    """Grey squares on grey ground, uint8 (count, size, size, 3)."""
    rng = np.random.default_rng(seed)
    frames = np.broadcast_to(rng.integers(0, 256, (count, 1, 1, 1), dtype=np.uint8), (count, size, size, 3)).copy()
    for frame in frames:
        y, x = rng.integers(0, size - 10, 2)
        frame[y : y + 10, x : x + 10] = rng.integers(0, 256)
    return frames

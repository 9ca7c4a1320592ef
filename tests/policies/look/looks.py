"""Small pictures of a made-up scene, and an encoder of them with codes."""

import numpy as np
import torch

from policies.features.features import EncoderConfig, make_features
from policies.look import Rows, measure
from toto_robot.features.contract import FrozenEncoder

SIDE = 32


class CodeEncoder(FrozenEncoder):
    """Means of 4×4 cells as features (16, 3), and their grey level in eight steps as codes (16,)."""

    feature_shape, fingerprint = (16, 3), "code-encoder-1"

    def __call__(self, frames):
        return frames.float().div(255).view(len(frames), 4, 8, 4, 8, 3).mean((2, 4)).reshape(-1, 16, 3)

    def codes(self, frames):
        return (self(torch.as_tensor(frames)).mean(-1) * 255 / 32).long()


def encoder_features(encoder=None):
    return make_features(EncoderConfig("toy"), encoder=encoder or CodeEncoder())


def pictures(count, seed=0, gain=(1.0, 1.0), noise=0.0):
    """(count, 32, 32, 3): a grey table with a blue block somewhere, a gain from the range `gain`, and noise."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        x = np.full((SIDE, SIDE, 3), 150.0)
        x[: SIDE // 2] = (90, 95, 100)
        r, c = rng.integers(4, SIDE - 10, 2)
        x[r : r + 6, c : c + 6] = (20, 90, 180)
        x = x * rng.uniform(*gain) + rng.normal(0, noise, x.shape) * (noise > 0)
        out.append(np.clip(x + rng.normal(0, 0.4, x.shape), 0, 255).astype(np.uint8))
    return np.stack(out)


def rows(frames, features=None, per_episode=8) -> Rows:
    """Rows of `frames`, of which `per_episode` are of one episode."""
    return measure(features or encoder_features(), frames, np.arange(len(frames)) // per_episode)

"""Features of demonstrations on disk: each episode is encoded once for each encoder, whatever is trained on it.

    FOLDER/<encoder>/<episode>.safetensors      features (T, *shape), in the type that a data set stores

`encoder` is a digest of the features' fingerprint, the crop and the augmentation. `episode` is a digest of the set's
attributes and the episode's own numbers. This way features stay valid when a set grows or only a part of it is used. A
file is whole or absent. A file that can't be read is computed again.

On the arrow: `policies.cloning.demonstrations` asks it before it runs the encoder.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError


def digest(*parts: Any) -> str:
    """A name for `parts` (bytes, or values that JSON can write). Equal parts give equal names."""
    sha = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()[:32]


class FeatureCache:
    """The cache of one encoder in `folder`. `made` and `found` count episodes."""

    def __init__(self, folder: str | Path, *encoder: Any):
        self.folder = Path(folder) / digest(*encoder)
        self.made = self.found = 0

    def get(self, episode: str, shape: tuple[int, ...], dtype: torch.dtype, make: Callable[[], Tensor]) -> Tensor:
        """Features (T, ...) of `episode`: from disk if they are there with that shape and type, otherwise from
        `make`."""
        path = self.folder / f"{episode}.safetensors"
        try:
            features = load(path.read_bytes())["features"]
            if tuple(features.shape) == tuple(shape) and features.dtype == dtype:
                self.found += 1
                return features
        except (OSError, SafetensorError, KeyError):
            pass
        features = make()
        try:
            atomic_write_bytes(path, save({"features": features.contiguous()}))
        except OSError as error:
            raise UserError(
                f"features can't be stored in {self.folder} ({error.strerror}); give cache=ANOTHER_FOLDER, or cache='' "
                "for no cache"
            ) from error
        self.made += 1
        return features

"""What is stored of a picture to compare looks: its numbers, its pooled feature, its codes."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from policies.look.picture import NUMBERS, picture_numbers


@dataclass
class Rows:
    """N pictures, one row each."""

    numbers: np.ndarray
    """float64 (N, 10): `picture.NUMBERS`."""
    pooled: np.ndarray
    """float32 (N, D): the frozen feature, averaged over its tokens. D is 0 if the policy's own network reads the
    frames."""
    codes: np.ndarray
    """int32 (N, S): the tokenizer's codes. S is 0 if the encoder has no tokenizer."""
    episode: np.ndarray
    """int64 (N,): a number for each episode, the same for all its pictures."""

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def join(cls, parts: list["Rows"]) -> "Rows":
        """All of `parts`, in order. They must come from one encoder."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def tensors(self) -> dict[str, Tensor]:
        """For a run's checkpoint."""
        return {f.name: torch.from_numpy(np.ascontiguousarray(getattr(self, f.name))) for f in fields(self)}

    @classmethod
    def of_tensors(cls, tensors: dict[str, Tensor]) -> "Rows":
        """The rows from what `tensors` returned."""
        return cls(**{f.name: tensors[f.name].numpy().copy() for f in fields(cls)})


def measure(features, frames: np.ndarray, episode=0, known: Tensor | None = None) -> Rows:
    """The rows of `frames` uint8 (N, H, W, 3), cropped to the size that a policy with `features` sees
    (`policies.features.features`). `known` (N, *shape) are their features, if they are already computed. `episode` is
    one number, or (N,)."""
    frames = np.asarray(frames)
    seen = features.seen(frames)
    codes = features.codes(seen)
    if features.learned:  # the policy's own network changes in training, so its features can't be compared
        pooled = np.zeros((len(frames), 0), np.float32)
    else:
        known = features({"rgb": frames}) if known is None else known
        pooled = known.float().reshape(len(frames), -1, known.shape[-1]).mean(1).numpy()
    codes = np.zeros((len(frames), 0), np.int32) if codes is None else codes.cpu().numpy().astype(np.int32)
    numbers = picture_numbers(seen)
    assert numbers.shape[1] == len(NUMBERS)
    return Rows(numbers, pooled, codes, np.broadcast_to(np.asarray(episode, np.int64), (len(frames),)).copy())

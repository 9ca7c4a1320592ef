"""A frozen encoder on several CPU cores: processes of one thread each, frames in, features out.

On the arrow: `policies.features.features` calls it in place of the encoder that it copies. A small encoder's operations
are too short to share between threads (measured on two cores: 15 ms a frame with two threads, 12.5 ms with one).
Therefore whole frames are shared between processes.
"""

import numpy as np
import torch
from torch import Tensor

from toto_robot.features.contract import FrozenEncoder
from toto_robot.ground.workers import Worker, close

LARGEST_HALF = 65504
"""The largest number of float16."""


class ParallelEncoder(FrozenEncoder):
    """Behaves like the encoder that `load_encoder(**options)` returns, and computes in `processes` processes.

    Frames uint8 (B, H, W, 3) → features float16 (B, *feature_shape), the precision that data sets store.
    """

    def __init__(self, encoder: FrozenEncoder, options: dict, processes: int):
        self.feature_shape, self.fingerprint = tuple(encoder.feature_shape), encoder.fingerprint
        self.image_size, self.reads_clips = encoder.image_size, encoder.reads_clips
        self.workers = [Worker("an encoder process", _EncoderInProcess, options) for _ in range(processes)]
        self._starting = True

    def __call__(self, frames: np.ndarray) -> Tensor:
        return torch.from_numpy(np.concatenate(self._ask("features", frames)))

    def codes(self, frames: np.ndarray) -> Tensor | None:
        """The tokenizer's codes (B, S) of frames uint8 (B, H, W, 3). None if the encoder has no tokenizer."""
        parts = self._ask("codes", frames)
        return None if parts[0] is None else torch.from_numpy(np.concatenate(parts))

    def tokens(self, frames: np.ndarray) -> Tensor:
        return torch.from_numpy(np.concatenate(self._ask("tokens", frames)))

    def newest(self, clips: np.ndarray) -> Tensor:
        return torch.from_numpy(np.concatenate(self._ask("newest", clips)))

    def _ask(self, method: str, frames: np.ndarray) -> list:
        """Each process's answer on its part of the frames, in order. With few frames, some processes get none."""
        if self._starting:  # wait for the processes at the first call, so that other things can start meanwhile
            for worker in self.workers:
                worker.result()
            self._starting = False
        parts = [part for part in np.array_split(np.asarray(frames), len(self.workers)) if len(part)]
        asked = self.workers[: len(parts)]
        for worker, part in zip(asked, parts):
            worker.call(method, part)
        return [worker.result() for worker in asked]

    def close(self) -> None:
        """End the processes. It is safe to call this twice. The processes also end when this process ends."""
        close(self.workers)


class _EncoderInProcess:
    """The encoder inside of one process. NumPy in, NumPy out."""

    def __init__(self, options: dict):
        from toto_robot import load_encoder

        torch.set_num_threads(1)
        self.encoder = load_encoder(**options)

    def features(self, frames: np.ndarray) -> np.ndarray:
        return self.encoder(torch.from_numpy(frames)).clamp(-LARGEST_HALF, LARGEST_HALF).half().numpy()

    def tokens(self, frames: np.ndarray) -> np.ndarray:
        return self.encoder.tokens(torch.from_numpy(frames)).numpy()

    def newest(self, clips: np.ndarray) -> np.ndarray:
        return self.encoder.newest(torch.from_numpy(clips)).clamp(-LARGEST_HALF, LARGEST_HALF).half().numpy()

    def codes(self, frames: np.ndarray) -> np.ndarray | None:
        codes = self.encoder.codes(torch.from_numpy(frames))
        return None if codes is None else codes.numpy()

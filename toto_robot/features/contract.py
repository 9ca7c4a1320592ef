"""What every frozen encoder offers to a policy: frames in, features out.

`Encoder` (Toto) and `VisionEncoder` (baselines) derive from it. `policies.features` uses nothing else of an encoder.
"""

from typing import Protocol

from torch import Tensor


class FrozenEncoder(Protocol):
    """Frames to features; nothing in it learns."""

    fingerprint: str
    """Equal fingerprints mean equal features, so a cache or a policy can tell whether it fits."""
    feature_shape: tuple[int, ...]
    """Shape of one frame's feature: (D,), (16, D) or (S, D)."""
    image_size: int | None = None
    """Pixels on the side of the frames that it takes; None if it takes any size."""

    def __call__(self, frames) -> Tensor:
        """Features float (B, *feature_shape) of frames uint8 (B, H, W, 3), NumPy or torch."""
        ...

    def codes(self, frames) -> Tensor | None:
        """The tokenizer's codes (B, S) of frames uint8 (B, H, W, 3). None if the encoder has no tokenizer."""
        return None

    def close(self) -> None:
        """Release processes and memory. Nothing works afterwards."""
        return None

"""What every frozen encoder offers to a policy: frames in, features out.

`Encoder` (Toto) and `VisionEncoder` (baselines) derive from it. `policies.features` uses nothing else of an encoder.
"""

from typing import Protocol

from torch import Tensor

from toto_robot.ground.errors import UserError

NO_CLIPS = "This encoder reads single frames only: expected a Toto, whose frames change the features of later frames."


class FrozenEncoder(Protocol):
    """Frames to features; nothing in it learns."""

    fingerprint: str
    """Equal fingerprints mean equal features, so a cache or a policy can tell whether it fits."""
    feature_shape: tuple[int, ...]
    """Shape of one frame's feature: (D,), (16, D) or (S, D)."""
    image_size: int | None = None
    """Pixels on the side of the frames that it takes; None if it takes any size."""
    reads_clips: bool = False
    """Whether `newest` exists: the frames of a clip change the feature of the frames after them."""

    def __call__(self, frames) -> Tensor:
        """Features float (B, *feature_shape) of frames uint8 (B, H, W, 3), NumPy or torch."""
        ...

    def codes(self, frames) -> Tensor | None:
        """The tokenizer's codes (B, S) of frames uint8 (B, H, W, 3). None if the encoder has no tokenizer."""
        return None

    def tokens(self, frames) -> Tensor:
        """What `newest` takes of frames uint8 (B, H, W, 3): codes (B, S), or patches uint8 (B, S, values)."""
        raise UserError(NO_CLIPS)

    def newest(self, clips) -> Tensor:
        """Features (B, *feature_shape) of the newest frame of each clip, whose F frames come as `tokens` gives them:
        (B, F, S), or (B, F, S, values). Only where `reads_clips`."""
        raise UserError(NO_CLIPS)

    def close(self) -> None:
        """Release processes and memory. Nothing works afterwards."""
        return None

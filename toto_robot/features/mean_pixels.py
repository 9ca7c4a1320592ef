"""The control without any learned part: the mean colour of each 8×8 block of pixels.

A policy that does as well with it needs neither the tokenizer nor Toto. On the arrow: it stands where `Encoder` stands.
"""

from torch import Tensor

from toto_robot.features.contract import FrozenEncoder
from toto_robot.features.pooling import CELLS
from toto_robot.ground.errors import expected
from toto_robot.tokens.training.scores import block_colours
from toto_robot.video.frames import check_frames

NAME = "mean_pixels"
BLOCK = 8
"""Side of a block in pixels: the patch of our tokenizers."""


class MeanPixels(FrozenEncoder):
    """Frames 128×128 → the 16 × 16 mean colours in [0, 1], sorted into the 4×4 cells that other encoders pool."""

    image_size: int | None = 128
    feature_shape = (CELLS * CELLS, 48)
    fingerprint = f"{NAME}-{BLOCK}"

    def __init__(self, pooling: str | None = None, layer: int | None = None):
        if pooling not in (None, "grid", "attention"):
            raise expected("encoder.pooling", f"grid or attention ({NAME} has nothing else)", repr(pooling))
        if layer not in (None, 0):
            raise expected("encoder.layer", f"nothing ({NAME} has no layers)", layer)

    def __call__(self, frames) -> Tensor:
        """Features float32 (B, 16, 48) of frames uint8 (B, 128, 128, 3): 16 blocks × RGB for each cell."""
        check_frames(frames, size=self.image_size)
        blocks = block_colours(frames, BLOCK) / 255
        B, H, W, C = blocks.shape
        cells = blocks.reshape(B, CELLS, H // CELLS, CELLS, W // CELLS, C)
        return cells.transpose(2, 3).reshape(B, CELLS * CELLS, -1)

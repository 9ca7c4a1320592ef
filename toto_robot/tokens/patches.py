"""Continuous patches: frames as pixels, without codes (`patch-patch` in Table 3).

A token is the pixels of a patch, uint8 (patch · patch · 3,). A store keeps them exactly, and decoding is exact. A model
reads `patch_values` of them through a linear layer in place of an embedding. It regresses the next patch, normalised
(`toto_robot.models.causal.patch_loss`), as in MAE (He et al. 2022, Sec. 4.2) and AIM.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from toto_robot.ground.errors import UserError, expected
from toto_robot.tokens.base import Tokenizer


@dataclass(frozen=True)
class PatchConfig:
    patch: int = 16
    """Pixels on the side of a patch. 16: 768 values a patch, 256 patches at 256 px."""

    def __post_init__(self):
        if not isinstance(self.patch, int) or isinstance(self.patch, bool) or self.patch < 1:
            raise expected("patches.patch", "a whole number of pixels, at least 1", repr(self.patch))

    @property
    def vocab_size(self) -> int:
        """Values of a patch: the size of a model's input layer and of its head."""
        return 3 * self.patch**2


class PatchTokenizer(Tokenizer):
    """Frames to patches uint8 (B, S, 3 · patch²) and back. It has no weights."""

    kind, config_type, pixel_range, continuous = "patches", PatchConfig, (0.0, 1.0), True
    at_once = (256, 256)
    remedy = "Make one with PatchTokenizer(PatchConfig(patch=16)).save(FOLDER)."

    @staticmethod
    def patch_of(config: PatchConfig) -> int:
        return config.patch

    @property
    def device(self) -> torch.device:
        """The CPU, because there is nothing to compute."""
        return torch.device("cpu")

    def to_codes(self, x: Tensor) -> Tensor:
        """float [0, 1] (B, 3, H, W) to uint8 (B, rows, columns, 3 · patch²)."""
        rows = x.shape[2] // self.patch
        values = patchify((x * 255).round().to(torch.uint8), self.patch)
        return values.unflatten(1, (rows, -1))

    def to_pixels(self, codes: Tensor) -> Tensor:
        """uint8 (B, rows, columns, 3 · patch²) to float [0, 1] (B, 3, H, W)."""
        return unpatchify(codes.flatten(1, 2), self.patch, codes.shape[1]).float() / 255

    def codebook(self) -> Tensor:
        raise UserError("Patches have no codebook: a patch is its own pixels.")


def patch_values(patches: Tensor) -> Tensor:
    """uint8 patches to the values that a model reads: float32 in [-1, 1].

    No pixel gives exactly 0. A vector of zeros marks the start of a row and padding.
    """
    return patches.float() / 127.5 - 1


def patchify(x: Tensor, patch: int) -> Tensor:
    """(B, 3, H, W) to (B, S, patch · patch · 3), in MAE's order.

    Patches are in raster order, pixels inside a patch too, and the three channels of a pixel are together.
    """
    B, C, H, W = x.shape
    x = x.reshape(B, C, H // patch, patch, W // patch, patch).permute(0, 2, 4, 3, 5, 1)  # (B, rows, columns, y, x, C)
    return x.reshape(B, -1, patch * patch * C)


def unpatchify(values: Tensor, patch: int, rows: int) -> Tensor:
    """The inverse of `patchify`: (B, S, patch · patch · 3) to (B, 3, H, W)."""
    B = values.shape[0]
    x = values.view(B, rows, -1, patch, patch, 3).permute(0, 5, 1, 3, 2, 4)  # (B, C, rows, y, columns, x)
    return x.reshape(B, 3, rows * patch, -1)

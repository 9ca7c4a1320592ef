"""Continuous patches: frames as normalised pixels, with no codes (`patch-patch` in Table 3).

Not a `Tokenizer`: there is no vocabulary and nothing for a token store, so `load_tokenizer` doesn't open it. A model
of patches reads values (B, S, dim) through a linear layer of `dim` inputs in the place of an embedding, and is trained
to regress the next patch's values with `loss` in the place of cross-entropy. Normalisation as in MAE
(He et al. 2022, Sec. 4.2): each patch by the mean and the unbiased variance of all its values.
"""
from dataclasses import dataclass

from torch import Tensor

from toto_robot.errors import UserError
from toto_robot.tokens.base import token_grid
from toto_robot.video.frames import to_float01, to_uint8


@dataclass(frozen=True)
class PatchTokenizer:
    """Frames to patch values and back. 16×16 pixels: 768 values a patch, 256 patches at 256 px."""

    patch: int = 16
    """Pixels on the side of a patch."""
    normalize: bool = True
    """Whether each patch is shifted and scaled to mean 0 and variance 1; otherwise values are pixels in [0, 1]."""
    eps: float = 1e-6
    """Added to the variance, so that a patch of one colour is 0."""

    def __post_init__(self):
        if self.patch < 1:
            raise UserError(f"patch: expected at least 1 pixel, got {self.patch}")
        if not self.eps > 0:
            raise UserError(f"eps: expected a number above 0, got {self.eps}")

    @property
    def dim(self) -> int:
        """Values of a patch: what a model's input layer takes and its head gives."""
        return 3 * self.patch ** 2

    def grid(self, image_size: int) -> tuple[int, int]:
        """Patch rows and columns of a square frame."""
        return token_grid(image_size, self.patch)

    def values(self, frames) -> Tensor:
        """uint8 (B, H, W, 3) to float32 (B, S, dim), patches in raster order: what a model reads and regresses."""
        x = patchify(to_float01(frames), self.patch)
        if not self.normalize:
            return x
        mean, std = self._statistics(x)
        return (x - mean) / std

    def statistics(self, frames) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation float32 (B, S, 1) of each patch, which `values` takes out."""
        return self._statistics(patchify(to_float01(frames), self.patch))

    def frames(self, values: Tensor, mean: Tensor | None = None, std: Tensor | None = None,
               height: int | None = None) -> Tensor:
        """Values (B, S, dim) to uint8 (B, H, W, 3): the inverse of `values`. Normalised values alone don't say how
        bright a patch is, so they need the mean and std of `statistics`. A square frame unless `height` is given."""
        if self.normalize:
            if mean is None or std is None:
                raise UserError("normalised patches don't hold their brightness and contrast; "
                                "give the mean and std of `statistics(frames)`")
            values = values * std + mean
        return to_uint8(unpatchify(values, self.patch, height))

    def loss(self, prediction: Tensor, values: Tensor) -> Tensor:
        """Mean squared error of predicted patches (B, S, dim), as in MAE and AIM."""
        return (prediction.float() - values).square().mean()

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean(-1, keepdim=True), (x.var(-1, keepdim=True) + self.eps).sqrt()


def patchify(x: Tensor, patch: int) -> Tensor:
    """float (B, 3, H, W) to (B, S, patch · patch · 3): patches in raster order, inside one pixels in raster order with
    their three channels together (MAE's order)."""
    if x.ndim != 4 or x.shape[2] % patch or x.shape[3] % patch:
        raise UserError(f"expected frames (B, H, W, 3) with H and W multiples of {patch}, "
                        f"got {tuple(x.movedim(-3, -1).shape)}")
    B, C, H, W = x.shape
    x = x.view(B, C, H // patch, patch, W // patch, patch).permute(0, 2, 4, 3, 5, 1)      # (B, rows, columns, y, x, C)
    return x.reshape(B, -1, patch * patch * C)


def unpatchify(values: Tensor, patch: int, height: int | None = None) -> Tensor:
    """The inverse of `patchify`: (B, S, patch · patch · 3) to (B, 3, H, W)."""
    B, S, D = values.shape
    rows = height // patch if height else round(S ** 0.5)
    if D != 3 * patch * patch or rows < 1 or S % rows:
        raise UserError(f"expected values (B, {rows} rows × columns, {3 * patch * patch}), "
                        f"got {tuple(values.shape)}; give height=")
    x = values.view(B, rows, -1, patch, patch, 3).permute(0, 5, 1, 3, 2, 4)               # (B, C, rows, y, columns, x)
    return x.reshape(B, 3, rows * patch, -1)

"""Pooling: from the features of all tokens of a frame to the feature that a policy reads."""

import torch
from torch import Tensor

from toto_robot.ground.errors import unknown

CELLS = 4
"""Rows and columns of the pooled grid."""

POOLINGS = ("mean", "attention", "grid", "none")
"""mean: one vector. attention and grid: the means of 4×4 cells; the policy learns to read them. none: every token."""
PROBED = ("mean", "attention", "grid")
"""The poolings that a probe compares."""
POLICY_POOLINGS = (*PROBED, "cls")
"""The poolings that a policy can read."""
VISION_POOLINGS = ("cls", *POOLINGS)
"""Those of a vision transformer, which also has a class token."""


def check_pooling(name: str, exist: tuple[str, ...] = POOLINGS) -> None:
    """Raise UserError listing the poolings unless `name` is one of them."""
    if name not in exist:
        raise unknown("pooling", name, exist)


def feature_shape(pooling: str, dim: int, grid: int) -> tuple[int, ...]:
    """Shape of one frame's feature for a token grid of `grid` × `grid`."""
    check_pooling(pooling)
    return {"mean": (dim,), "none": (grid * grid, dim)}.get(pooling, (CELLS * CELLS, dim))


def pool(x_BSD: Tensor, pooling: str, grid: int) -> Tensor:
    """Token features (B, F·S, D), F frames of S = grid² tokens in raster order, to float32 features.

    mean → (B, D), over all frames; grid and attention → (B, F·16, D), the cells of each frame in raster order;
    none → (B, F·S, D).
    """
    B, S, D = x_BSD.shape
    if pooling == "none":
        return x_BSD.float()
    if pooling == "mean":
        return x_BSD.mean(dim=1, dtype=torch.float32)
    check_pooling(pooling)
    side = grid // CELLS
    cells = x_BSD.reshape(B, S // (grid * grid) * CELLS, side, CELLS, side, D)  # (B, F·rows, y, columns, x, D)
    return cells.mean(dim=(2, 4), dtype=torch.float32).flatten(1, 2)

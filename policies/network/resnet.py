"""A small residual network (He et al. 2016) that a policy trains end to end: the baseline without pre-training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which MVP and most vision encoders normalise pixels with."""
WIDTHS = (32, 64, 128, 256)
GROUPS = 8
CELLS = 4


class Pixels(nn.Module):
    """Frames uint8 (..., H, W, 3) → normalised float32 (..., 3, H, W). It replaces the statistics that features
    have."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1) * 255, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        return (frames.movedim(-1, -3).float() - self.mean) / self.std

    def update(self, frames: Tensor) -> None:
        """Nothing: ImageNet's statistics are fixed."""


class Block(nn.Module):
    """Two 3×3 convolutions with a shortcut. Group norm behaves the same in training and in acting."""

    def __init__(self, into: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(into, width, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, width)
        same = stride == 1 and into == width
        self.shortcut = nn.Identity() if same else nn.Conv2d(into, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Normalised frames (B, 3, H, W) → (B, width): ten convolutions, a 4×4 grid of cells, one linear layer."""

    def __init__(self, width: int):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False)
        self.norm = nn.GroupNorm(GROUPS, WIDTHS[0])
        sizes = zip((WIDTHS[0], *WIDTHS), WIDTHS)
        blocks = [Block(into, out, 1 if i == 0 else 2) for i, (into, out) in enumerate(sizes)]
        self.blocks = nn.Sequential(*blocks)
        self.out = nn.Linear(WIDTHS[-1] * CELLS * CELLS, width)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.stem(x))), 3, 2, 1)
        return self.out(F.adaptive_avg_pool2d(self.blocks(x), CELLS).flatten(1))

"""Means and standard deviations that are computed from data and saved with the policy."""

import torch
from torch import Tensor, nn

FLOOR = 1e-2
"""A channel's standard deviation is at least this share of the typical one. This way a constant channel stays small."""


class Normaliser(nn.Module):
    """`(x - mean) / std` for one quantity of shape `shape`. The statistics are buffers, so they are saved with a
    policy.

    `update` merges new samples into the running statistics exactly (Chan et al. 1979), in float64.
    """

    def __init__(self, shape: tuple[int, ...], floor: float = FLOOR):
        super().__init__()
        self.floor = floor
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("sum_mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("sum_square", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Merge x, (N, *shape) of any dtype, into the statistics."""
        if not len(x) or not self.mean.numel():
            return
        variance, mean = torch.var_mean(x.float(), dim=0, correction=0)  # float32 is enough inside one batch
        n, m = self.count.item(), len(x)
        delta = mean.double() - self.sum_mean
        self.sum_mean += delta * (m / (n + m))
        self.sum_square += variance.double() * m + delta.square() * (n * m / (n + m))
        self.count += m
        std = (self.sum_square / self.count).sqrt()
        typical = std.median().clamp_min(1e-6)
        self.mean.copy_(self.sum_mean)
        self.std.copy_(std.clamp_min(self.floor * typical))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def inverse(self, x: Tensor) -> Tensor:
        """The quantity itself from its normalised value."""
        return x * self.std + self.mean

"""DAgger's aggregated data: features computed once a frame, kept in memory, oldest dropped first when full."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Shard:
    """The samples of one round, in the order (step, slot). B samples."""

    features: Tensor
    """(B, *feature_shape), as stored."""
    proprio: Tensor
    """(B, P) float32."""
    expert: Tensor
    """(B, A) float32: the expert's label for the visited state."""
    executed: Tensor
    """(B, A) float32: the action that the environment got."""
    by_expert: Tensor
    """(B,) bool: whether the expert drove this step."""

    def __len__(self) -> int:
        return len(self.proprio)


class Dataset:
    """A preallocated ring of samples, at most `limit_gb` large; `dropped` counts those overwritten (oldest first).

    Memory is reserved for `expected` samples, or as many as fit, but touched only as it fills.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        proprio_dim: int,
        action_dim: int,
        expected: int,
        limit_gb: float = 4.0,
        dtype: torch.dtype = torch.float16,
    ):
        size = torch.Size(feature_shape).numel() * dtype.itemsize + 4 * (proprio_dim + action_dim)
        self.capacity = max(1, min(expected, int(limit_gb * 1e9 / size)))
        self.features = torch.empty(self.capacity, *feature_shape, dtype=dtype)
        self.proprio = torch.empty(self.capacity, proprio_dim)
        self.expert = torch.empty(self.capacity, action_dim)
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    @property
    def dropped(self) -> int:
        """How many samples have been overwritten by newer ones."""
        return self.added - len(self)

    def add(self, shard: Shard) -> None:
        """Append a round's samples."""
        count, start = len(shard), self.added
        where = torch.arange(start, start + count) % self.capacity
        last = slice(max(0, count - self.capacity), count)  # a shard larger than the ring keeps its newest
        for mine, new in ((self.features, shard.features), (self.proprio, shard.proprio), (self.expert, shard.expert)):
            mine[where[last]] = new[last].to(mine.dtype)
        self.added += count

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, proprioception and labels of `indices` (B,) in [0, len)."""
        return (
            self.features.index_select(0, indices),
            self.proprio.index_select(0, indices),
            self.expert.index_select(0, indices),
        )

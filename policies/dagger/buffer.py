"""DAgger's aggregated data, in memory: every visited step, with the features of its frame.

On the arrow: `collector` adds a `Shard` in each round, and `learner` draws minibatches. The oldest steps are dropped
first.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Shard:
    """The B steps of one round, in the order (step, slot). A run's checkpoints store these for each round."""

    features: Tensor
    """(B, *feature_shape), as stored."""
    proprio: Tensor
    """(B, P) float32."""
    expert: Tensor
    """(B, A) float32: the expert's action. NaN where the expert was not asked."""
    executed: Tensor
    """(B, A) float32: the action that the environment got."""
    policy: Tensor
    """(B, A) float32: the action that the student would have taken."""
    actor: Tensor
    """(B,) uint8: who acted in this step: 0 the student, 1 the expert, 2 a person."""
    intervention: Tensor
    """(B,) bool: the expert or the person took over from the student. False in the first round."""
    labelled: Tensor
    """(B,) bool: the student learns from this step, with the expert's action as the label."""
    gate_score: Tensor
    """(B,) float32: the number behind the gate's decision, in the gate's own measure. NaN if there was no such
    number."""
    round: Tensor
    """(B,) int32."""
    seed: Tensor
    """(B,) int64: the seed of the episode."""
    done: Tensor
    """(B,) bool: the episode ended with this step."""
    success: Tensor
    """(B,) bool: the episode ended with success."""

    def __len__(self) -> int:
        return len(self.proprio)


COLUMNS = [field.name for field in fields(Shard) if field.name not in ("gate_score", "seed", "intervention")]
"""Columns that training reads. The others are for people."""


class Dataset:
    """A preallocated ring of steps, at most `limit_gb` large. New steps overwrite the oldest; `dropped` counts these.

    Memory is reserved for `expected` steps, or for as many as fit. The operating system provides it as it fills.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        proprio_dim: int,
        action_dim: int,
        expected: int,
        limit_gb: float = 4.0,
        dtype: torch.dtype = torch.float16,
        slots: int = 1,
    ):
        """`slots` is how many episodes ran side by side: the next step of an episode is `slots` rows later."""
        size = torch.Size(feature_shape).numel() * dtype.itemsize + 4 * (proprio_dim + 3 * action_dim) + 8
        self.capacity = max(1, min(expected, int(limit_gb * 1e9 / size)))
        self.slots, self.added = slots, 0
        shapes = {"features": (feature_shape, dtype), "proprio": ((proprio_dim,), torch.float32)}
        shapes |= {name: ((action_dim,), torch.float32) for name in ("expert", "executed", "policy")}
        shapes |= {name: ((), torch.bool) for name in ("labelled", "done", "success")}
        shapes |= {"actor": ((), torch.uint8), "round": ((), torch.int32)}
        self._columns = {name: torch.empty(self.capacity, *shape, dtype=kind) for name, (shape, kind) in shapes.items()}
        self._labelled = torch.zeros(0, dtype=torch.long)

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    @property
    def dropped(self) -> int:
        """How many steps have been overwritten."""
        return self.added - len(self)

    def add(self, shard: Shard) -> None:
        """Append a round's steps."""
        count, start = len(shard), self.added
        where = torch.arange(start, start + count) % self.capacity
        last = slice(max(0, count - self.capacity), count)  # a shard larger than the ring keeps its newest
        for name in COLUMNS:
            mine, new = self._columns[name], getattr(shard, name)
            mine[where[last]] = new[last].to(mine.dtype)
        self.added += count
        self._labelled = torch.nonzero(self.column("labelled"))[:, 0]

    def column(self, name: str) -> Tensor:
        """One column of `Shard`, (len, ...), in the ring's order."""
        return self._columns[name][: len(self)]

    def labelled(self) -> Tensor:
        """Indices (M,) of the steps that have a label."""
        return self._labelled

    def outcomes(self, gamma: float) -> tuple[Tensor, Tensor]:
        """Indices (M,) of the steps whose episodes have ended, and each one's discounted outcome (M,) float32: gamma^k
        if success came k steps later, 0 without success."""
        # 1. Rows from the oldest to the newest; consecutive steps of one slot are `slots` rows apart.
        oldest = self.added % self.capacity if self.dropped else 0
        rows = (torch.arange(len(self)) + oldest) % self.capacity
        done, success = self.column("done")[rows], self.column("success")[rows].float()
        # 2. Backwards in time: an episode's last step has its outcome, each earlier step gamma times the next one's.
        value = torch.full((len(self) + self.slots,), torch.nan)
        for start in range(len(self) - self.slots, -self.slots, -self.slots):
            here = slice(max(0, start), start + self.slots)
            later = value[here.start + self.slots : here.stop + self.slots]
            value[here] = torch.where(done[here], success[here], gamma * later)
        # 3. Steps of episodes that still run stay NaN, and are left out.
        known = torch.isfinite(value[: len(self)])
        return rows[known], value[: len(self)][known]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, proprioception and labels of `indices` (B,) in [0, len)."""
        features, proprio, expert = (
            self._columns[name].index_select(0, indices) for name in ("features", "proprio", "expert")
        )
        return features, proprio, expert

"""DAgger's aggregated data: every visited step, features computed once a frame, in memory, oldest dropped first."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Shard:
    """The steps of one round, in the order (step, slot). B steps; this is what a run's checkpoints hold of each round."""

    features: Tensor
    """(B, *feature_shape), as stored."""
    proprio: Tensor
    """(B, P) float32."""
    expert: Tensor
    """(B, A) float32: the expert's action; NaN where it was not asked."""
    executed: Tensor
    """(B, A) float32: the action that the environment got."""
    policy: Tensor
    """(B, A) float32: the action that the student would have taken."""
    actor: Tensor
    """(B,) uint8: who drove this step: 0 the student, 1 the expert, 2 a person."""
    intervention: Tensor
    """(B,) bool: the expert or the person took this step from the student (in the first round nothing is taken)."""
    labelled: Tensor
    """(B,) bool: the step is the student's data, with the expert's action as its label."""
    gate_score: Tensor
    """(B,) float32: what the gate's decision went by, in its own measure; NaN where by none."""
    round: Tensor
    """(B,) int32."""
    seed: Tensor
    """(B,) int64: the seed of the episode."""
    done: Tensor
    """(B,) bool: the episode ended with this step."""
    success: Tensor
    """(B,) bool: it ended with success."""

    def __len__(self) -> int:
        return len(self.proprio)


COLUMNS = [field.name for field in fields(Shard) if field.name not in ("gate_score", "seed", "intervention")]
"""What training reads; the rest is for people."""


class Dataset:
    """A preallocated ring of steps, at most `limit_gb` large; `dropped` counts those overwritten (oldest first).

    Memory is reserved for `expected` steps, or as many as fit, but touched only as it fills.
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
        """`slots`: how many episodes ran side by side, so that the next step of an episode is known."""
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
        """How many steps have been overwritten by newer ones."""
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
        """(len, ...) of one column of `Shard`, in the ring's order."""
        return self._columns[name][: len(self)]

    def labelled(self) -> Tensor:
        """Indices (M,) of the steps that have a label."""
        return self._labelled

    def outcomes(self, gamma: float) -> tuple[Tensor, Tensor]:
        """Indices (M,) of the steps of episodes that have ended, and how each went on: gamma^k for a success k steps
        later, 0 without one, (M,) float32."""
        oldest = self.added % self.capacity if self.dropped else 0
        rows = (torch.arange(len(self)) + oldest) % self.capacity  # oldest first; steps of one slot are `slots` apart
        done, success = self.column("done")[rows], self.column("success")[rows].float()
        value = torch.full((len(self) + self.slots,), torch.nan)
        for start in range(len(self) - self.slots, -self.slots, -self.slots):
            here = slice(max(0, start), start + self.slots)
            later = value[here.start + self.slots : here.stop + self.slots]
            value[here] = torch.where(done[here], success[here], gamma * later)
        known = torch.isfinite(value[: len(self)])
        return rows[known], value[: len(self)][known]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, proprioception and labels of `indices` (B,) in [0, len)."""
        features, proprio, expert = (
            self._columns[name].index_select(0, indices) for name in ("features", "proprio", "expert")
        )
        return features, proprio, expert

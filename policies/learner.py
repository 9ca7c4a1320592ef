"""Training the student on DAgger's aggregated data: minibatches after each round, one cosine over the whole run."""

from dataclasses import dataclass
from typing import Callable

import numpy as np
import torch
from torch import Tensor

from policies.dataset import Dataset
from policies.policy import Policy
from policies.seeds import stream
from policies.student import Student
from toto_robot.errors import UserError


@dataclass
class LearnerConfig:
    """How the student learns after each round."""

    updates_per_round: int = 1200
    """Minibatches after a round, averaged over the run."""
    updates_growth: float = 0.5
    """0: the same number after each round; 1: in proportion to the data so far. The total stays the same."""
    batch_size: int = 256
    """Samples in a minibatch, drawn uniformly from all the data."""
    lr: float = 1e-3
    """AdamW's learning rate at its peak. It decays by a cosine over ALL rounds; a constant one costs success."""
    lr_final: float = 0.01
    """The last learning rate as a share of the peak."""
    warmup_updates: int = 200
    """Linear warm-up of the learning rate."""
    weight_decay: float = 1e-2
    """AdamW's decoupled weight decay."""
    grad_clip: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.998
    """Decay of the averaged weights, which act and which are saved; 0 uses the newest weights."""
    normalise_rounds: int = 4
    """Rounds whose data set the normalisation statistics; they are frozen afterwards."""

    def __post_init__(self) -> None:
        for name in ("updates_per_round", "batch_size", "normalise_rounds"):
            if getattr(self, name) < 1:
                raise UserError(f"learner.{name}={getattr(self, name)}: expected at least 1.")
        if not (self.lr > 0 and 0 <= self.lr_final <= 1 and 0 <= self.updates_growth <= 1 and 0 <= self.ema_decay < 1):
            raise UserError(
                "learner: expected lr > 0, lr_final and updates_growth in [0, 1], ema_decay in [0, 1); got "
                f"lr={self.lr}, lr_final={self.lr_final}, updates_growth={self.updates_growth}, "
                f"ema_decay={self.ema_decay}."
            )

    def updates(self, round_: int, rounds: int) -> int:
        """Minibatches after round `round_` of `rounds`."""
        share = 1 - self.updates_growth + self.updates_growth * 2 * (round_ + 1) / (rounds + 1)
        return max(1, round(self.updates_per_round * share))


class Learner(Student):
    """The student of DAgger. Everything it does is a function of its state, the data, and (seed, round)."""

    def __init__(self, policy: Policy, config: LearnerConfig, rounds: int, seed: int):
        self.config, self.rounds, self.seed = config, rounds, seed
        super().__init__(
            policy,
            total=sum(config.updates(r, rounds) for r in range(rounds)),
            lr=config.lr,
            lr_final=config.lr_final,
            warmup=config.warmup_updates,
            weight_decay=config.weight_decay,
            grad_clip=config.grad_clip,
            ema_decay=config.ema_decay,
        )

    def train(self, round_: int, data: Dataset, on_update: Callable[[int, int], None] = lambda done, of: None) -> float:
        """One round of updates on `data`; returns the mean loss. Sets the statistics in the first rounds."""
        updates = self.config.updates(round_, self.rounds)
        rng = np.random.default_rng(stream(self.seed, "minibatches", round_))
        torch.manual_seed(stream(self.seed, "dropout", round_)[0])
        order = torch.from_numpy(rng.integers(len(data), size=(updates, self.config.batch_size)))
        self.head.train()
        losses = torch.zeros(())
        for i, indices in enumerate(order):
            features, proprio, expert = data.batch(indices)
            net = self.policy.net
            losses += self.descend([self.head.loss(net(features, proprio), net.action(expert), expert)])
            if i % 100 == 99:
                on_update(i + 1, updates)
        self.head.eval()
        return (losses / updates).item()

    def normalise(self, round_: int, features: Tensor, proprio: Tensor, expert: Tensor) -> None:
        """Merge a round's samples into the statistics, in the first `normalise_rounds` rounds only."""
        if round_ < self.config.normalise_rounds:
            net = self.policy.net
            net.features.update(features)
            net.proprio.update(proprio)
            net.action.update(expert)

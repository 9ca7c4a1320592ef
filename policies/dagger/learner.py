"""Training the student on DAgger's aggregated data: minibatches after each round, one cosine over the whole run.

On the arrow: `buffer.Dataset` → minibatches → the policy's head (`policies.student` does the update).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from policies.dagger.buffer import Dataset
from policies.network.trained_blocks import AT_ONCE
from policies.policy import Policy
from policies.seeds import stream
from policies.student import Student
from toto_robot.ground.errors import UserError


@dataclass
class LearnerConfig:
    """How the student learns after each round."""

    updates_per_round: int = 1200
    """Minibatches after a round, averaged over the run."""
    updates_growth: float = 0.5
    """0: the same number after each round. 1: in proportion to the data so far. The total is the same in both cases."""
    update_ratio: float = 0.0
    """Minibatches for each new environment step; replaces `updates_per_round`. 0 uses `updates_per_round`."""
    stop_loss: float = 0.0
    """Updates stop until there is new data once a minibatch's loss is below this; 0 for never."""
    batch_size: int = 256
    """Samples in a minibatch, drawn uniformly from all the data."""
    lr: float = 1e-3
    """AdamW's learning rate at its peak. It decays by a cosine over ALL rounds. A constant rate costs success."""
    lr_final: float = 0.01
    """The last learning rate as a share of the peak."""
    warmup_updates: int = 200
    """Linear warm-up of the learning rate."""
    weight_decay: float = 1e-2
    """AdamW's decoupled weight decay."""
    grad_clip: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.998
    """Decay of the averaged weights, which act and are saved; 0 uses the newest weights."""
    normalise_rounds: int = 4
    """The data of this many rounds define the normalisation statistics, which are frozen afterwards."""

    def __post_init__(self) -> None:
        for name in ("updates_per_round", "batch_size", "normalise_rounds"):
            if getattr(self, name) < 1:
                raise UserError(f"learner.{name}={getattr(self, name)}: expected at least 1.")
        if min(self.update_ratio, self.stop_loss) < 0:
            raise UserError(
                f"learner: expected update_ratio and stop_loss >= 0, got {self.update_ratio} and {self.stop_loss}."
            )
        if not (self.lr > 0 and 0 <= self.lr_final <= 1 and 0 <= self.updates_growth <= 1 and 0 <= self.ema_decay < 1):
            raise UserError(
                "learner: expected lr > 0, lr_final and updates_growth in [0, 1], ema_decay in [0, 1); got "
                f"lr={self.lr}, lr_final={self.lr_final}, updates_growth={self.updates_growth}, "
                f"ema_decay={self.ema_decay}."
            )

    def updates(self, round_: int, rounds: int, steps: int = 0, pieces: int = 1) -> int:
        """Minibatches after round `round_` of `rounds`, or after one of its `pieces`, which has `steps` environment
        steps."""
        if self.update_ratio:
            return max(1, round(self.update_ratio * steps))
        share = 1 - self.updates_growth + self.updates_growth * 2 * (round_ + 1) / (rounds + 1)
        return max(1, round(self.updates_per_round * share / pieces))


class Learner(Student):
    """DAgger's student. Everything it does is a function of its state, the data, and (seed, round)."""

    def __init__(self, policy: Policy, config: LearnerConfig, pieces: list[list[int]], seed: int):
        """`pieces` has the environment steps before each burst of updates, for each round."""
        self.config, self.pieces, self.seed = config, pieces, seed
        super().__init__(
            policy,
            total=sum(self.updates(r, p) for r, piece in enumerate(pieces) for p in range(len(piece))),
            lr=config.lr,
            lr_final=config.lr_final,
            warmup=config.warmup_updates,
            weight_decay=config.weight_decay,
            grad_clip=config.grad_clip,
            ema_decay=config.ema_decay,
        )

    def updates(self, round_: int, piece: int = 0) -> int:
        """Minibatches after the `piece`-th piece of round `round_`."""
        pieces = self.pieces[round_]
        return self.config.updates(round_, len(self.pieces), pieces[piece], len(pieces))

    def train(
        self, round_: int, data: Dataset, on_update: Callable[[int, int], None] = lambda done, of: None, piece: int = 0
    ) -> float:
        """A burst of updates on the labelled steps of `data`. Returns the mean loss."""
        # 1. Everything random is a function of (seed, round, piece): the samples of all minibatches, and dropout.
        labelled, updates, key = data.labelled(), self.updates(round_, piece), [round_, *([piece] if piece else [])]
        rng = np.random.default_rng(stream(self.seed, "minibatches", *key))
        torch.manual_seed(stream(self.seed, "dropout", *key)[0])
        order = torch.from_numpy(rng.integers(len(labelled), size=(updates, self.config.batch_size)))
        # 2. One optimizer step for each minibatch.
        self.head.train()
        losses, done = torch.zeros(()), 0
        remedy = f"Start again with a smaller learner.lr than {self.peak:g}."
        for indices in order:
            loss = self.descend(self._losses(data, labelled[indices]), f"round {round_ + 1}", remedy)
            losses, done = losses + loss, done + 1
            if done % 100 == 0:
                on_update(done, updates)
            if loss < self.config.stop_loss:
                break
        self.head.eval()
        return (losses / done).item()

    def _losses(self, data: Dataset, indices: Tensor) -> Iterator[Tensor]:
        """A minibatch's loss in parts that add up to its mean. Only blocks that learn need more than one part."""
        net = self.policy.net
        for part in indices.split(AT_ONCE if self.head.encoder is not None else len(indices)):
            features, proprio, expert = data.batch(part)
            loss = self.head.loss(net(features, proprio), net.action(expert), expert)
            yield loss * (len(part) / len(indices))

    def normalise(self, round_: int, features: Tensor, proprio: Tensor, expert: Tensor) -> None:
        """Merge a round's samples into the normalisation statistics, in the first `normalise_rounds` rounds only."""
        if round_ < self.config.normalise_rounds:
            self.policy.net.update_statistics(features, proprio, expert)

"""Training the student on the aggregated data: AdamW, one cosine over the whole run, an average of the weights."""

import copy
import math
from dataclasses import dataclass
from typing import Callable

import numpy as np
import torch
from torch import Tensor

from policies.dataset import Dataset
from policies.policy import Policy
from policies.seeds import stream
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


class Learner:
    """The student in training. Everything it does is a function of its state, the data, and (seed, round)."""

    def __init__(self, policy: Policy, config: LearnerConfig, rounds: int, seed: int):
        self.policy, self.config, self.rounds, self.seed = policy, config, rounds, seed
        self.head = policy.net.head
        self.average = copy.deepcopy(self.head).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.done = 0
        self.total = sum(config.updates(r, rounds) for r in range(rounds))

    def lr(self, update: int) -> float:
        """The learning rate of the `update`-th minibatch of the run."""
        c = self.config
        warm = min(1.0, (update + 1) / max(1, c.warmup_updates))
        cosine = 0.5 * (1 + math.cos(math.pi * update / max(1, self.total)))
        return c.lr * warm * (c.lr_final + (1 - c.lr_final) * cosine)

    def train(self, round_: int, data: Dataset, on_update: Callable[[int, int], None] = lambda done, of: None) -> float:
        """One round of updates on `data`; returns the mean loss. Sets the statistics in the first rounds."""
        updates = self.config.updates(round_, self.rounds)
        rng = np.random.default_rng(stream(self.seed, "minibatches", round_))
        torch.manual_seed(stream(self.seed, "dropout", round_)[0])
        order = torch.from_numpy(rng.integers(len(data), size=(updates, self.config.batch_size)))
        self.head.train()
        losses = torch.zeros(())
        for i, indices in enumerate(order):
            losses += self._update(*data.batch(indices))
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

    def _update(self, features: Tensor, proprio: Tensor, expert: Tensor) -> Tensor:
        net = self.policy.net
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.done)
        loss = self.head.loss(net(features, proprio), net.action(expert), expert)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.head.parameters(), self.config.grad_clip)
        self.optimizer.step()
        decay = min(self.config.ema_decay, (1 + self.done) / (10 + self.done)) if self.config.ema_decay else 0.0
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.head.parameters()), 1 - decay)
        self.done += 1
        return loss.detach()

    def finish(self) -> Policy:
        """The policy with the averaged weights in place."""
        self.head.load_state_dict(self.average.state_dict())
        return self.policy

    def state(self) -> dict[str, Tensor]:
        """Everything that the next round depends on, as tensors with readable names."""
        tensors = {f"net.{k}": v for k, v in self.policy.net.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        tensors["done"] = torch.tensor(self.done)
        return {k: v.detach().clone().contiguous() for k, v in tensors.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.policy.net.load_state_dict(_under(tensors, "net."))
        self.average.load_state_dict(_under(tensors, "average."))
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {}
        for key, value in _under(tensors, "optimizer.").items():
            index, name = key.split(".", 1)
            optimizer["state"].setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict(optimizer)
        self.done = int(tensors["done"])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

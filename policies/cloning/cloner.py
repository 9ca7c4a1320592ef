"""Behaviour cloning's optimization: epochs over demonstrations, in an order that (seed, epoch) decides.

On the arrow: batches from `policies.cloning.demonstrations` → the policy's head (`policies.student` does the update).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from policies.cloning.augment import AugmentConfig, augment
from policies.cloning.demonstrations import Demonstrations
from policies.network.trained_blocks import AT_ONCE
from policies.policy import Policy
from policies.seeds import stream
from policies.student import Student
from toto_robot.ground.errors import UserError


@dataclass
class OptimConfig:
    """AdamW with a linear warm-up and a cosine, over epochs. The groups mvp and rpt are the published settings."""

    epochs: int = 150
    """Passes over all kept steps."""
    batch_size: int = 128
    """Steps, or windows of steps, in a minibatch."""
    lr: float = 1e-3
    """AdamW's learning rate at its peak."""
    lr_final: float = 0.0
    """The last learning rate as a share of the peak."""
    warmup_epochs: float = 2.0
    """Epochs of linear warm-up."""
    weight_decay: float = 0.01
    """Decoupled weight decay of matrices; norms, biases, tokens and positions have none."""
    grad_clip: float = 0.0
    """The largest norm of the gradient; 0 for no limit."""
    ema_decay: float = 0.0
    """Decay of the averaged weights, which act and are saved; 0 uses the newest weights."""
    micro_batch: int = 512
    """The most steps or windows whose gradient is computed at once. Another number changes the result by rounding
    only."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "micro_batch"):
            if getattr(self, name) < 1:
                raise UserError(f"optim.{name}={getattr(self, name)}: expected at least 1.")
        if not (self.lr > 0 and 0 <= self.lr_final <= 1 and 0 <= self.ema_decay < 1 and self.warmup_epochs >= 0):
            raise UserError(
                "optim: expected lr > 0, lr_final in [0, 1], ema_decay in [0, 1) and warmup_epochs >= 0; got "
                f"lr={self.lr}, lr_final={self.lr_final}, ema_decay={self.ema_decay}, "
                f"warmup_epochs={self.warmup_epochs}."
            )


class Cloner(Student):
    """The student of behaviour cloning. Everything it does is a function of its state, the data, and (seed, epoch)."""

    def __init__(self, policy: Policy, config: OptimConfig, data: Demonstrations, augmenting: AugmentConfig, seed: int):
        self.config, self.data, self.augmenting, self.seed = config, data, augmenting, seed
        self.per_epoch = -(-len(data) // config.batch_size)
        super().__init__(
            policy,
            total=config.epochs * self.per_epoch,
            lr=config.lr,
            lr_final=config.lr_final,
            warmup=round(config.warmup_epochs * self.per_epoch),
            weight_decay=config.weight_decay,
            grad_clip=config.grad_clip,
            ema_decay=config.ema_decay,
            decay_all=False,
        )
        # The statistics that normalise a sample are those of all kept steps, with the frames unchanged.
        for part in torch.arange(len(data)).split(1024):
            policy.net.update_statistics(*data.batch(part, torch.zeros_like(part)))

    def train(self, epoch: int, on_update: Callable[[], None] = lambda: None) -> float:
        """Train one epoch. Returns the mean loss of its steps. Raises UserError if a loss is not finite."""
        # 1. Everything random in an epoch is a function of (seed, epoch): the order, the looks, dropout and noise.
        n, size = len(self.data), self.config.batch_size
        rng = np.random.default_rng(stream(self.seed, "epoch", epoch))
        order, looks = torch.from_numpy(rng.permutation(n)), torch.from_numpy(rng.integers(self.data.copies, size=n))
        torch.manual_seed(stream(self.seed, "dropout", epoch)[0])
        noise = torch.Generator().manual_seed(stream(self.seed, "noise", epoch)[0])
        # 2. One optimizer step for each minibatch.
        self.head.train()
        total, within = 0.0, f"epoch {epoch + 1}"
        remedy = f"Start again with a smaller optim.lr than {self.peak:g}, or with optim.grad_clip=1."
        for steps, look in zip(order.split(size), looks.split(size)):
            total += self.descend(self._losses(steps, look, noise), within, remedy).item() * len(steps)
            on_update()
        self.head.eval()
        return total / n

    def _losses(self, steps: Tensor, look: Tensor, noise: torch.Generator) -> Iterator[Tensor]:
        """A minibatch's loss in parts of at most `micro_batch` samples. The parts add up to the minibatch's mean
        loss."""
        net, transformer = self.policy.net, self.policy.head_config.transformer
        most = self.config.micro_batch
        if self.head.encoder is not None:  # its activations take the memory: count frames, not windows
            most = min(most, max(1, AT_ONCE // (1 if transformer is None else transformer.context)))
        parts = list(zip(steps.split(most), look.split(most)))
        # An MLP sees one step. Each part's mean counts by its share of the steps.
        if transformer is None:
            for part, seen in parts:
                features, proprio, action = self.data.batch(part, seen)
                output = net(self._frames(features, noise), self._joints(proprio, noise))
                yield self.head.loss(output, net.action(action), action) * (len(part) / len(steps))
            return
        # A transformer sees a window. Each part's mean counts by its share of the labels inside the episodes.
        ahead = self.data.last[steps] - steps + 1
        labels_in_all = ahead.clamp_max(transformer.chunk).sum()
        for part, seen in parts:
            window, labels, there = self.data.windows(part, seen, transformer.context, transformer.chunk)
            window.features = self._frames(window.features, noise)
            window.proprio = self._joints(window.proprio, noise)
            loss = self.head.loss(net.chunk(window), net.action(labels), labels, there)
            yield loss * (there.sum() / labels_in_all)

    def _frames(self, features: Tensor, noise: torch.Generator) -> Tensor:
        """Augment frames (..., H, W, 3) that the policy's own network sees. Frozen features stay unchanged."""
        if features.dtype != torch.uint8 or not self.augmenting.changes_frames:
            return features
        return augment(features.flatten(0, -4), self.augmenting, noise).view(features.shape)

    def _joints(self, proprio: Tensor, noise: torch.Generator) -> Tensor:
        if not self.augmenting.proprio_std:
            return proprio
        return proprio + self.augmenting.proprio_std * torch.randn(proprio.shape, generator=noise)

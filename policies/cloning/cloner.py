"""Behaviour cloning's optimization: epochs over demonstrations, in an order that (seed, epoch) decides."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from policies.cloning.augment import AugmentConfig, augment
from policies.cloning.demonstrations import Demonstrations
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
    """Largest norm of the gradient; 0 for no limit."""
    ema_decay: float = 0.0
    """Decay of the averaged weights, which act and which are saved; 0 uses the newest weights."""
    micro_batch: int = 512
    """Most steps or windows whose gradient is computed at once; the result is the same but for rounding."""

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

    def normalise(self) -> None:
        """Sets the statistics from all kept steps, in their first look."""
        net = self.policy.net
        for part in torch.arange(len(self.data)).split(1024):
            features, proprio, action = self.data.batch(part, torch.zeros_like(part))
            net.features.update(features)
            net.proprio.update(proprio)
            net.action.update(action)

    def train(self, epoch: int, on_update: Callable[[], None] = lambda: None) -> float:
        """One epoch; returns the mean loss of its steps."""
        n, size = len(self.data), self.config.batch_size
        rng = np.random.default_rng(stream(self.seed, "epoch", epoch))
        order, looks = torch.from_numpy(rng.permutation(n)), torch.from_numpy(rng.integers(self.data.copies, size=n))
        torch.manual_seed(stream(self.seed, "dropout", epoch)[0])
        noise = torch.Generator().manual_seed(stream(self.seed, "noise", epoch)[0])
        self.head.train()
        total = 0.0
        for steps, look in zip(order.split(size), looks.split(size)):
            total += self.descend(self._losses(steps, look, noise)).item() * len(steps)
            on_update()
        self.head.eval()
        return total / n

    def _losses(self, steps: Tensor, look: Tensor, noise: torch.Generator) -> Iterator[Tensor]:
        """The parts of a minibatch's loss, which add up to its mean."""
        net, transformer = self.policy.net, self.policy.head_config.transformer
        parts = list(zip(steps.split(self.config.micro_batch), look.split(self.config.micro_batch)))
        if transformer is None:
            for part, seen in parts:
                features, proprio, action = self.data.batch(part, seen)
                output = net(self._frames(features, noise), self._joints(proprio, noise))
                yield self.head.loss(output, net.action(action), action) * (len(part) / len(steps))
            return
        ahead = self.data.last[steps] - steps + 1  # labels inside the episode
        labels_in_all = ahead.clamp_max(transformer.chunk).sum()
        for part, seen in parts:
            window, labels, there = self.data.windows(part, seen, transformer.context, transformer.chunk)
            window.features = self._frames(window.features, noise)
            window.proprio = self._joints(window.proprio, noise)
            loss = self.head.loss(net.chunk(window), net.action(labels), labels, there)
            yield loss * (there.sum() / labels_in_all)

    def _frames(self, features: Tensor, noise: torch.Generator) -> Tensor:
        """Frames (..., H, W, 3) that the policy's own network sees, augmented; frozen features as they are."""
        if features.dtype != torch.uint8 or not self.augmenting.changes_frames:
            return features
        return augment(features.flatten(0, -4), self.augmenting, noise).view(features.shape)

    def _joints(self, proprio: Tensor, noise: torch.Generator) -> Tensor:
        if not self.augmenting.proprio_std:
            return proprio
        return proprio + self.augmenting.proprio_std * torch.randn(proprio.shape, generator=noise)

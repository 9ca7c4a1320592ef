"""A policy's head in training: AdamW, warm-up and cosine, an average of the weights. DAgger and cloning both use it."""

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from policies.bookkeeping.state import moments, restore_moments, under
from policies.policy import Policy
from toto_robot.ground.errors import UserError

NOT_DECAYED = ("token", "position", "mode")
"""Parts of the names of parameters that weight decay leaves alone where `decay_all` is false (MVP: norm, bias, token,
pos; of these, norms and biases have one dimension)."""


class Student:
    """Everything that an update depends on; `state` and `restore` go on to the same bits."""

    def __init__(
        self,
        policy: Policy,
        *,
        total: int,
        lr: float,
        lr_final: float,
        warmup: int,
        weight_decay: float,
        grad_clip: float,
        ema_decay: float,
        decay_all: bool = True,
    ):
        """`total` updates in the whole run, `warmup` of them to reach `lr`, then a cosine to `lr_final` · `lr`;
        `grad_clip` and `ema_decay` 0 for none."""
        if policy.head_config.squash:
            raise UserError(
                "policy.squash=true is how SAC's actions are made; imitation fits the actions themselves. Leave it out."
            )
        self.policy, self.head = policy, policy.net.head
        self.total, self.peak, self.lr_final, self.warmup = total, lr, lr_final, warmup
        self.grad_clip, self.ema_decay = grad_clip, ema_decay
        self.average = copy.deepcopy(self.head).eval().requires_grad_(False)
        groups = self.head.parameters() if decay_all else decay_groups(self.head, weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay, fused=True)
        self.done = 0

    def lr(self, update: int) -> float:
        """The learning rate of the `update`-th minibatch of the run."""
        warm = min(1.0, (update + 1) / max(1, self.warmup))
        cosine = 0.5 * (1 + math.cos(math.pi * update / max(1, self.total)))
        return self.peak * warm * (self.lr_final + (1 - self.lr_final) * cosine)

    def descend(self, losses: Iterable[Tensor]) -> Tensor:
        """One step down the sum of `losses`, each made and forgotten in turn; returns the sum."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.done)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(())
        for loss in losses:
            loss.backward()
            total += loss.detach()
        if self.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.head.parameters(), self.grad_clip)
        self.optimizer.step()
        decay = min(self.ema_decay, (1 + self.done) / (10 + self.done)) if self.ema_decay else 0.0
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.head.parameters()), 1 - decay)
        self.done += 1
        return total

    def finish(self) -> Policy:
        """The policy with the averaged weights in place."""
        self.head.load_state_dict(self.average.state_dict())
        return self.policy

    def state(self) -> dict[str, Tensor]:
        """Everything that the next round depends on, as tensors with readable names."""
        tensors = {f"net.{k}": v for k, v in self.policy.net.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"optimizer.{k}": v for k, v in moments(self.optimizer).items()}
        tensors["done"] = torch.tensor(self.done)
        return {k: v.detach().clone().contiguous() for k, v in tensors.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.policy.net.load_state_dict(under(tensors, "net."))
        self.average.load_state_dict(under(tensors, "average."))
        restore_moments(self.optimizer, under(tensors, "optimizer."))
        self.done = int(tensors["done"])


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict]:
    """AdamW's parameter groups: matrices with `weight_decay`, norms, biases, tokens and positions without."""
    decayed, spared = [], []
    for name, parameter in module.named_parameters():
        spare = parameter.ndim <= 1 or any(part in name for part in NOT_DECAYED)
        (spared if spare else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]

"""A policy's head in training: AdamW, warm-up and cosine, and an average of the weights.

On the arrow: `policies.dagger.learner` and `policies.cloning.cloner` choose the samples. This is the step that both
take.
"""

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from policies.bookkeeping.state import moments, restore_moments, under
from policies.policy import Policy
from toto_robot.ground.average import update_average
from toto_robot.ground.errors import UserError
from toto_robot.ground.finite import check_loss
from toto_robot.ground.schedules import overlapping_rate

NOT_DECAYED = ("token", "position", "mode")
"""Parts of the names of parameters that get no weight decay where `decay_all` is false (MVP: norm, bias, token, pos; of
these, norms and biases have one dimension)."""


class Student:
    """Everything that an update depends on. `state` and `restore` continue to the same bits."""

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
        """The whole run has `total` updates: `warmup` of them to reach `lr`, and a cosine down to `lr_final` · `lr`.
        `grad_clip` 0 and `ema_decay` 0 switch these off."""
        if policy.head_config.squash:
            raise UserError(
                "policy.squash=true makes actions as SAC does, but imitation fits the actions themselves. Leave it out."
            )
        self.policy, self.head = policy, policy.net.head
        self.total, self.peak, self.lr_final, self.warmup = total, lr, lr_final, warmup
        self.grad_clip, self.ema_decay = grad_clip, ema_decay
        self.average = copy.deepcopy(self.head).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self._groups(decay_all, weight_decay), lr=lr, fused=True)
        self.done = 0

    def _groups(self, decay_all: bool, weight_decay: float) -> list[dict]:
        """AdamW's parameter groups. `scale`: their learning rate as a share of the head's."""
        learning = [(name, p) for name, p in self.head.named_parameters() if p.requires_grad]
        groups = []
        for inside, scale in ((False, 1.0), (True, self.policy.features.config.train_lr)):
            named = [(name, p) for name, p in learning if name.startswith("encoder.") == inside]
            parts = [named, []] if decay_all else decay_groups(named)
            for decay, part in zip((weight_decay, 0.0), parts):
                if part:
                    groups.append({"params": [p for _, p in part], "weight_decay": decay, "scale": scale})
        return groups

    def lr(self, update: int) -> float:
        """The learning rate of the `update`-th minibatch of the run."""
        return overlapping_rate(update, peak=self.peak, warmup_steps=self.warmup, steps=self.total, final=self.lr_final)

    def descend(self, losses: Iterable[Tensor], within: str = "", remedy: str = "") -> Tensor:
        """One optimizer step on the sum of `losses`. Returns the sum.

        If it or the gradient is not finite, it raises UserError, which names `within` (round 3) and the `remedy`, and
        leaves the weights unchanged.

        The losses are computed and back-propagated one after the other, so only one graph is in memory at a time.
        """
        # 1. The learning rate is a function of the number of updates.
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.done) * group["scale"]
        # 2. Gradients of all parts add up.
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(())
        for loss in losses:
            loss.backward()
            total += loss.detach()
        # 3. A check that training has not diverged.
        norm = torch.nn.utils.clip_grad_norm_(self.head.parameters(), self.grad_clip or math.inf)
        when = f"update {self.done + 1} of {self.total}" + (f" ({within})" if within else "")
        check_loss(when, remedy, loss=total.item(), gradient_norm=norm.item())
        # 4. The step, and the average of the weights, which acts and is saved.
        self.optimizer.step()
        update_average(self.average, self.head, updates=self.done, decay=self.ema_decay)
        self.done += 1
        return total

    def finish(self) -> Policy:
        """The policy with the averaged weights."""
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
        """Continue from what `state` returned."""
        self.policy.net.load_state_dict(under(tensors, "net."))
        self.average.load_state_dict(under(tensors, "average."))
        restore_moments(self.optimizer, under(tensors, "optimizer."))
        self.done = int(tensors["done"])


def decay_groups(named: Iterable[tuple[str, Tensor]]) -> tuple[list, list]:
    """(name, parameter) pairs in two lists: matrices, which get weight decay, and norms, biases, tokens and
    positions, which get none."""
    decayed: list[tuple[str, Tensor]] = []
    spared: list[tuple[str, Tensor]] = []
    for name, parameter in named:
        spare = parameter.ndim <= 1 or any(part in name for part in NOT_DECAYED)
        (spared if spare else decayed).append((name, parameter))
    return decayed, spared

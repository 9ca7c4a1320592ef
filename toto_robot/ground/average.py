"""The average of a network's weights during training (Polyak averaging): the averaged weights act and are saved.

On the arrow: the trainers of policies and of tokenizers call `update_average` after each optimizer step.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def update_average(average: "nn.Module", newest: "nn.Module", *, updates: int, decay: float) -> None:
    """Move every parameter of `average` towards its counterpart: average ← d · average + (1 − d) · newest.

    d grows with the number of earlier `updates`, from 1/10 to `decay`, so that the first weights fade fast. With
    `decay` 0, the average is the newest weights.
    """
    import torch

    now = min(decay, (1 + updates) / (10 + updates))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(newest.parameters()), 1 - now)

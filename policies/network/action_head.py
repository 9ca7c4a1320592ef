"""What every head shares: actions that are numbers, actions that are choices, and the loss on both."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOSSES = ("mse", "smooth_l1")


class ActionHead(nn.Module):
    """A head whose outputs (..., A) are means of normalised actions, or logits of +1 against -1 where binary."""

    def __init__(self, loss: str, action_dim: int, binary: tuple[int, ...]):
        """`binary` lists the actions that are open/close commands; `loss` is that of the others."""
        super().__init__()
        self.kind = loss
        is_binary = torch.zeros(action_dim, dtype=torch.bool)
        is_binary[list(binary)] = True
        self.register_buffer("is_binary", is_binary, persistent=False)

    def loss(self, output: Tensor, normalised: Tensor, labels: Tensor, there: Tensor | None = None) -> Tensor:
        """Mean over all actions, or over those of the steps where `there` (...) is true.

        output (..., A) from `forward`; `normalised` (..., A) the normalised expert actions, for continuous ones;
        `labels` (..., A) the raw ones in [-1, 1], for binary ones (cross-entropy with (1 + label) / 2).
        """
        if self.kind == "mse":
            loss = F.mse_loss(output, normalised, reduction="none")
        else:
            loss = F.smooth_l1_loss(output, normalised, reduction="none", beta=0.5)
        if self.is_binary.any():
            target = (labels.clamp(-1, 1) + 1) / 2
            binary = F.binary_cross_entropy_with_logits(output, target, reduction="none")
            loss = torch.where(self.is_binary, binary, loss)
        return loss.mean() if there is None else loss[there].mean()

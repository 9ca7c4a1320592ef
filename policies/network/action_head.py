"""What every head shares: actions that are numbers, actions that are choices, and the loss on both."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policies.network.trained_blocks import TrainedBlocks

LOSSES = ("mse", "smooth_l1")


class ActionHead(nn.Module):
    """A head whose outputs (..., A) are means of normalised actions. For binary actions they are logits of +1 against
    -1."""

    def __init__(self, loss: str, action_dim: int, binary: tuple[int, ...]):
        """`binary` lists the actions that are open/close commands. `loss` is the loss on the others."""
        super().__init__()
        self.kind = loss
        self.encoder: TrainedBlocks | None = None
        """Toto's blocks that learn with the head, and make its features from tokens. None for frozen features."""
        is_binary = torch.zeros(action_dim, dtype=torch.bool)
        is_binary[list(binary)] = True
        self.register_buffer("is_binary", is_binary, persistent=False)

    def read(self, features: Tensor) -> Tensor:
        """Float32 features of stored ones (B, *feature_shape): from tokens if the head has an encoder of its own."""
        return features.float() if self.encoder is None else self.encoder(features)

    def loss(self, output: Tensor, normalised: Tensor, labels: Tensor, there: Tensor | None = None) -> Tensor:
        """The mean loss over all actions, or over the actions of those steps where `there` (...) is True.

        `output` (..., A) comes from `forward`. Continuous actions use `normalised` (..., A), the normalised expert
        actions. Binary actions use `labels` (..., A), the raw ones in [-1, 1]: cross-entropy with (1 + label) / 2.
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

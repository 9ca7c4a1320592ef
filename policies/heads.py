"""The trained part of a policy: pool the frozen feature, join it with proprioception, predict an action.

MVP's layout (feature → 128, proprioception → 128, then an MLP of [256, 128, 64] with SELU) is the preset `paper`;
widths, activation and layer norm are fields. Pooling follows Sec. 3.5 of the paper.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_robot.errors import UserError

ACTIVATIONS = {"selu": nn.SELU, "gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}
LOSSES = ("mse", "smooth_l1")


@dataclass
class HeadConfig:
    """The trained head of a policy."""

    feature_width: int = 128
    """Width of the projected feature."""
    proprio_width: int = 128
    """Width of the projected proprioception."""
    hidden: list[int] = field(default_factory=lambda: [256, 128, 64])
    """Widths of the MLP's hidden layers."""
    activation: str = "selu"
    """selu, gelu, relu or silu."""
    layer_norm: bool = False
    """Layer norm after both projections and after each hidden layer."""
    feature_dropout: float = 0.0
    """Share of the projected feature's channels dropped while training."""
    attention_heads: int = 4
    """Number of learned queries in attention pooling; each has its own part of the projected width."""
    position_embedding: bool = True
    """Whether attention pooling adds a learned embedding of the grid cell to the keys and values."""
    loss: str = "mse"
    """Loss on normalised continuous actions: mse or smooth_l1."""

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UserError(f"policy.activation={self.activation!r}: expected one of {', '.join(ACTIVATIONS)}.")
        if self.loss not in LOSSES:
            raise UserError(f"policy.loss={self.loss!r}: expected one of {', '.join(LOSSES)}.")
        if self.feature_width % self.attention_heads:
            raise UserError(
                f"policy.attention_heads={self.attention_heads} must divide policy.feature_width={self.feature_width}."
            )
        if min([self.feature_width, self.proprio_width, *self.hidden]) < 1:
            raise UserError("policy widths must be at least 1.")


class AttentionPool(nn.Module):
    """Softmax attention of learned queries over C cells (Sec. 3.5): (B, C, D) → (B, width).

    Head h has its query q_h and its slice of W_k and W_v: softmax(q_h·(W_k x)_h / √K) (W_v x)_h, heads joined. As a
    query does not depend on x, q_h·(W_k x)_h is (W_k,hᵀ q_h)·x, and W_v is applied after the average: the same
    function at C times fewer multiplications.
    """

    def __init__(self, cells: int, dim: int, width: int, heads: int, position_embedding: bool):
        super().__init__()
        self.heads, self.key_width = heads, width // heads
        self.query = nn.Parameter(torch.randn(heads, self.key_width))
        self.w_k = nn.Parameter(torch.randn(heads, self.key_width, dim) * dim**-0.5)
        self.w_v = nn.Parameter(torch.randn(heads, self.key_width, dim) * dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        shape = (cells, heads, self.key_width)
        self.position_k = nn.Parameter(torch.randn(shape) * 0.02) if position_embedding else None
        self.position_v = nn.Parameter(torch.randn(shape) * 0.02) if position_embedding else None

    def forward(self, x: Tensor) -> Tensor:
        weights = self.attention(x)  # (B, C, H)
        mean = torch.einsum("bch,bcd->bhd", weights, x)
        out = torch.einsum("bhd,hkd->bhk", mean, self.w_v)
        if self.position_v is not None:
            out = out + torch.einsum("bch,chk->bhk", weights, self.position_v)
        return out.flatten(1) + self.bias  # (B, H·K)

    def attention(self, x: Tensor) -> Tensor:
        """The attention weights (B, C, H) of x (B, C, D): they sum to 1 over the cells."""
        scores = x @ torch.einsum("hk,hkd->dh", self.query, self.w_k)
        if self.position_k is not None:
            scores = scores + torch.einsum("hk,chk->ch", self.query, self.position_k)
        return (scores * self.key_width**-0.5).softmax(dim=1)


class Head(nn.Module):
    """Normalised features (B, *feature_shape) and proprioception (B, P) → (B, A): means, or logits where binary.

    `binary` lists the actions that are open/close commands: their output is the logit of +1 against -1.
    """

    def __init__(
        self,
        config: HeadConfig,
        feature_shape: tuple[int, ...],
        proprio_dim: int,
        action_dim: int,
        pooling: str,
        binary: tuple[int, ...] = (),
    ):
        super().__init__()
        self.config = config
        norm = (lambda width: nn.LayerNorm(width)) if config.layer_norm else (lambda width: nn.Identity())
        activation = ACTIVATIONS[config.activation]
        has_feature = 0 not in feature_shape
        self.pool: nn.Module | None = None
        if has_feature and len(feature_shape) == 2 and pooling != "grid":
            cells, dim = feature_shape
            self.pool = AttentionPool(
                cells, dim, config.feature_width, config.attention_heads, config.position_embedding
            )
        elif has_feature:
            size = int(torch.tensor(feature_shape).prod())
            self.pool = nn.Sequential(nn.Flatten(1), nn.Linear(size, config.feature_width))
        self.feature_norm = norm(config.feature_width) if has_feature else nn.Identity()
        self.dropout = nn.Dropout(config.feature_dropout)
        self.proprio = nn.Sequential(nn.Linear(proprio_dim, config.proprio_width), norm(config.proprio_width))
        width = config.proprio_width + (config.feature_width if has_feature else 0)
        layers: list[nn.Module] = []
        for hidden in config.hidden:
            layers += [nn.Linear(width, hidden), norm(hidden), activation()]
            width = hidden
        self.mlp = nn.Sequential(*layers)
        self.action = nn.Linear(width, action_dim)
        nn.init.orthogonal_(self.action.weight, 0.01)  # MVP: the first actions are near the mean action
        nn.init.zeros_(self.action.bias)
        is_binary = torch.zeros(action_dim, dtype=torch.bool)
        is_binary[list(binary)] = True
        self.register_buffer("is_binary", is_binary, persistent=False)

    def forward(self, features: Tensor, proprio: Tensor) -> Tensor:
        x = self.proprio(proprio)
        if self.pool is not None:
            x = torch.cat([self.dropout(self.feature_norm(self.pool(features))), x], dim=1)
        return self.action(self.mlp(x))

    def loss(self, output: Tensor, normalised: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch and the actions.

        output (B, A) from `forward`; `normalised` (B, A) the normalised expert actions, for continuous ones;
        `labels` (B, A) the raw ones in [-1, 1], for binary ones (cross-entropy with (1 + label) / 2).
        """
        if self.config.loss == "mse":
            continuous = F.mse_loss(output, normalised, reduction="none")
        else:
            continuous = F.smooth_l1_loss(output, normalised, reduction="none", beta=0.5)
        if not self.is_binary.any():
            return continuous.mean()
        target = (labels.clamp(-1, 1) + 1) / 2
        binary = F.binary_cross_entropy_with_logits(output, target, reduction="none")
        return torch.where(self.is_binary, binary, continuous).mean()

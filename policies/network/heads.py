"""The trained part of a policy: pool the frozen feature, join it with proprioception, predict an action.

MVP's layout (feature → 128, proprioception → 128, then an MLP of [256, 128, 64] with SELU) is the preset `paper`.
Widths, activation and layer norm are fields. RPT's transformer (transformer.py) can replace the MLP.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from policies.network.action_head import LOSSES, ActionHead
from policies.network.pooling import make_pool
from policies.network.transformer import TransformerConfig, TransformerHead
from toto_robot.ground.errors import UserError, unknown

ACTIVATIONS = {"selu": nn.SELU, "gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


@dataclass
class HeadConfig:
    """The trained head of a policy."""

    feature_width: int = 128
    """Width of the projected feature; 0 for no projection."""
    proprio_width: int = 128
    """Width of the projected proprioception; 0 for no proprioception, if the feature has it (the privileged state)."""
    hidden: list[int] = field(default_factory=lambda: [256, 128, 64])
    """Widths of the MLP's hidden layers."""
    activation: str = "selu"
    """selu, gelu, relu or silu."""
    layer_norm: bool = False
    """Layer norm after both projections and after each hidden layer."""
    feature_dropout: float = 0.0
    """Share of the projected feature's channels that are dropped in training."""
    attention_heads: int = 4
    """Number of learned queries in attention pooling. Each has its own part of the projected width."""
    position_embedding: bool = True
    """Whether attention pooling adds a learned embedding of the grid cell to the keys and values."""
    loss: str = "mse"
    """Loss on normalised continuous actions: mse or smooth_l1."""
    squash: bool = False
    """Whether actions that are numbers pass through tanh, as SAC's do."""
    transformer: TransformerConfig | None = None
    """RPT's transformer, which replaces the MLP. The MLP's widths, activation and norms are then unused."""

    def __post_init__(self) -> None:
        if isinstance(self.transformer, dict):  # from a policy's description
            self.transformer = TransformerConfig(**self.transformer)
        if self.activation not in ACTIVATIONS:
            raise unknown("policy.activation", self.activation, ACTIVATIONS)
        if self.loss not in LOSSES:
            raise unknown("policy.loss", self.loss, LOSSES)
        if self.feature_width % self.attention_heads:
            raise UserError(
                f"policy.attention_heads={self.attention_heads} must divide policy.feature_width={self.feature_width}."
            )
        if min([self.feature_width, self.proprio_width]) < 0 or min(self.hidden, default=1) < 1:
            raise UserError("policy widths must be at least 1 (feature_width and proprio_width at least 0).")


class Head(ActionHead):
    """Normalised features (B, *feature_shape) and proprioception (B, P) → (B, A): means, or logits for binary actions.

    `binary` lists the actions that are open/close commands. Their output is the logit of +1 against -1.
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
        super().__init__(config.loss, action_dim, binary)
        norm = (lambda width: nn.LayerNorm(width)) if config.layer_norm else (lambda width: nn.Identity())
        activation = ACTIVATIONS[config.activation]
        pool = (config.feature_width, config.attention_heads, config.position_embedding)
        self.pool = make_pool(feature_shape, pooling, *pool)
        feature_width = 0 if self.pool is None else config.feature_width or math.prod(feature_shape)
        self.feature_norm = norm(feature_width) if feature_width else nn.Identity()
        self.dropout = nn.Dropout(config.feature_dropout)
        self.proprio = None
        if config.proprio_width:
            self.proprio = nn.Sequential(nn.Linear(proprio_dim, config.proprio_width), norm(config.proprio_width))
        width = self.joined_width = feature_width + config.proprio_width
        if not width:
            raise UserError(
                "policy.proprio_width=0 with an encoder without features leaves the policy no input. Give one of both."
            )
        layers: list[nn.Module] = []
        for hidden in config.hidden:
            layers += [nn.Linear(width, hidden), norm(hidden), activation()]
            width = hidden
        self.mlp = nn.Sequential(*layers)
        self.action = nn.Linear(width, action_dim)
        nn.init.orthogonal_(self.action.weight, 0.01)  # MVP: the first actions are near the mean action
        nn.init.zeros_(self.action.bias)

    def forward(self, features: Tensor, proprio: Tensor) -> Tensor:
        x = [self.dropout(self.feature_norm(self.pool(features)))] if self.pool is not None else []
        x += [self.proprio(proprio)] if self.proprio is not None else []
        return self.action(self.mlp(torch.cat(x, dim=1)))


def make_head(
    config: HeadConfig,
    feature_shape: tuple[int, ...],
    proprio_dim: int,
    action_dim: int,
    pooling: str,
    binary: tuple[int, ...] = (),
) -> Head | TransformerHead:
    """The head that `config` describes: the MLP, or the transformer if `config.transformer` is given."""
    if config.transformer is None:
        return Head(config, feature_shape, proprio_dim, action_dim, pooling, binary)
    pool = make_pool(
        feature_shape, pooling, config.transformer.width, config.attention_heads, config.position_embedding
    )
    return TransformerHead(config.transformer, pool, proprio_dim, action_dim, config.loss, binary)

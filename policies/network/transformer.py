"""RPT's controller (Radosavovic et al. 2023, arXiv 2306.10007): a transformer over the last 16 steps.

Each step has one token for the frame's feature, one for proprioception and one for the action that was taken. The
present action is unknown: a learned token stands in its place, and the last block's output there becomes the next 16
actions. Published: width 192, 4 blocks, 4 heads, MLP ratio 2, 16 steps in, 16 actions out (about a million parameters).
Ours: the read-out at the present action's place, learned positions, and a mask over steps before the episode's start.

Shapes: B batch, T context, S tokens, D width, A action, K chunk.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policies.network.action_head import ActionHead
from toto_robot.ground.errors import UserError, unknown

EXECUTIONS = ("ensemble", "open_loop", "newest")


@dataclass
class TransformerConfig:
    """RPT's multi-step policy, and how its predictions are executed."""

    width: int = 192
    """Width of the tokens."""
    blocks: int = 4
    """Transformer blocks."""
    heads: int = 4
    """Attention heads."""
    mlp_ratio: float = 2.0
    """Width of a block's MLP, divided by the tokens' width."""
    context: int = 16
    """Steps that the policy sees, the present one included."""
    chunk: int = 16
    """Actions that the policy predicts: the present step's and those after it."""
    past_actions: bool = True
    """Whether each past step has a token for the action that was taken."""
    dropout: float = 0.0
    """Share of the tokens' channels that are dropped after attention and MLP in training."""
    execute: str = "ensemble"
    """ensemble: each action is an average over all chunks that contain its step (ACT, arXiv 2304.13705). open_loop: a
    chunk is executed to its end before the next prediction (RPT). newest: the first action of each step's chunk."""
    ensemble_m: float = 0.01
    """ensemble: the i-th prediction has the weight exp(-m·i); the oldest is 0 (ACT, Algorithm 2)."""

    def __post_init__(self) -> None:
        if self.execute not in EXECUTIONS:
            raise unknown("policy.transformer.execute", self.execute, EXECUTIONS)
        for name in ("width", "blocks", "heads", "context", "chunk"):
            if getattr(self, name) < 1:
                raise UserError(f"policy.transformer.{name}={getattr(self, name)}: expected at least 1.")
        if self.width % self.heads:
            raise UserError(f"policy.transformer.heads={self.heads} must divide policy.transformer.width={self.width}.")
        if self.ensemble_m < 0 or not 0 <= self.dropout < 1 or self.mlp_ratio <= 0:
            raise UserError("policy.transformer: expected ensemble_m >= 0, dropout in [0, 1) and mlp_ratio > 0.")


class Block(nn.Module):
    """Pre-norm attention over all valid tokens, then an MLP."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        width, inner = config.width, round(config.width * config.mlp_ratio)
        self.heads = config.heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BSD: Tensor, there_BS: Tensor) -> Tensor:
        B, S, D = x_BSD.shape
        q, k, v = self.qkv(self.norm1(x_BSD)).view(B, S, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=there_BS[:, None, None])
        x_BSD = x_BSD + self.dropout(self.proj(y.transpose(1, 2).reshape(B, S, D)))
        return x_BSD + self.dropout(self.mlp(self.norm2(x_BSD)))


class TransformerHead(ActionHead):
    """The last T steps → (B, K, A), the present step's action first. The outputs mean the same as those of `Head`."""

    def __init__(
        self,
        config: TransformerConfig,
        pool: nn.Module | None,
        proprio_dim: int,
        action_dim: int,
        loss: str,
        binary: tuple[int, ...] = (),
    ):
        """`pool` turns a frame's normalised feature into one token, (N, *feature_shape) → (N, D). None for no
        frames."""
        super().__init__(loss, action_dim, binary)
        self.config, width = config, config.width
        self.pool = pool
        self.proprio, self.action = nn.Linear(proprio_dim, width), nn.Linear(action_dim, width)
        self.action_token = nn.Parameter(torch.randn(width) * 0.02)
        self.position = nn.Parameter(torch.randn(config.context, 1, width) * 0.02)
        self.mode = nn.Parameter(torch.randn(3, width) * 0.02)
        """Marks a token as frame, proprioception or action."""
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.chunk * action_dim)
        nn.init.orthogonal_(self.out.weight, 0.01)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, proprio: Tensor, past: Tensor, valid: Tensor) -> Tensor:
        """(B, K, A) from normalised features (B, T, *shape), proprioception (B, T, P) and taken actions (B, T, A),
        oldest first. `valid` (B, T) is False for steps before the episode's start. The present step's action is not
        read."""
        # 1. Two or three tokens a step; the learned token replaces the present action.
        B, T = valid.shape
        tokens = [self.proprio(proprio), self.action(past)]
        tokens[1] = torch.cat([tokens[1][:, :-1], self.action_token.expand(B, 1, -1)], dim=1)
        if self.pool is not None:
            tokens.insert(0, self.pool(features.flatten(0, 1)).view(B, T, -1))
        # 2. Each token is told its kind and its step.
        modes = self.mode[-len(tokens) :]
        x_BTMD = torch.stack(tokens, dim=2) + modes + self.position[-T:]
        # 3. Tokens before the episode's start are masked, and past actions on request.
        there = valid[..., None].repeat(1, 1, len(tokens))
        if not self.config.past_actions:
            there[:, :-1, -1] = False
        x_BSD, there_BS = x_BTMD.flatten(1, 2), there.flatten(1)
        for block in self.blocks:
            x_BSD = block(x_BSD, there_BS)
        return self.out(self.norm(x_BSD[:, -1])).view(B, self.config.chunk, -1)

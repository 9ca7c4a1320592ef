"""From a frozen feature, or a frame, to the one vector that a head reads."""

import math

import torch
from torch import Tensor, nn

from policies.network.resnet import ResNet
from toto_robot.ground.errors import UserError


class AttentionPool(nn.Module):
    """Softmax attention of learned queries over C cells (Sec. 3.5): (B, C, D) → (B, width).

    Head h has its query q_h and its slice of W_k and W_v: softmax(q_h·(W_k x)_h / √K) (W_v x)_h. The heads are joined.
    A query does not depend on x. Therefore q_h·(W_k x)_h is computed as (W_k,hᵀ q_h)·x, and W_v is applied after the
    average: the same function with C times fewer multiplications.
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
        """The attention weights (B, C, H) of x (B, C, D). They sum to 1 over the cells."""
        scores = x @ torch.einsum("hk,hkd->dh", self.query, self.w_k)
        if self.position_k is not None:
            scores = scores + torch.einsum("hk,chk->ch", self.query, self.position_k)
        return (scores * self.key_width**-0.5).softmax(dim=1)


def make_pool(
    shape: tuple[int, ...], pooling: str, width: int, heads: int, position_embedding: bool
) -> nn.Module | None:
    """The module (B, *shape) → (B, width). None if there is no feature.

    A frame (3, H, W) gets its own network. Cells (C, D) get attention, or one linear layer with `grid`. A vector (D,)
    gets one linear layer. With `width` 0, a vector or a grid stays unchanged.
    """
    if 0 in shape:
        return None
    if width == 0:
        if len(shape) == 3 or (len(shape) == 2 and pooling != "grid"):
            raise UserError(
                f"policy.feature_width=0 leaves a feature unchanged, but one of shape {shape} with "
                f"encoder.pooling={pooling} must be pooled: give a width."
            )
        return nn.Flatten(1)
    if len(shape) == 3:
        return ResNet(width)
    if len(shape) == 2 and pooling != "grid":
        return AttentionPool(*shape, width, heads, position_embedding)
    return nn.Sequential(nn.Flatten(1), nn.Linear(math.prod(shape), width))

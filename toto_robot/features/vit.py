"""The vision transformer of MAE and MVP (timm's layout and names), read from their checkpoints without timm.

MVP (Radosavovic et al. 2022, ir413/mvp mvp/backbones/vit.py) has S 384×12, B 768×12, L 1024×24, patch 16, LayerNorm ε
1e-6, and qkv with bias. Its files are {"model": state_dict}, like MAE's, whose decoder is left out.

Shapes: B batch, S patches (raster order), D width, H heads.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_robot.ground.errors import UserError
from toto_robot.tokens.foreign.weights import read_weights, reason

PARTS = ("cls_token", "pos_embed", "patch_embed.", "blocks.", "norm.")
"""Weights that a checkpoint must hold. mask_token, decoder_*, head and the others stay in the file."""
HEADS = {384: 12, 768: 12, 1024: 16, 1280: 16}
"""Attention heads by width, because the weights don't show them (MVP's S has 12, timm's has 6). For other widths there
is one for 64 channels."""


@dataclass(frozen=True)
class ViTConfig:
    """Sizes of a vision transformer."""

    width: int
    depth: int
    heads: int
    patch: int = 16
    image_size: int = 224
    mlp_width: int = 0
    """0: four times the width."""

    def to_dict(self) -> dict:
        return asdict(self)


SIZES = {
    "small": ViTConfig(384, 12, 12),
    "base": ViTConfig(768, 12, 12),
    "large": ViTConfig(1024, 24, 16),
}
"""The sizes of MVP."""


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, S, D = x.shape
        q, k, v = self.qkv(x).view(B, S, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, S, D))


class MLP(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, config: ViTConfig):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(config.width, eps=1e-6) for _ in range(2))
        self.attn = Attention(config.width, config.heads)
        self.mlp = MLP(config.width, config.mlp_width or 4 * config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Normalised frames (B, 3, H, W) → the tokens (B, 1 + S, D) after a block: class token, then patches."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config, side = config, config.image_size // config.patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side * side, config.width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, config.width, config.patch, config.patch)})
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    def forward(self, x: Tensor, layer: int) -> Tensor:
        """The tokens after block `layer`, counted from 1. The last block is followed by the final norm."""
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks[:layer]:
            x = block(x)
        return self.norm(x) if layer == len(self.blocks) else x

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """MAE's initialisation: Xavier-uniform matrices, zero biases, sine-cosine positions."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.xavier_uniform_(module.weight.flatten(1), generator=generator)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.cls_token, std=0.02, generator=generator)
        self.pos_embed[0, 1:] = sine_cosine(self.config.width, self.config.image_size // self.config.patch)


def sine_cosine(width: int, side: int) -> Tensor:
    """MAE's fixed positions (side², width): a quarter of the channels for each of sin and cos of column and row."""
    quarter = width // 4
    rates = 1 / 10000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    parts = [f(at.flatten()[:, None] * rates) for at in (column, row) for f in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=1).float()


def read_vit(path: str | Path) -> ViT:
    """The encoder in a checkpoint with the layout of MVP or MAE. Raises UserError, which says what else the file is."""
    state = read_weights(Path(path), wanted=lambda name: name.startswith(PARTS))
    try:
        config = config_of_weights(state)
        with torch.device("meta"):
            model = ViT(config)
        if "norm.weight" not in state:  # fine-tuned with global pooling, so the last layer has no norm
            model.norm = nn.Identity()
        model.load_state_dict(state, assign=True)
        return model
    except (KeyError, IndexError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise UserError(
            f"{path} is not a vision transformer in MAE's layout ({reason(error)}). Expected cls_token, pos_embed, "
            "patch_embed.proj and blocks.N. For DINO, DINOv2 or CLIP write timm:MODEL:FILE."
        ) from error


def config_of_weights(state: dict[str, Tensor]) -> ViTConfig:
    """The sizes, read from names and shapes. Raises KeyError if something is missing."""
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    patches = state["pos_embed"].shape[1] - 1
    side = round(patches**0.5)
    if side * side != patches:
        raise ValueError(f"{patches} positions do not form a square")
    depth = next(i for i in range(len(state) + 1) if f"blocks.{i}.norm1.weight" not in state)
    heads = HEADS.get(width) or max(1, width // 64)
    return ViTConfig(width, depth, heads, patch, side * patch, len(state["blocks.0.mlp.fc1.bias"]))

"""GPT-2 over visual tokens, the older transformer of the architecture comparison (Table 6).

It has LayerNorm, absolute positions, a GELU MLP of four widths, and biases everywhere. The positions are learned, as in
GPT-2, or the fixed sines and cosines of "Attention is all you need", which the paper compared with (Sec. 4.1).

Shapes: B batch, T sequence, D width, H heads, K head width, V vocabulary.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_robot.ground.errors import UserError, expected
from toto_robot.models.attention import KVCache, attend
from toto_robot.models.causal import CausalModel, check_fields, check_heads
from toto_robot.models.mup import attention_scale

POSITIONS = ("learned", "sincos")


@dataclass(frozen=True)
class GPT2Config:
    """The shape of a GPT-2 model. The named sizes are in `presets.py`."""

    vocab_size: int
    """V: the codes of the tokenizer plus the special tokens."""
    width: int = 192
    """D: the width of the residual stream."""
    layers: int = 6
    """Number of blocks."""
    heads: int = 3
    """H: attention heads; the width must divide into heads of even width."""
    intermediate: int = 768
    """Inner width of the MLP. In GPT-2 it is four times the width."""
    positions: str = "learned"
    """learned; or sincos: fixed, without parameters, for sequences of any length."""
    context: int = 4098
    """Number of learned positions, and so the longest sequence: 16 frames of 256 tokens and 2 special tokens."""
    norm_eps: float = 1e-5
    """Added to the variance in LayerNorm."""
    tied: bool = False
    """Whether the output head is the embedding matrix."""
    init_std: float = 0.02
    """Standard deviation of the initial weights. For weights that write to the residual stream it is divided by
    sqrt(2·layers)."""
    mup_base_width: int | None = None
    """Width at which learning rate, decay and initial weights were chosen; muP scales them to this width (`mup.py`).
    None: no scaling."""

    def __post_init__(self):
        whole: tuple[str, ...] = ("vocab_size", "width", "layers", "heads", "intermediate", "context")
        whole += ("mup_base_width",) if self.mup_base_width is not None else ()
        check_fields("GPT-2", self, whole, ("norm_eps", "init_std"))
        check_heads("GPT-2", self)
        if self.positions not in POSITIONS:
            raise expected("GPT-2's positions", " or ".join(POSITIONS), repr(self.positions))

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def to_dict(self) -> dict:
        """Plain values for YAML; `presets.read_config` reads them back."""
        return {"architecture": "gpt2", **asdict(self)}


def sincos_table(start: int, length: int, width: int, device=None) -> Tensor:
    """Fixed vectors (length, D) of the positions from `start` on: sines of geometric frequencies, then their
    cosines."""
    pairs = torch.arange(0, width, 2, dtype=torch.float32, device=device)
    positions = torch.arange(start, start + length, dtype=torch.float32, device=device)
    angle = torch.outer(positions, 10_000.0 ** (-pairs / width))
    return torch.cat((angle.sin(), angle.cos()), dim=1)


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: GPT2Config, layer: int):
        super().__init__()
        self.heads, self.head_width, self.layer = config.heads, config.head_width, layer
        self.scale = attention_scale(config)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x_BTD: Tensor, cache: KVCache | None = None) -> Tensor:
        B, T, D = x_BTD.shape
        qkv = self.qkv(x_BTD).view(B, T, 3 * self.heads, self.head_width)
        q, k, v = qkv.transpose(1, 2).chunk(3, dim=1)  # (B, H, T, K) each
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        y_BHTK = attend(q, k, v, self.scale)
        return self.out(y_BHTK.transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    """down(gelu(up(x))), with GPT-2's tanh approximation of GELU."""

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.up = nn.Linear(config.width, config.intermediate)
        self.down = nn.Linear(config.intermediate, config.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x_BTD), approximate="tanh"))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: GPT2Config, layer: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, config.norm_eps)
        self.attention = Attention(config, layer)
        self.mlp_norm = nn.LayerNorm(config.width, config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, cache: KVCache | None = None) -> Tensor:
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), cache)
        return x_BTD + self.mlp(self.mlp_norm(x_BTD))


class GPT2(CausalModel):
    """The model: from ids to logits, or to the hidden state of any layer."""

    residual_writes = ("attention.out.weight", "mlp.down.weight")

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.context, config.width) if config.positions == "learned" else None
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.layers))
        self.norm = nn.LayerNorm(config.width, config.norm_eps)
        self.head = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)
        self.init_weights()

    def begin(self, ids_BT: Tensor, position: int) -> tuple[Tensor, tuple]:
        x_BTD, end = self.embed(ids_BT), position + ids_BT.shape[1]
        if self.positions is None:
            where_TD = sincos_table(position, ids_BT.shape[1], self.config.width, x_BTD.device)
            return x_BTD + where_TD.to(x_BTD.dtype), ()
        if end > self.config.context:
            raise UserError(f"This GPT-2 has {self.config.context} learned positions, but the sequence has {end}.")
        return x_BTD + self.positions.weight[position:end], ()

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for `capacity` positions."""
        return KVCache(self.config, batch, capacity, self.embed.weight)

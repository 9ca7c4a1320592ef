"""Toto: a causal LLaMA-style transformer over the visual tokens of video (Sec. 3.2 of the paper).

It has pre-norm RMSNorm, rotary positions, SwiGLU, and no biases. Query, key and value share one matrix, and so do gate
and up, because on a CPU two large products are faster than five small ones.

Shapes: B batch, T sequence, D width, H heads, K head width, V vocabulary.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from toto_robot.ground.errors import UserError
from toto_robot.models.attention import KVCache, attend
from toto_robot.models.causal import CausalModel, RMSNorm, check_fields, check_heads
from toto_robot.models.gradients import rotate, swiglu
from toto_robot.models.mup import attention_scale


@dataclass(frozen=True)
class TotoConfig:
    """The shape of a Toto model. The named sizes are in `presets.py`."""

    vocab_size: int
    """V: the codes of the tokenizer plus the special tokens; with `patches`, the values of a patch (16·16·3 = 768)."""
    width: int = 192
    """D: the width of the residual stream."""
    layers: int = 6
    """Number of blocks."""
    heads: int = 3
    """H: attention heads. The head width K = width / heads must be even, for the rotary pairs."""
    intermediate: int = 512
    """Inner width of the SwiGLU MLP. The paper doesn't give it (see `presets.py`)."""
    rope_theta: float = 10_000.0
    """Base of the rotary frequencies. The paper raises it to 50,000 for finer token grids (Sec. 4.1)."""
    norm_eps: float = 1e-6
    """Added to the mean square in RMSNorm."""
    tied: bool = False
    """Whether the output head is the embedding matrix."""
    init_std: float = 0.02
    """Standard deviation of the initial weights. For weights that write to the residual stream it is divided by
    sqrt(2·layers)."""
    mup_base_width: int | None = None
    """Width at which learning rate, decay and initial weights were chosen; muP scales them to this width (`mup.py`).
    None: no scaling."""
    patches: bool = False
    """Whether it reads and predicts patches, which are vectors of `vocab_size` values, instead of ids (Table 3)."""

    def __post_init__(self):
        whole: tuple[str, ...] = ("vocab_size", "width", "layers", "heads", "intermediate")
        whole += ("mup_base_width",) if self.mup_base_width is not None else ()
        check_fields("Toto", self, whole, ("rope_theta", "norm_eps", "init_std"))
        check_heads("Toto", self)
        if self.patches and self.tied:
            raise UserError("Toto's head can't be its embedding matrix if it reads patches. Set tied to false.")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def to_dict(self) -> dict:
        """Plain values for YAML; `presets.read_config` reads them back.

        Fields of later versions are left out if they are off, so that the fingerprints of the first models stay.
        """
        later = ("mup_base_width", "patches")
        return {name: value for name, value in asdict(self).items() if value or name not in later}


def rope_table(start: int, length: int, head_width: int, theta: float, device=None) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, 1, K/2) of the rotary angles at the positions start … start + length - 1.

    They are float32 for every dtype of the model, because bfloat16 can't tell position 4,000 from 4,001.
    """
    pairs = torch.arange(0, head_width, 2, dtype=torch.float32, device=device)
    positions = torch.arange(start, start + length, dtype=torch.float32, device=device)
    angle = torch.outer(positions, theta ** (-pairs / head_width))[:, None, :]
    return angle.cos(), angle.sin()


class Attention(nn.Module):
    """Causal multi-head self-attention with rotary positions."""

    def __init__(self, config: TotoConfig, layer: int):
        super().__init__()
        self.heads, self.head_width, self.layer = config.heads, config.head_width, layer
        self.scale = attention_scale(config)
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x_BTD: Tensor, rope: tuple[Tensor, Tensor], cache: KVCache | None = None) -> Tensor:
        B, T, D = x_BTD.shape
        qkv = self.qkv(x_BTD).view(B, T, 3 * self.heads, self.head_width)
        qk, v = qkv.split((2 * self.heads, self.heads), dim=2)
        q, k = rotate(qk, *rope).transpose(1, 2).chunk(2, dim=1)  # (B, H, T, K) each
        v = v.transpose(1, 2)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        y_BHTK = attend(q, k, v, self.scale)
        return self.out(y_BHTK.transpose(1, 2).reshape(B, T, D))


class SwiGLU(nn.Module):
    """down(silu(gate(x)) · up(x))."""

    def __init__(self, config: TotoConfig):
        super().__init__()
        self.gate_up = nn.Linear(config.width, 2 * config.intermediate, bias=False)
        self.down = nn.Linear(config.intermediate, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(swiglu(self.gate_up(x_BTD)))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: TotoConfig, layer: int):
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = Attention(config, layer)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = SwiGLU(config)

    def forward(self, x_BTD: Tensor, rope: tuple[Tensor, Tensor], cache: KVCache | None = None) -> Tensor:
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), rope, cache)
        return x_BTD + self.mlp(self.mlp_norm(x_BTD))


class Toto(CausalModel):
    """The model: from ids to logits, from patches to the next patch, or to the hidden state of any layer."""

    residual_writes = ("attention.out.weight", "mlp.down.weight")

    def __init__(self, config: TotoConfig):
        super().__init__()
        self.config = config
        if config.patches:
            self.embed = nn.Linear(config.vocab_size, config.width, bias=False)
        else:
            self.embed = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)
        self.init_weights()

    def begin(self, ids_BT: Tensor, position: int) -> tuple[Tensor, tuple]:
        x_BTD = self.embed(ids_BT.to(self.embed.weight.dtype) if self.config.patches else ids_BT)
        rope = rope_table(position, x_BTD.shape[1], self.config.head_width, self.config.rope_theta, x_BTD.device)
        return x_BTD, (rope,)

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for `capacity` positions."""
        if self.config.patches:
            raise UserError("Toto can't generate patches: it predicts them without their mean and contrast. Use ids.")
        return KVCache(self.config, batch, capacity, self.embed.weight)

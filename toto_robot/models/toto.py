"""Toto: a causal LLaMA-style transformer over the visual tokens of video (Sec. 3.2 of the paper).

Pre-norm RMSNorm, rotary positions, SwiGLU, no biases. Query, key and value share one matrix, and so do gate and
up: on a CPU two large products are faster than five small ones.

Shapes: B batch, T sequence, D width, H heads, K head width, V vocabulary.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_robot.errors import UserError


@dataclass(frozen=True)
class TotoConfig:
    """The shape of a Toto model. The named sizes are in `presets.py`."""

    vocab_size: int
    """V: the codes of the tokenizer plus the special tokens."""
    width: int = 192
    """D: the width of the residual stream."""
    layers: int = 6
    """Number of blocks."""
    heads: int = 3
    """H: attention heads; the head width K = width / heads must be even, for the rotary pairs."""
    intermediate: int = 512
    """Inner width of the SwiGLU MLP; the paper doesn't state it, so it is a field (see `presets.py`)."""
    rope_theta: float = 10_000.0
    """Base of the rotary frequencies; the paper raises it to 50,000 for finer token grids (Sec. 4.1)."""
    norm_eps: float = 1e-6
    """Added to the mean square in RMSNorm."""
    tied: bool = False
    """Whether the output head is the embedding matrix."""
    init_std: float = 0.02
    """Standard deviation of the initial weights; what writes to the residual stream gets it / sqrt(2·layers)."""

    def __post_init__(self):
        for name in ("vocab_size", "width", "layers", "heads", "intermediate"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"Toto's {name} must be a whole number ≥ 1, but it is {value!r}")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise UserError(
                f"Toto's width must divide into heads of even width, but it is {self.width} over {self.heads} heads"
            )
        for name in ("rope_theta", "norm_eps", "init_std"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise UserError(f"Toto's {name} must be a number above 0, but it is {value!r}")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def to_dict(self) -> dict:
        """Plain values for YAML; `TotoConfig(**fields)` reads them back."""
        return asdict(self)


SHORT = 512
"""Longest sequence for `attend_in_halves`."""


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · weight, with the mean taken in float32."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def rope_table(start: int, length: int, head_width: int, theta: float, device=None) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, 1, K/2) of the rotary angles at positions start … start + length - 1.

    In float32 whatever the model's dtype: bfloat16 can't tell position 4,000 from 4,001.
    """
    pairs = torch.arange(0, head_width, 2, dtype=torch.float32, device=device)
    positions = torch.arange(start, start + length, dtype=torch.float32, device=device)
    angle = torch.outer(positions, theta ** (-pairs / head_width))[:, None, :]
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + K/2) of x (B, T, H, K) by its position's angle: the rotate-half convention."""
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class KVCache:
    """Keys and values (layers, B, H, capacity, K) of what a model has read so far, for generation."""

    def __init__(self, config: TotoConfig, batch: int, capacity: int, like: Tensor):
        shape = (config.layers, batch, config.heads, capacity, config.head_width)
        self.keys = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    def append(self, layer: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values of one layer; returns all of them so far. `length` moves after the last layer."""
        end = self.length + k_BHTK.shape[2]
        if end > self.keys.shape[3]:
            raise ValueError(f"the cache holds {self.keys.shape[3]} positions, but {end} are needed")
        self.keys[layer][:, :, self.length : end] = k_BHTK
        self.values[layer][:, :, self.length : end] = v_BHTK
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class Attention(nn.Module):
    """Causal multi-head self-attention with rotary positions."""

    def __init__(self, config: TotoConfig, layer: int):
        super().__init__()
        self.heads, self.head_width, self.layer = config.heads, config.head_width, layer
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x_BTD: Tensor, rope: tuple[Tensor, Tensor], cache: KVCache | None = None) -> Tensor:
        B, T, D = x_BTD.shape
        qkv = self.qkv(x_BTD).view(B, T, 3 * self.heads, self.head_width)
        qk = rotate(qkv[:, :, : 2 * self.heads], *rope)
        q, k = qk.transpose(1, 2).chunk(2, dim=1)  # (B, H, T, K) each
        v = qkv[:, :, 2 * self.heads :].transpose(1, 2)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        y_BHTK = attend(q, k, v)
        return self.out(y_BHTK.transpose(1, 2).reshape(B, T, D))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of q (B, H, T, K) over k, v (B, H, T_all, K); q holds the last T of T_all positions."""
    T, T_all = q.shape[2], k.shape[2]
    if T == T_all:
        if T <= SHORT and q.dtype == torch.bfloat16 and q.device.type == "cpu":
            return attend_in_halves(q, k, v)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    if T == 1:
        return F.scaled_dot_product_attention(q, k, v)
    mask = torch.ones(T, T_all, dtype=torch.bool, device=q.device).tril(diagonal=T_all - T)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def attend_in_halves(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention from plain products, the early half of the queries on the early half of the keys only.

    For a frame (257 tokens) in bfloat16 on a CPU this takes about half the time of PyTorch's fused attention, and a
    third with gradients (8 frames, 3 heads of 64: 4.0 against 7.4 ms of one core, and with the backward pass 10.8
    against 30.8 ms; at 4,098 tokens there is no gain). The scores are rounded to bfloat16.
    """
    B, H, T, K = q.shape
    q, k, v = (x.reshape(B * H, T, K) for x in (q, k, v))
    halves, middle = [], (T + 1) // 2
    for low, high in ((0, middle), (middle, T)):
        later = torch.full((high - low, high), -torch.inf, dtype=q.dtype).triu_(low + 1)
        scores = torch.baddbmm(later, q[:, low:high], k[:, :high].transpose(1, 2), alpha=K**-0.5)
        halves.append(torch.bmm(scores.softmax(dim=-1), v[:, :high]))
    return torch.cat(halves, dim=1).view(B, H, T, K)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) · up(x))."""

    def __init__(self, config: TotoConfig):
        super().__init__()
        self.gate_up = nn.Linear(config.width, 2 * config.intermediate, bias=False)
        self.down = nn.Linear(config.intermediate, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        gate, up = self.gate_up(x_BTD).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


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


class Toto(nn.Module):
    """The model: ids in, logits or the hidden state of any layer out."""

    def __init__(self, config: TotoConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)
        self.init_weights()

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw fresh weights; the same generator state gives the same weights."""
        std, residual_std = self.config.init_std, self.config.init_std / math.sqrt(2 * self.config.layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                nn.init.ones_(parameter)
            else:
                writes_to_residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
                nn.init.normal_(parameter, std=residual_std if writes_to_residual else std, generator=generator)

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def forward(self, ids_BT: Tensor, cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, V) for the token after each position; a cache is read and extended."""
        return self.logits(self._run(ids_BT, self.config.layers, cache))

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Final norm and output head on the last block's output."""
        return F.linear(self.norm(x_BTD), self.embed.weight if self.head is None else self.head.weight)

    def hidden_states(self, ids_BT: Tensor, layer: int) -> Tensor:
        """The residual stream (B, T, D) after block `layer` (1 … layers); the blocks above are not run.

        As in Hugging Face's `LlamaModel(output_hidden_states=True).hidden_states[layer]`, a middle layer is not
        normalised, and the last one has passed the final norm.
        """
        if not 1 <= layer <= self.config.layers:
            raise UserError(f"layer must be from 1 to {self.config.layers} for this model, but it is {layer}")
        x_BTD = self._run(ids_BT, layer)
        return self.norm(x_BTD) if layer == self.config.layers else x_BTD

    def every_hidden_state(self, ids_BT: Tensor) -> Iterator[Tensor]:
        """`hidden_states` of layer 1, 2, … in turn, from a single pass."""
        x_BTD = self.embed(ids_BT)
        rope = rope_table(0, ids_BT.shape[1], self.config.head_width, self.config.rope_theta, x_BTD.device)
        for i, block in enumerate(self.blocks, start=1):
            x_BTD = block(x_BTD, rope)
            yield self.norm(x_BTD) if i == self.config.layers else x_BTD

    def loss(self, ids_BT: Tensor, ignore: int = 0, reduction: str = "mean") -> Tensor:
        """Cross-entropy (nats a token) of each next token; targets equal to `ignore` (the pad id) don't count."""
        logits = self(ids_BT[:, :-1])
        return F.cross_entropy(
            logits.flatten(0, 1).float(), ids_BT[:, 1:].flatten(), ignore_index=ignore, reduction=reduction
        )

    def _run(self, ids_BT: Tensor, layers: int, cache: KVCache | None = None) -> Tensor:
        """The first `layers` blocks on the embedded ids."""
        x_BTD = self.embed(ids_BT)
        start = cache.length if cache is not None else 0
        rope = rope_table(start, ids_BT.shape[1], self.config.head_width, self.config.rope_theta, x_BTD.device)
        for block in self.blocks[:layers]:
            x_BTD = block(x_BTD, rope, cache)
        if cache is not None:
            cache.length += ids_BT.shape[1]
        return x_BTD

    @torch.inference_mode()
    def generate(
        self,
        ids_BT: Tensor,
        steps: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Append `steps` tokens to ids (B, T) → (B, T + steps); temperature 0 takes the likeliest token each time."""
        B, T = ids_BT.shape
        cache = KVCache(self.config, B, T + steps, self.embed.weight)
        out, new = [ids_BT], ids_BT
        for _ in range(steps):
            x_BTD = self._run(new, self.config.layers, cache)
            new = sample(self.logits(x_BTD[:, -1]), temperature, top_k, top_p, generator)[:, None]
            out.append(new)
        return torch.cat(out, dim=1)


def sample(
    logits_BV: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw ids (B,) from logits (B, V).

    `top_k` keeps the k likeliest tokens; `top_p` the fewest likeliest ones whose probabilities reach p.
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise UserError(
            "sampling needs temperature ≥ 0, top_k ≥ 1 and 0 < top_p ≤ 1, but got "
            f"temperature={temperature}, top_k={top_k}, top_p={top_p}"
        )
    if temperature == 0:
        return logits_BV.argmax(dim=-1)
    ordered, order = (logits_BV.float() / temperature).sort(dim=-1, descending=True)
    probability = ordered.softmax(dim=-1)
    if top_k is not None:
        probability[:, top_k:] = 0
    if top_p is not None:
        reached_before = probability.cumsum(dim=-1) - probability
        probability[reached_before >= top_p * probability.sum(dim=-1, keepdim=True)] = 0
    return order.gather(1, torch.multinomial(probability, 1, generator=generator)).squeeze(1)

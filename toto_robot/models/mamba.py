"""Mamba-1 over visual tokens, the state-space model of the architecture comparison (Table 6).

Each block is a gated causal convolution and a selective state-space recurrence (Gu & Dao 2023). There is no attention,
so time is linear in the length of the sequence, and generation keeps a state of constant size. The names of the modules
are the original ones.

Shapes: B batch, T sequence, D width, E = expand·D inner width, N state, R rank of the step sizes, V vocabulary.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_robot.ground.errors import expected
from toto_robot.models.causal import CausalModel, RMSNorm, check_fields
from toto_robot.models.selective_scan import selective_scan

STEPS = (1e-3, 1e-1)
"""Range of the initial step sizes Δ. They are log-uniform over the channels."""


@dataclass(frozen=True)
class MambaConfig:
    """The shape of a Mamba model. The named sizes are in `presets.py`."""

    vocab_size: int
    """V: the codes of the tokenizer plus the special tokens."""
    width: int = 192
    """D: the width of the residual stream."""
    layers: int = 11
    """Number of blocks. Two blocks of Mamba have about as many parameters as one block of a transformer."""
    expand: int = 2
    """E / D: inner channels for each channel of the stream."""
    state: int = 16
    """N: numbers that each inner channel remembers."""
    conv: int = 4
    """Positions that the causal convolution sees."""
    norm_eps: float = 1e-5
    """Added to the mean square in RMSNorm."""
    tied: bool = False
    """Whether the output head is the embedding matrix."""
    init_std: float = 0.02
    """Standard deviation of the initial matrices. For matrices that write to the residual stream it is divided by
    sqrt(2·layers)."""

    def __post_init__(self):
        whole = ("vocab_size", "width", "layers", "expand", "state", "conv")
        check_fields("Mamba", self, whole, ("norm_eps", "init_std"))
        if self.conv < 2:
            raise expected("Mamba's conv", "at least 2 positions", self.conv)

    @property
    def inner(self) -> int:
        return self.expand * self.width

    @property
    def rank(self) -> int:
        """R: 1/16 of the width, as in the original."""
        return math.ceil(self.width / 16)

    def to_dict(self) -> dict:
        """Plain values for YAML; `presets.read_config` reads them back."""
        return {"architecture": "mamba", **asdict(self)}


class MambaCache:
    """The memory of each layer: the last inputs of the convolution (B, conv - 1, E) and the state (B, E, N)."""

    def __init__(self, config: MambaConfig, batch: int, like: Tensor):
        self.conv = like.new_zeros(config.layers, batch, config.conv - 1, config.inner)
        self.state = like.new_zeros(config.layers, batch, config.inner, config.state, dtype=torch.float32)
        self.length = 0


class Mixer(nn.Module):
    """out(silu(z) · ssm(silu(conv(x)))). x and z are two projections of the input."""

    def __init__(self, config: MambaConfig, layer: int):
        super().__init__()
        self.config, self.layer = config, layer
        E, N, R = config.inner, config.state, config.rank
        self.in_proj = nn.Linear(config.width, 2 * E, bias=False)
        self.conv1d = nn.Conv1d(E, E, config.conv, groups=E)
        self.x_proj = nn.Linear(E, R + 2 * N, bias=False)
        self.dt_proj = nn.Linear(R, E)
        self.A_log = nn.Parameter(torch.empty(E, N))
        self.D = nn.Parameter(torch.empty(E))
        self.out_proj = nn.Linear(E, config.width, bias=False)

    def forward(self, x_BTD: Tensor, cache: MambaCache | None = None) -> Tensor:
        N, R, past = self.config.state, self.config.rank, self.config.conv - 1
        x, z = self.in_proj(x_BTD).chunk(2, dim=-1)  # (B, T, E) each
        # The convolution sees the last inputs of the cache, or zeros, before x.
        if cache is None:
            x = F.pad(x, (0, 0, past, 0))
        else:
            x = torch.cat((cache.conv[self.layer].to(x.dtype), x), dim=1)
            cache.conv[self.layer] = x[:, -past:]
        x_BTE = F.silu(self.conv1d(x.transpose(1, 2))).transpose(1, 2)
        # The step sizes Δ, B and C depend on x. The recurrence runs over the positions.
        step, B_BTN, C_BTN = self.x_proj(x_BTE).split((R, N, N), dim=-1)
        step = F.linear(step, self.dt_proj.weight).float()
        step_BTE = F.softplus(step + self.dt_proj.bias.float())  # in float32: Δ depends on the bias exponentially
        start = None if cache is None or cache.length == 0 else cache.state[self.layer]
        y_BTE, end = selective_scan(x_BTE, step_BTE, -self.A_log.float().exp(), B_BTN, C_BTN, start)
        if cache is not None:
            cache.state[self.layer] = end
        y_BTE = y_BTE + self.D * x_BTE
        return self.out_proj((y_BTE * F.silu(z)).to(x_BTD.dtype))


class Block(nn.Module):
    """x + mixer(norm(x))."""

    def __init__(self, config: MambaConfig, layer: int):
        super().__init__()
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.mixer = Mixer(config, layer)

    def forward(self, x_BTD: Tensor, cache: MambaCache | None = None) -> Tensor:
        return x_BTD + self.mixer(self.norm(x_BTD), cache)


class Mamba(CausalModel):
    """The model: from ids to logits, or to the hidden state of any layer."""

    residual_writes = ("mixer.out_proj.weight",)

    def __init__(self, config: MambaConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)
        self.init_weights()

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw weights as in `CausalModel`, then the original initial decays, step sizes and convolutions."""
        super().init_weights(generator)
        for block in self.blocks:
            mixer, N = block.mixer, self.config.state
            mixer.A_log.copy_(torch.arange(1, N + 1, dtype=torch.float32).log().expand_as(mixer.A_log))
            nn.init.ones_(mixer.D)
            low, high = (math.log(step) for step in STEPS)
            step = mixer.dt_proj.bias.uniform_(low, high, generator=generator).exp_()
            mixer.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))  # softplus gives `step` back
            nn.init.uniform_(mixer.dt_proj.weight, -(self.config.rank**-0.5), self.config.rank**-0.5, generator)
            bound = self.config.conv**-0.5
            nn.init.uniform_(mixer.conv1d.weight, -bound, bound, generator)
            nn.init.uniform_(mixer.conv1d.bias, -bound, bound, generator)

    def new_cache(self, batch: int, capacity: int) -> MambaCache:
        """An empty cache. Its size doesn't depend on `capacity`."""
        return MambaCache(self.config, batch, self.embed.weight)

"""The VQGAN of Esser et al. 2021 (arXiv 2012.09841) as a frame tokenizer: 16×16 or 8×8 pixels to a code.

Layout and state-dict names follow github.com/CompVis/taming-transformers and latent-diffusion, without the parts that
only training needs (perceptual loss, discriminator). There are two kinds of codes: the nearest vector of a codebook,
and in the Gumbel models the largest logit. The original adds noise to the logits even after training, so its codes
differ from call to call; ours have no noise.
"""

from collections import OrderedDict
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_robot.ground.errors import expected
from toto_robot.tokens.base import Tokenizer
from toto_robot.tokens.training.kmeans import nearest_centroid

NORM_GROUPS, NORM_EPS = 32, 1e-6
SEARCH_CHUNK = 2048  # tokens whose distances to all codes are held at once: 134 MB for 16,384 codes


@dataclass(frozen=True)
class VQGANConfig:
    vocab_size: int = 1024
    """Number of codes (`n_embed`)."""
    embed_dim: int = 256
    """Dimensions of a code's vector."""
    z_channels: int = 256
    """Channels between encoder and quantizer, and between quantizer and decoder."""
    ch: int = 128
    """Channels at full resolution."""
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    """Channels of each level as multiples of `ch`; each level but the last halves the resolution."""
    num_res_blocks: int = 2
    """Residual blocks of a level (one more in the decoder)."""
    attention: tuple[int, ...] = (4,)
    """Levels whose blocks are followed by attention, counted from 0. The middle always has attention too."""
    gumbel: bool = False
    """Whether a code is the largest logit rather than the nearest vector."""

    def __post_init__(self):
        for name in ("ch_mult", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for field in fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else () if field.name == "gumbel" else (value,):
                least = 0 if field.name == "attention" else 1
                if not isinstance(number, int) or isinstance(number, bool) or number < least:
                    raise expected(f"vqgan.{field.name}", f"whole numbers of at least {least}", repr(value))
        if self.ch % NORM_GROUPS:
            raise expected("vqgan.ch", f"a multiple of {NORM_GROUPS}", self.ch)
        if not self.ch_mult or max(self.attention, default=0) >= len(self.ch_mult):
            raise expected("vqgan.attention", f"levels below {len(self.ch_mult)}", self.attention)
        if self.vocab_size > 65536:
            raise expected("vqgan.vocab_size", "at most 65536, as codes are stored in 16 bits", self.vocab_size)


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(NORM_GROUPS, channels, eps=NORM_EPS)


def conv3(n_in: int, n_out: int, **settings) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, **{"padding": 1, **settings})


class ResBlock(nn.Module):
    """x + two convolutions of it, each after a norm and a swish. If the width changes, x passes a 1×1 convolution."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.norm1, self.conv1 = norm(n_in), conv3(n_in, n_out)
        self.norm2, self.conv2 = norm(n_out), conv3(n_out, n_out)
        self.nin_shortcut = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return self.nin_shortcut(x) + h


class Attention(nn.Module):
    """x + self-attention over all places, with one head as wide as the channels."""

    def __init__(self, n: int):
        super().__init__()
        self.norm = norm(n)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(n, n, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2) for layer in (self.q, self.k, self.v))  # (B, C, places)
        weights = torch.softmax(q.transpose(1, 2) @ k * q.shape[1] ** -0.5, dim=2)  # (B, places, places)
        h = v @ weights.transpose(1, 2)
        return x + self.proj_out(h.view_as(x))


class Downsample(nn.Module):
    """To half the resolution. Padding is below and on the right only."""

    def __init__(self, n: int):
        super().__init__()
        self.conv = conv3(n, n, stride=2, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """To twice the resolution: the nearest pixel, then a convolution."""

    def __init__(self, n: int):
        super().__init__()
        self.conv = conv3(n, n)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Level(nn.Module):
    """Blocks at one resolution, each followed by attention or not, then the change to the next resolution."""

    def __init__(self, n_in: int, n_out: int, blocks: int, attention: bool, change: tuple[str, nn.Module] | None):
        super().__init__()
        self.block = nn.ModuleList(ResBlock(n_in if i == 0 else n_out, n_out) for i in range(blocks))
        self.attn = nn.ModuleList(Attention(n_out) for _ in range(blocks if attention else 0))
        self.change = change[0] if change else None
        if change:
            self.add_module(*change)

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            x = self.attn[i](x) if self.attn else x
        return getattr(self, self.change)(x) if self.change else x


def middle(n: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(block_1=ResBlock(n, n), attn_1=Attention(n), block_2=ResBlock(n, n)))


class Encoder(nn.Module):
    """float [-1, 1] (B, 3, H, W) to z (B, z_channels, H / patch, W / patch)."""

    def __init__(self, config: VQGANConfig):
        super().__init__()
        widths, last = [config.ch * m for m in (1, *config.ch_mult)], len(config.ch_mult) - 1
        self.conv_in = conv3(3, config.ch)
        self.down = nn.ModuleList(
            Level(
                widths[i],
                widths[i + 1],
                config.num_res_blocks,
                i in config.attention,
                ("downsample", Downsample(widths[i + 1])) if i < last else None,
            )
            for i in range(last + 1)
        )
        self.mid = middle(widths[-1])
        self.norm_out, self.conv_out = norm(widths[-1]), conv3(widths[-1], config.z_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """z (B, z_channels, h, w) to float, about [-1, 1], (B, 3, h · patch, w · patch)."""

    def __init__(self, config: VQGANConfig):
        super().__init__()
        widths = [config.ch * m for m in (*config.ch_mult, config.ch_mult[-1])]
        self.conv_in = conv3(config.z_channels, widths[-1])
        self.mid = middle(widths[-1])
        self.up = nn.ModuleList(
            Level(
                widths[i + 1],
                widths[i],
                config.num_res_blocks + 1,
                i in config.attention,
                ("upsample", Upsample(widths[i])) if i > 0 else None,
            )
            for i in range(len(config.ch_mult))
        )
        self.norm_out, self.conv_out = norm(widths[0]), conv3(widths[0], 3)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class NearestCode(nn.Module):
    """The code whose vector is nearest."""

    def __init__(self, config: VQGANConfig):
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.embed_dim)

    def vectors(self) -> Tensor:
        return self.embedding.weight.detach()

    def codes(self, z: Tensor) -> Tensor:
        """z (B, D, h, w) to codes (B, h, w)."""
        flat = z.movedim(1, -1).flatten(0, 2)
        return nearest_centroid(flat, self.embedding.weight, SEARCH_CHUNK)[0].view(len(z), *z.shape[2:])


class GumbelCode(nn.Module):
    """The code with the largest logit."""

    def __init__(self, config: VQGANConfig):
        super().__init__()
        self.proj = nn.Conv2d(config.embed_dim, config.vocab_size, 1)
        self.embed = nn.Embedding(config.vocab_size, config.embed_dim)

    def vectors(self) -> Tensor:
        return self.embed.weight.detach()

    def codes(self, z: Tensor) -> Tensor:
        """z (B, D, h, w) to codes (B, h, w)."""
        return self.proj(z).argmax(1)


class VQGAN(Tokenizer):
    """Frames to codes and back. A token covers 2^(levels - 1) pixels squared: 16×16 for f16, 8×8 for f8."""

    kind, config_type, pixel_range = "vqgan", VQGANConfig, (-1.0, 1.0)
    at_once = (1, 16)  # a frame of 256 px takes 33 MB in each activation at full resolution
    remedy = "Load the authors' .ckpt with `load_tokenizer` and save it there."

    def __init__(self, config: VQGANConfig):
        super().__init__(config)
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantize = GumbelCode(config) if config.gumbel else NearestCode(config)
        self.quant_conv = nn.Conv2d(config.z_channels, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    @staticmethod
    def patch_of(config: VQGANConfig) -> int:
        return 2 ** (len(config.ch_mult) - 1)

    def to_codes(self, x: Tensor) -> Tensor:
        low, high = self.pixel_range
        return self.quantize.codes(self.quant_conv(self.encoder(x * (high - low) + low)))

    def to_pixels(self, codes: Tensor) -> Tensor:
        low, high = self.pixel_range
        x = self.decoder(self.post_quant_conv(F.embedding(codes, self.codebook()).movedim(-1, 1)))
        return ((x - low) / (high - low)).clamp(0, 1)

    def codebook(self) -> Tensor:
        """Vector of each code, float (V, embed_dim)."""
        return self.quantize.vectors()

"""The discrete VAE of DALL·E (Ramesh et al. 2021, App. A) as a frame tokenizer: 8×8 pixels to a code.

Layout, initialisation and state-dict names follow github.com/openai/DALL-E, with `.w`/`.b` called `.weight`/`.bias`.
Codes are the argmax of the encoder's logits, in raster order, without noise.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_robot.ground.errors import UserError, expected, unknown
from toto_robot.tokens.base import Tokenizer
from toto_robot.video.frames import exposure_gains, with_gains

PIXEL_EPS = 0.1  # logit-Laplace: pixels live in [0.1, 0.9]
PATCH = 8  # pixels on the side of a token
GROUPS = 4


@dataclass(frozen=True)
class DVAEConfig:
    vocab_size: int = 8192
    """Number of codes. 8192 in DALL·E and Toto."""
    n_hid: int = 256
    """Encoder channels at full resolution. There are 2, 4 and 8 times as many at 1/2, 1/4 and 1/8."""
    decoder_hid: int = 256
    """Decoder channels at full resolution, widened in the same way. 0: no decoder, for a file with an encoder only."""
    n_init: int = 128
    """Width of a code's embedding: output channels of the decoder's input convolution."""
    n_blk_per_group: int = 2
    """Residual blocks in each of the four groups."""
    canonical_exposure: bool = field(default=False, metadata={"later": True})
    """Whether a frame is brought to one exposure and white balance before it is encoded (`exposure_gains`). This option
    is ours. Codes then stand for pixels at that exposure, and a brighter or a warmer lamp changes few of them."""

    def __post_init__(self):
        if not isinstance(self.canonical_exposure, bool):
            raise expected("dvae.canonical_exposure", "true or false", repr(self.canonical_exposure))
        for name in ("vocab_size", "n_hid", "decoder_hid", "n_init", "n_blk_per_group"):
            value = getattr(self, name)
            least = 0 if name == "decoder_hid" else 1
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise expected(f"dvae.{name}", f"a whole number of at least {least}", repr(value))
        for name in ("n_hid", "decoder_hid"):
            if getattr(self, name) % 4:
                raise expected(f"dvae.{name}", "a multiple of 4", getattr(self, name))
        if self.vocab_size > 65536:
            raise expected("dvae.vocab_size", "at most 65536, as codes are stored in 16 bits", self.vocab_size)


PRESETS = {
    "dalle": DVAEConfig(),
    "tiny": DVAEConfig(vocab_size=1024, n_hid=16, decoder_hid=16, n_init=64, n_blk_per_group=1),
}


def preset(name: str) -> DVAEConfig:
    """The size called `name`. Raises UserError listing what exists."""
    if name not in PRESETS:
        raise unknown("dVAE preset", name, PRESETS)
    return PRESETS[name]


def map_pixels(x: Tensor) -> Tensor:
    """[0, 1] to [0.1, 0.9], where the logit-Laplace density is defined."""
    return (1 - 2 * PIXEL_EPS) * x + PIXEL_EPS


def unmap_pixels(x: Tensor) -> Tensor:
    """The inverse of `map_pixels`, clipped to [0, 1]."""
    return ((x - PIXEL_EPS) / (1 - 2 * PIXEL_EPS)).clamp(0, 1)


def conv(n_in: int, n_out: int, size: int) -> nn.Conv2d:
    """A 'same' convolution with DALL·E's initialisation: std 1/√fan-in, zero bias."""
    layer = nn.Conv2d(n_in, n_out, size, padding=(size - 1) // 2)
    nn.init.normal_(layer.weight, std=(n_in * size * size) ** -0.5)
    nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """id_path(x) + post_gain · res_path(x). Kernel sizes are 3, 3, 3, 1 (encoder) or 1, 3, 3, 3 (decoder)."""

    def __init__(self, n_in: int, n_out: int, n_layers: int, kernels: tuple[int, ...]):
        super().__init__()
        self.post_gain = 1 / n_layers**2
        widths = [n_in] + [n_out // 4] * 3 + [n_out]
        self.id_path = conv(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        layers = OrderedDict()
        for i, size in enumerate(kernels, start=1):
            layers[f"relu_{i}"] = nn.ReLU(inplace=i > 1)  # in place, except on the block's own input
            layers[f"conv_{i}"] = conv(widths[i - 1], widths[i], size)
        self.res_path = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        same, change = self.id_path(x), self.res_path(x)
        if torch.is_grad_enabled():
            return torch.add(same, change, alpha=self.post_gain)
        return torch.add(same, change, alpha=self.post_gain, out=change)  # new memory pages cost more than the sum


def group(
    widths: list[int], n_layers: int, kernels: tuple[int, ...], change: tuple[str, nn.Module] | None
) -> nn.Sequential:
    """Blocks from widths[i] to widths[i+1], then the pooling or upsampling layer, if there is one."""
    layers = OrderedDict(
        (f"block_{i + 1}", Block(widths[i], widths[i + 1], n_layers, kernels)) for i in range(len(widths) - 1)
    )
    if change:
        layers[change[0]] = change[1]
    return nn.Sequential(layers)


def stack(entry: nn.Module, widths: list[int], blocks: int, kernels, change, output: nn.Module) -> nn.Sequential:
    """Entry, four groups (`change` after the first three), output: the structure of encoder and decoder."""
    groups = OrderedDict(input=entry)
    for g in range(1, GROUPS + 1):
        groups[f"group_{g}"] = group(
            [widths[g - 1]] + [widths[g]] * blocks, GROUPS * blocks, kernels, change() if g < GROUPS else None
        )
    groups["output"] = output
    return nn.Sequential(groups)


class Encoder(nn.Module):
    """float [0, 1] (B, 3, H, W) to logits (B, V, H/8, W/8)."""

    def __init__(self, config: DVAEConfig):
        super().__init__()
        n = config.n_hid
        self.blocks = stack(
            conv(3, n, 7),
            [n, n, 2 * n, 4 * n, 8 * n],
            config.n_blk_per_group,
            (3, 3, 3, 1),
            lambda: ("pool", nn.MaxPool2d(2)),
            nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=conv(8 * n, config.vocab_size, 1))),
        )

    def features(self, x: Tensor) -> Tensor:
        """The input of the output convolution: (B, 8·n_hid, H/8, W/8), not negative."""
        h = map_pixels(x)
        for name, block in self.blocks.named_children():
            h = block.relu(h) if name == "output" else block(h)
        return h

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(map_pixels(x))


class Decoder(nn.Module):
    """A distribution over codes (B, V, h, w) to logit-Laplace parameters (B, 6, 8h, 8w): mean, log scale."""

    def __init__(self, config: DVAEConfig):
        super().__init__()
        n = config.decoder_hid
        self.blocks = stack(
            conv(config.vocab_size, config.n_init, 1),
            [config.n_init, 8 * n, 4 * n, 2 * n, n],
            config.n_blk_per_group,
            (1, 3, 3, 3),
            lambda: ("upsample", nn.Upsample(scale_factor=2, mode="nearest")),
            nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=conv(n, 6, 1))),
        )

    def from_embedding(self, e: Tensor) -> Tensor:
        """Everything after the input convolution, from e (B, n_init, h, w)."""
        for name, block in self.blocks.named_children():
            e = e if name == "input" else block(e)
        return e

    def embed(self, codes: Tensor) -> Tensor:
        """codes (B, h, w) to (B, n_init, h, w): the input convolution of a one-hot picture."""
        entry = self.blocks.input
        e = F.embedding(codes, entry.weight[:, :, 0, 0].t()) + entry.bias
        return e.movedim(-1, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.blocks(z)


class DVAE(Tokenizer):
    """Frames to codes and back. `vocab_size` codes; a token covers 8×8 pixels."""

    kind, config_type, pixel_range = "dvae", DVAEConfig, (PIXEL_EPS, 1 - PIXEL_EPS)
    at_once = (4, 256)  # on a CPU 3x faster than 32 at a time
    remedy = "Make one with `python -m toto_robot.train_dvae VIDEOS OUT`."

    def __init__(self, config: DVAEConfig):
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config) if config.decoder_hid else None
        self.to(memory_format=torch.channels_last)

    @staticmethod
    def patch_of(config: DVAEConfig) -> int:
        return PATCH

    def gains(self, x: Tensor) -> Tensor:
        return exposure_gains(x) if self.config.canonical_exposure else super().gains(x)

    def prepared(self, x: Tensor) -> Tensor:
        """float [0, 1] (B, 3, H, W) as the encoder sees it: at the canonical exposure, if that is on."""
        x = with_gains(x, self.gains(x)) if self.config.canonical_exposure else x
        return x.contiguous(memory_format=torch.channels_last)

    def logits(self, x: Tensor) -> Tensor:
        """float [0, 1] (B, 3, H, W) to logits (B, V, H/8, W/8); differentiable."""
        return self.encoder(self.prepared(x))

    def hidden(self, x: Tensor) -> Tensor:
        """float [0, 1] (B, 3, H, W) to the features that give the codes: (B, 8·n_hid, H/8, W/8), not negative."""
        return self.encoder.features(self.prepared(x))

    def to_codes(self, x: Tensor) -> Tensor:
        return self.logits(x).argmax(1)

    def to_pixels(self, codes: Tensor) -> Tensor:
        decoder = self.require_decoder()
        return reconstruction(decoder.from_embedding(decoder.embed(codes)))

    def codebook(self) -> Tensor:
        """Embedding of each code, float (V, n_init): the columns of the decoder's input convolution."""
        return self.require_decoder().blocks.input.weight.detach()[:, :, 0, 0].t().contiguous()

    def require_decoder(self) -> Decoder:
        """The decoder. Raises UserError for a dVAE that was loaded from an encoder's file alone."""
        if self.decoder is None:
            raise UserError(
                "This dVAE has an encoder only, so it can't decode and has no code vectors. Put its decoder "
                "(for example OpenAI's decoder.pkl) beside the encoder's file and load it again."
            )
        return self.decoder


def reconstruction(stats: Tensor) -> Tensor:
    """The decoder's (B, 6, H, W) to pixels float (B, 3, H, W) in [0, 1]: sigmoid of the mean."""
    return unmap_pixels(torch.sigmoid(stats[:, :3].float()))

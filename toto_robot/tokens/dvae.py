"""The discrete VAE of DALL·E (Ramesh et al. 2021, App. A) as a frame tokenizer: 8×8 pixels to a code.

Layout, initialisation and state-dict names follow github.com/openai/DALL-E, with `.w`/`.b` called
`.weight`/`.bias`. Codes are the argmax of the encoder's logits, in raster order; no noise at use.
"""
import hashlib
import json
from collections import OrderedDict
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from toto_robot.atomic import atomic_write_bytes, atomic_write_text
from toto_robot.errors import UserError
from toto_robot.video.frames import check_frames, to_float01, to_uint8

PIXEL_EPS = 0.1          # logit-Laplace: pixels live in [0.1, 0.9]
PATCH = 8                # pixels on the side of a token
GROUPS = 4
ENCODE_CHUNK = 4         # frames at a time: activations stay in cache (3x faster on a CPU than 32 at a time)
WEIGHTS, CONFIG = "dvae.safetensors", "config.yaml"


@dataclass(frozen=True)
class DVAEConfig:
    vocab_size: int = 8192
    """Codes. 8192 in DALL·E and Toto."""
    n_hid: int = 256
    """Encoder channels at full resolution; 2, 4 and 8 times as many at 1/2, 1/4 and 1/8."""
    decoder_hid: int = 256
    """Decoder channels at full resolution, widened likewise."""
    n_init: int = 128
    """Width of a code's embedding: output channels of the decoder's input convolution."""
    n_blk_per_group: int = 2
    """Residual blocks in each of the four groups."""

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"dvae.{field.name}: expected a whole number of at least 1, got {value!r}")
        for name in ("n_hid", "decoder_hid"):
            if getattr(self, name) % 4:
                raise UserError(f"dvae.{name}: expected a multiple of 4, got {getattr(self, name)}")
        if self.vocab_size > 65536:
            raise UserError(f"dvae.vocab_size: expected at most 65536 (codes are stored in 16 bits), got {self.vocab_size}")


PRESETS = {
    "dalle": DVAEConfig(),
    "tiny": DVAEConfig(vocab_size=1024, n_hid=16, decoder_hid=16, n_init=64, n_blk_per_group=1),
}


def preset(name: str) -> DVAEConfig:
    """A named size; UserError lists what exists."""
    if name not in PRESETS:
        raise UserError(f"no dVAE preset {name!r}; there are: {', '.join(PRESETS)}")
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
    """id_path(x) + post_gain · res_path(x); kernel sizes 3, 3, 3, 1 (encoder) or 1, 3, 3, 3 (decoder)."""

    def __init__(self, n_in: int, n_out: int, n_layers: int, kernels: tuple[int, ...]):
        super().__init__()
        self.post_gain = 1 / n_layers ** 2
        widths = [n_in] + [n_out // 4] * 3 + [n_out]
        self.id_path = conv(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        layers = OrderedDict()
        for i, size in enumerate(kernels, start=1):
            layers[f"relu_{i}"] = nn.ReLU(inplace=i > 1)      # in place, except on the block's own input
            layers[f"conv_{i}"] = conv(widths[i - 1], widths[i], size)
        self.res_path = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        same, change = self.id_path(x), self.res_path(x)
        if torch.is_grad_enabled():
            return torch.add(same, change, alpha=self.post_gain)
        return torch.add(same, change, alpha=self.post_gain, out=change)     # fresh pages cost more than the sum


def group(widths: list[int], n_layers: int, kernels: tuple[int, ...], change: tuple[str, nn.Module] | None) -> nn.Sequential:
    """Blocks from widths[i] to widths[i+1], then a pooling or upsampling layer where there is one."""
    layers = OrderedDict((f"block_{i + 1}", Block(widths[i], widths[i + 1], n_layers, kernels))
                         for i in range(len(widths) - 1))
    if change:
        layers[change[0]] = change[1]
    return nn.Sequential(layers)


def stack(entry: nn.Module, widths: list[int], blocks: int, kernels, change, output: nn.Module) -> nn.Sequential:
    """entry, four groups (`change` after the first three), output: the shape both halves share."""
    groups = OrderedDict(input=entry)
    for g in range(1, GROUPS + 1):
        groups[f"group_{g}"] = group([widths[g - 1]] + [widths[g]] * blocks, GROUPS * blocks, kernels,
                                     change() if g < GROUPS else None)
    groups["output"] = output
    return nn.Sequential(groups)


class Encoder(nn.Module):
    """float [0, 1] (B, 3, H, W) to logits (B, V, H/8, W/8)."""

    def __init__(self, config: DVAEConfig):
        super().__init__()
        n = config.n_hid
        self.blocks = stack(
            conv(3, n, 7), [n, n, 2 * n, 4 * n, 8 * n], config.n_blk_per_group, (3, 3, 3, 1),
            lambda: ("pool", nn.MaxPool2d(2)),
            nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=conv(8 * n, config.vocab_size, 1))))

    def features(self, x: Tensor) -> Tensor:
        """What the output convolution sees: (B, 8·n_hid, H/8, W/8), not negative."""
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
            conv(config.vocab_size, config.n_init, 1), [config.n_init, 8 * n, 4 * n, 2 * n, n],
            config.n_blk_per_group, (1, 3, 3, 3), lambda: ("upsample", nn.Upsample(scale_factor=2, mode="nearest")),
            nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=conv(n, 6, 1))))

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


class DVAE(nn.Module):
    """Frames to codes and back. `vocab_size` codes; a token covers 8×8 pixels."""

    def __init__(self, config: DVAEConfig):
        super().__init__()
        self.config, self.vocab_size = config, config.vocab_size
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.to(memory_format=torch.channels_last)

    @staticmethod
    def grid(image_size: int) -> tuple[int, int]:
        """Token rows and columns of a square frame: (16, 16) at 128 px."""
        if image_size < PATCH or image_size % PATCH:
            raise UserError(f"expected an image size that is a multiple of {PATCH}, got {image_size}")
        return image_size // PATCH, image_size // PATCH

    def logits(self, x: Tensor) -> Tensor:
        """float [0, 1] (B, 3, H, W) to logits (B, V, H/8, W/8); differentiable."""
        return self.encoder(x.contiguous(memory_format=torch.channels_last))

    @torch.no_grad()
    def encode(self, frames) -> Tensor:
        """uint8 (B, H, W, 3), NumPy or torch, to codes int64 (B, S) in raster order, always in float32."""
        check_frames(frames)
        if isinstance(frames, np.ndarray):
            frames = torch.from_numpy(frames if frames.flags.writeable else frames.copy())
        if frames.ndim != 4 or frames.shape[1] % PATCH or frames.shape[2] % PATCH:
            raise UserError(f"expected frames (B, H, W, 3) with H and W multiples of {PATCH}, got {tuple(frames.shape)}")
        device = self.decoder.blocks.input.weight.device
        exact = partial(torch.backends.cudnn.flags, enabled=True, deterministic=True, allow_tf32=False)
        with torch.autocast(device.type, enabled=False), exact():
            codes = [self.logits(to_float01(part.to(device))).argmax(1).flatten(1)
                     for part in frames.split(ENCODE_CHUNK if device.type == "cpu" else 256)]
        return torch.cat(codes)

    @torch.no_grad()
    def decode(self, codes: Tensor, height: int | None = None) -> Tensor:
        """codes (B, S) to uint8 (B, H, W, 3); a square frame unless `height` in pixels is given."""
        rows = height // PATCH if height else round(codes.shape[1] ** 0.5)
        if codes.ndim != 2 or rows < 1 or codes.shape[1] % rows:
            raise UserError(f"expected codes (B, {rows} rows × columns), got shape {tuple(codes.shape)}; give height=")
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < self.vocab_size:
            raise UserError(f"expected codes in 0..{self.vocab_size - 1}, got {int(codes.min())}..{int(codes.max())}")
        device = self.decoder.blocks.input.weight.device
        parts = [reconstruction(self.decoder.from_embedding(self.decoder.embed(part.to(device))))
                 for part in codes.long().reshape(len(codes), rows, -1).split(ENCODE_CHUNK)]
        return to_uint8(torch.cat(parts))

    def codebook(self) -> Tensor:
        """Embedding of each code, float (V, n_init): the columns of the decoder's input convolution."""
        return self.decoder.blocks.input.weight.detach()[:, :, 0, 0].t().contiguous()

    def fingerprint(self) -> str:
        """sha256 of the configuration and every weight: equal fingerprints give equal codes."""
        digest = hashlib.sha256(json.dumps(asdict(self.config), sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder) -> None:
        """Write dvae.safetensors and config.yaml (fields and sha256) into `folder`."""
        folder = Path(folder)
        data = save_safetensors({name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()})
        atomic_write_bytes(folder / WEIGHTS, data)
        described = {"dvae": asdict(self.config), "sha256": {WEIGHTS: hashlib.sha256(data).hexdigest()}}
        atomic_write_text(folder / CONFIG, yaml.safe_dump(described, sort_keys=False))

    @classmethod
    def load(cls, folder) -> "DVAE":
        """Read what `save` wrote, or the dVAE of a model folder. Checks sha256 and every shape; runs no foreign code."""
        folder = Path(folder)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise UserError(f"no dVAE in {folder}: {name} is missing; make one with "
                                "`python -m toto_robot.train_dvae VIDEOS OUT`")
        try:
            described = yaml.safe_load((folder / CONFIG).read_text())
            config, wanted = DVAEConfig(**described["dvae"]), described["sha256"][WEIGHTS]
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{folder / CONFIG} does not describe a dVAE ({type(error).__name__}: {error}); "
                            "copy the folder again") from error
        data = (folder / WEIGHTS).read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise UserError(f"{folder / WEIGHTS} is damaged or not the file that {CONFIG} describes "
                            f"(sha256 {found[:12]}…, expected {str(wanted)[:12]}…); copy the folder again")
        model = cls(config)
        try:
            model.load_state_dict(load_safetensors(data))
        except Exception as error:
            raise UserError(f"{folder / WEIGHTS} does not fit its {CONFIG}: {str(error).splitlines()[-1].strip()}") from error
        return model.eval()


def reconstruction(stats: Tensor) -> Tensor:
    """The decoder's (B, 6, H, W) to pixels float (B, 3, H, W) in [0, 1]: sigmoid of the mean."""
    return unmap_pixels(torch.sigmoid(stats[:, :3].float()))

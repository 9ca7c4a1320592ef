"""MVP's augmentations of frames and proprioception. Each is off by default, as in the published configs
(configs/bc/real.yaml).

Strengths are the published ones: brightness, contrast and saturation by up to 20 %, hue by 0.1 of a turn, grey,
Gaussian blur of σ 0.1 to 2 pixels (at 224 px; scaled to the size here), noise on proprioception. The random shift
replaces a random crop: the frame is padded with its edge and then cropped, so it keeps its size, and acting needs no
crop. The shadow is ours (MVP has none). Each frame gets its own random numbers, from the given generator.

On the arrow: `demonstrations` augments frames before a frozen encoder sees them, `cloner` before the policy's own
network.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from toto_robot.ground.errors import UserError

STRENGTH, HUE, SIGMA_PX, PUBLISHED_SIZE = 0.2, 0.1, (0.1, 2.0), 224
GREY = (0.299, 0.587, 0.114)


@dataclass
class AugmentConfig:
    """Random changes in training."""

    jitter: float = 0.0
    """Probability that a frame's brightness, contrast, saturation and hue are changed (0.2, 0.2, 0.2, 0.1)."""
    grey: float = 0.0
    """Probability that a frame loses its colour."""
    blur: float = 0.0
    """Probability that a frame is blurred."""
    shift_px: int | None = None
    """Random crop: a frame is shifted by up to this many pixels each way. null: 6 with encoder=resnet, otherwise 0."""
    proprio_std: float = 0.0
    """Standard deviation of the noise on proprioception, in its own units."""
    copies: int = 4
    """With a frozen encoder: how many augmented versions of each frame are encoded, besides the frame itself."""
    shade: float = 0.0
    """Probability that a shadow with a straight edge falls on a frame: up to half of the light is gone on one side."""

    def __post_init__(self) -> None:
        if not all(0 <= p <= 1 for p in (self.jitter, self.grey, self.blur, self.shade)):
            raise UserError("data.augment: expected jitter, grey, blur and shade to be probabilities in [0, 1].")
        if (self.shift_px or 0) < 0 or self.proprio_std < 0 or self.copies < 1:
            raise UserError("data.augment: expected shift_px and proprio_std >= 0 and copies >= 1.")

    @property
    def changes_frames(self) -> bool:
        """Whether frames are changed at all."""
        return bool(self.jitter or self.grey or self.blur or self.shade or self.shift_px)


def augment(frames: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Augmented frames, from and to uint8 (B, H, W, 3)."""
    if not config.changes_frames:
        return frames
    n = len(frames)
    if config.shift_px:
        frames = shift(frames, config.shift_px, generator)
    if config.shade:
        frames = shade(frames, torch.rand(n, generator=generator) < config.shade, generator)
    chosen = [torch.rand(n, generator=generator) < p for p in (config.jitter, config.grey, config.blur)]
    if not any(c.any() for c in chosen):
        return frames
    x = frames.movedim(-1, 1).float() / 255
    factors = 1 + STRENGTH * (2 * torch.rand(3, n, 1, 1, 1, generator=generator) - 1)
    turns = HUE * (2 * torch.rand(n, generator=generator) - 1)
    sigma = SIGMA_PX[0] + (SIGMA_PX[1] - SIGMA_PX[0]) * torch.rand(n, generator=generator)
    for change, which in zip(
        (
            lambda p, i: jitter(p, factors[:, i], turns[i]),
            lambda p, i: grey(p).expand_as(p),
            lambda p, i: blur(p, sigma[i] * p.shape[-1] / PUBLISHED_SIZE),
        ),
        chosen,
    ):
        where = which.nonzero().flatten()
        if len(where):
            x[where] = change(x[where], where)
    return (x * 255).round().clamp(0, 255).to(torch.uint8).movedim(1, -1)


def shift(frames: Tensor, most_px: int, generator: Generator) -> Tensor:
    """Each frame of (B, H, W, C) moved by up to `most_px` pixels down or up, and right or left. Edges are repeated."""
    B, H, W, _ = frames.shape
    down, right = torch.randint(-most_px, most_px + 1, (2, B, 1), generator=generator)
    rows, columns = (torch.arange(H) + down).clamp(0, H - 1), (torch.arange(W) + right).clamp(0, W - 1)
    return frames[torch.arange(B)[:, None, None], rows[:, :, None], columns[:, None, :]]


def shade(frames: Tensor, chosen: Tensor, generator: Generator) -> Tensor:
    """Frames (B, H, W, C) with a shadow on those that are `chosen` (B,) bool. Its edge is a straight line through the
    picture, sharp or up to a fifth of the picture wide; on one side 10 to 50 % of the light is gone."""
    B, H, W, _ = frames.shape
    turn, at, wide, dark = torch.rand(4, B, 1, 1, generator=generator)
    v, u = torch.meshgrid(torch.linspace(-1, 1, H), torch.linspace(-1, 1, W), indexing="ij")
    angle = 2 * torch.pi * turn
    beyond = u * angle.cos() + v * angle.sin() - (1.4 * at - 0.7)
    inside = (beyond / (0.02 + 0.4 * wide) + 0.5).clamp(0, 1)
    light = 1 - (0.1 + 0.4 * dark) * inside * chosen[:, None, None]
    return (frames * light[..., None]).round().to(torch.uint8)


def grey(x: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of RGB (B, 3, H, W)."""
    return (x * torch.tensor(GREY).view(3, 1, 1)).sum(1, keepdim=True)


def jitter(x: Tensor, factors: Tensor, turns: Tensor) -> Tensor:
    """Brightness, contrast and saturation times `factors` (3, B, 1, 1, 1), hue by `turns` (B,) of the colour circle."""
    brightness, contrast, saturation = factors
    x = (x * brightness).clamp(0, 1)
    x = (x * contrast + grey(x).mean((2, 3), keepdim=True) * (1 - contrast)).clamp(0, 1)
    x = (x * saturation + grey(x) * (1 - saturation)).clamp(0, 1)
    return turn_hue(x, turns)


def turn_hue(x: Tensor, turns: Tensor) -> Tensor:
    """RGB (B, 3, H, W) in [0, 1] with its hue turned by `turns` (B,): 1 is once around HSV's circle."""
    high, low = x.amax(1), x.amin(1)
    span = (high - low).clamp_min(1e-8)
    r, g, b = x.unbind(1)
    hue = torch.where(high == r, (g - b) / span % 6, torch.where(high == g, (b - r) / span + 2, (r - g) / span + 4))
    hue = (hue + 6 * turns.view(-1, 1, 1)) % 6
    k = (torch.tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1) + hue[:, None]) % 6
    return high[:, None] - (high - low)[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def blur(x: Tensor, sigma_px: Tensor) -> Tensor:
    """Gaussian blur of (B, 3, H, W) with `sigma_px` (B,), three standard deviations wide. Edges are repeated."""
    B, C, H, W = x.shape
    radius = max(1, int(3 * sigma_px.max().ceil()))
    at = torch.arange(-radius, radius + 1).float()
    kernel = torch.exp(-0.5 * (at / sigma_px.clamp_min(1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(C, 0)[:, None, None]
    x = F.pad(x, (radius,) * 4, mode="replicate").reshape(1, B * C, H + 2 * radius, W + 2 * radius)
    x = F.conv2d(F.conv2d(x, kernel, groups=B * C), kernel.transpose(2, 3), groups=B * C)
    return x.view(B, C, H, W)

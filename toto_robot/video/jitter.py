"""The changes that a camera makes to a picture: exposure, white balance, noise, blur and JPEG.

The tokenizer trains on jittered frames with clean targets, and the looks table counts what each jitter does to the
codes. All functions take uint8 (..., H, W, 3) and return a new array of the same shape.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from toto_robot.ground.errors import expected


def exposed(frames: np.ndarray, gain: float | np.ndarray) -> np.ndarray:
    """Every pixel times `gain`: one number, or one for each channel (3,), as in a white balance."""
    return np.clip(frames * np.asarray(gain, np.float32), 0, 255).astype(np.uint8)


def noisy(frames: np.ndarray, std: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of `std` grey levels on every pixel."""
    noise = rng.standard_normal(frames.shape, dtype=np.float32)
    return np.clip(frames + std * noise, 0, 255).astype(np.uint8)


def blurred(frames: np.ndarray, sigma_px: float) -> np.ndarray:
    """A Gaussian blur of `sigma_px` pixels."""
    return _each(frames, lambda picture: picture.filter(ImageFilter.GaussianBlur(sigma_px)))


def compressed(frames: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG and back at `quality`, 1 to 95."""

    def through(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=int(quality))
        return Image.open(buffer)

    return _each(frames, through)


def _each(frames: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """`change` on each picture of uint8 (..., H, W, 3)."""
    out = np.empty_like(frames)
    for index in np.ndindex(frames.shape[:-3]):
        out[index] = np.asarray(change(Image.fromarray(frames[index])))
    return out


MEASURED: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "exposure ×1.02": lambda frames, rng: exposed(frames, 1.02),
    "exposure ×1.05": lambda frames, rng: exposed(frames, 1.05),
    "exposure ×0.85": lambda frames, rng: exposed(frames, 0.85),
    "white balance": lambda frames, rng: exposed(frames, np.array([1.06, 1.0, 0.94])),
    "noise σ 8": lambda frames, rng: noisy(frames, 8, rng),
    "blur σ 0.7 px": lambda frames, rng: blurred(frames, 0.7),
    "JPEG 60": lambda frames, rng: compressed(frames, 60),
}
"""The jitters of the looks table, at fixed strengths."""


@dataclass
class JitterConfig:
    """How much a training frame is changed. Each change happens with probability `share`. 0 turns a change off."""

    share: float = 0.6
    """Probability of each of the changes below."""
    exposure: float = 0.3
    """Largest logarithm of the gain. exp(0.3) is +35 %."""
    white_balance: float = 0.12
    """Largest logarithm of the additional gain of a single channel."""
    noise_std: float = 13.0
    """Largest standard deviation of the noise, in grey levels."""
    blur_px: float = 0.8
    """Largest σ of the blur, in pixels."""
    jpeg: int = 40
    """Lowest JPEG quality; 0 for none."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise expected("jitter.share", "a share from 0 to 1", self.share)
        for name in ("exposure", "white_balance", "noise_std", "blur_px"):
            if getattr(self, name) < 0:
                raise expected(f"jitter.{name}", "at least 0", getattr(self, name))
        if not 0 <= self.jpeg <= 95:
            raise expected("jitter.jpeg", "a quality from 1 to 95, or 0 for none", self.jpeg)


def jittered(frame: np.ndarray, config: JitterConfig, rng: np.random.Generator) -> np.ndarray:
    """One frame uint8 (H, W, 3) with random changes, in the order in which a camera makes them."""
    # All numbers are drawn first. This way the others stay the same when one change is turned off.
    on = rng.random(5) < config.share
    gain = rng.uniform(-config.exposure, config.exposure) * on[0]
    balance = rng.uniform(-config.white_balance, config.white_balance, 3) * on[1]
    std, sigma = rng.uniform(0, config.noise_std), rng.uniform(0, config.blur_px)
    quality = int(rng.integers(config.jpeg, 96)) if config.jpeg else 0
    if on[3] and sigma > 0.2:
        frame = blurred(frame, sigma)
    if on[0] or on[1]:
        frame = exposed(frame, np.exp(gain + balance))
    if on[2] and config.noise_std:
        frame = noisy(frame, std, rng)
    if on[4] and config.jpeg:
        frame = compressed(frame, quality)
    return frame

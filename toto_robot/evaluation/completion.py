"""Complete a clip: the first frames are given, the rest is predicted token by token (Sec. 3.3)."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError
from toto_robot.tokens.special import OFFSET, VIDEO_START
from toto_robot.tokens.training.scores import decoded_like
from toto_robot.video.decode import iter_frames, write_video
from toto_robot.video.sampling import SPACING_S, clip_indices

GAP = 4
"""Pixels between the pictures of the sheet."""


@dataclass
class Completion:
    """One clip and its continuations. All are uint8 (F, H, W, 3)."""

    truth: np.ndarray
    """The frames of the video."""
    tokens: np.ndarray
    """The same frames, encoded and decoded: a prediction can't look better."""
    predicted: list[np.ndarray]
    """For each sample the given frames, encoded and decoded, then the predicted ones."""
    given: int
    """Number of frames that the model saw."""
    accuracy: float
    """Share of predicted codes that are correct, on average over the samples."""


def load_clip(path: str | Path, frames: int, size: int, start_s: float) -> np.ndarray:
    """`frames` frames uint8 (F, size, size, 3) from `start_s` on, spaced as in training. Raises UserError if the video
    is too short."""
    pictures, times_s, last_s = [], [], 0.0
    for last_s, picture in iter_frames(path, size):
        if last_s >= start_s:
            pictures.append(picture)
            times_s.append(last_s)
        if len(times_s) >= frames and last_s - times_s[0] > frames * SPACING_S:
            break  # the rest of a long video is neither decoded nor kept
    if len(times_s) < frames:
        raise UserError(
            f"{path} has {len(times_s)} frames after start_s={start_s:g} (its last one is at {last_s:.1f} s), "
            f"but {frames} are needed: choose an earlier start or a smaller total."
        )
    return np.stack(pictures)[clip_indices(times_s, frames=frames, spacing_s=SPACING_S)[0]]


@torch.inference_mode()
def complete(
    encoder: Any, clip: np.ndarray, given: int, *, samples: int, temperature: float, top_p: float, seed: int
) -> Completion:
    """Continue `clip` (F, H, W, 3) from its first `given` frames, `samples` times.

    Temperature 0 takes the most likely code each time.
    """
    codes = encoder.codes(clip)
    frames, tokens = codes.shape
    if not 1 <= given < frames:
        raise UserError(
            f"frames must be from 1 to {frames - 1}, so that something is left to predict, but it is {given}."
        )
    start = torch.full((samples, 1), VIDEO_START, device=codes.device)
    prompt = torch.cat((start, (codes[:given].flatten() + OFFSET).expand(samples, -1)), dim=1)
    out = encoder.toto.generate(
        prompt,
        (frames - given) * tokens,
        temperature=temperature,
        top_p=top_p,
        lowest=OFFSET,
        generator=torch.Generator(codes.device).manual_seed(seed),
    )
    made = (out[:, 1:] - OFFSET).view(samples, frames, tokens)
    # Show all frames at the exposure of the given ones, because a prediction does not know the later exposure.
    shown = np.broadcast_to(clip[:given][-1:], clip.shape)
    return Completion(
        truth=clip,
        tokens=_pixels(encoder, codes, shown),
        predicted=[_pixels(encoder, sample, shown) for sample in made],
        given=given,
        accuracy=(made[:, given:] == codes[given:]).double().mean().item(),
    )


def _pixels(encoder: Any, codes: Tensor, like: np.ndarray) -> np.ndarray:
    return decoded_like(encoder.tokenizer, codes, like).numpy()


def save_completion(done: Completion, path: Path) -> tuple[Path, Path]:
    """Write PATH.mp4 with truth, tokens and predictions side by side, and PATH.png with a row for each of them."""
    rows = [done.truth, done.tokens, *done.predicted]
    video = write_video(path.with_suffix(".mp4"), np.concatenate(rows, axis=2), fps=1 / SPACING_S)
    frames, height, width, _ = done.truth.shape
    sheet = np.full((len(rows) * (height + GAP) - GAP, frames * (width + GAP) + GAP, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, frame in enumerate(row):
            left = x * (width + GAP) + (2 * GAP if x >= done.given else 0)
            sheet[y * (height + GAP) : y * (height + GAP) + height, left : left + width] = frame
    image = io.BytesIO()
    Image.fromarray(sheet).save(image, "PNG")
    atomic_write_bytes(path.with_suffix(".png"), image.getvalue())
    return video, path.with_suffix(".png")

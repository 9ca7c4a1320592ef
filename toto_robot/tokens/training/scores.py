"""Scores of a tokenizer on held-out frames: numbers and a picture."""

from pathlib import Path

import numpy as np
import torch

from toto_robot.ground.errors import UserError
from toto_robot.tokens.base import Tokenizer
from toto_robot.video.frames import check_frames, to_float01, to_uint8, with_gains


def block_colours(frames, patch: int = 8) -> torch.Tensor:
    """Mean colour, 0 to 255, of each `patch` × `patch` block: uint8 (B, H, W, 3) → float32 (B, H/patch, W/patch, 3)."""
    x = torch.as_tensor(frames).float()
    B, H, W, _ = x.shape
    return x.reshape(B, H // patch, patch, W // patch, patch, 3).mean(dim=(2, 4))


def block_means(frames, patch: int = 8) -> torch.Tensor:
    """uint8 (B, H, W, 3) with each `patch` × `patch` block replaced by its mean colour.

    It spends 24 bits on a block. A tokenizer should do better.
    """
    mean = block_colours(frames, patch).round()
    return mean.repeat_interleave(patch, 1).repeat_interleave(patch, 2).to(torch.uint8)


def psnr_db(squared_error_mean: float) -> float:
    """Peak signal-to-noise ratio in dB for pixels in 0..255."""
    return float("inf") if squared_error_mean <= 0 else 10 * float(np.log10(255.0**2 / squared_error_mean))


def decoded_like(tokenizer: Tokenizer, codes: torch.Tensor, frames) -> torch.Tensor:
    """Codes (B, S) to uint8 (B, H, W, 3) at the exposure of `frames` uint8 (B, H, W, 3).

    If the tokenizer brings frames to one exposure, the three gains of each frame are undone.
    """
    pixels = tokenizer.decode(codes, height=frames.shape[1]).cpu()
    gains = tokenizer.gains(to_float01(frames).to(tokenizer.device)).cpu()
    if bool((gains == 1).all()):
        return pixels
    return to_uint8(with_gains(to_float01(pixels), 1 / gains))


def score_tokenizer(tokenizer: Tokenizer, frames, batch: int = 64) -> dict:
    """Held-out scores over frames uint8 (N, H, W, 3), each decoded at its own exposure.

    psnr and psnr_block_mean in dB, of the mean squared error over all pixels; codes_used; usage, a share of the
    vocabulary; perplexity of the histogram of the codes.
    """
    check_frames(frames)
    if len(frames) == 0:
        raise UserError("There are no frames to evaluate on. Give more videos.")
    error = mean_error = 0.0
    counts = torch.zeros(tokenizer.vocab_size, dtype=torch.int64)
    for start in range(0, len(frames), batch):
        part = torch.as_tensor(frames[start : start + batch])
        codes = tokenizer.encode(part)
        counts += torch.bincount(codes.flatten().cpu(), minlength=tokenizer.vocab_size)
        back = decoded_like(tokenizer, codes, part)
        error += float((back.float() - part.float()).square().mean()) * len(part)
        mean_error += float((block_means(part, tokenizer.patch).float() - part.float()).square().mean()) * len(part)
    share = counts[counts > 0].double() / counts.sum()
    return {
        "frames": len(frames),
        "psnr": psnr_db(error / len(frames)),
        "psnr_block_mean": psnr_db(mean_error / len(frames)),
        "codes_used": int((counts > 0).sum()),
        "usage": float((counts > 0).double().mean()),
        "perplexity": float(torch.exp(-(share * share.log()).sum())),
    }


def reconstruction_png(tokenizer: Tokenizer, frames_by_source: dict, path, columns: int = 8) -> Path:
    """For each source (name → uint8 (N, H, W, 3)) three rows: frames, their reconstructions, their block means."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    strips = []
    for source, frames in frames_by_source.items():
        frames = np.asarray(frames)
        pick = frames[np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int)]
        made = decoded_like(tokenizer, tokenizer.encode(pick), pick).numpy()
        scores = score_tokenizer(tokenizer, pick)
        strips += [
            (source, pick),
            (f"{tokenizer.kind} {scores['psnr']:.1f} dB", made),
            (f"block mean {scores['psnr_block_mean']:.1f} dB", block_means(pick, tokenizer.patch).numpy()),
        ]
    figure = Figure(figsize=(1.3 * columns + 1.2, 1.3 * len(strips)), layout="constrained")
    axes = figure.subplots(len(strips), columns, squeeze=False)
    for row, (label, pictures) in zip(axes, strips):
        for axis in row:
            axis.set_axis_off()
        for axis, picture in zip(row, pictures):
            axis.imshow(picture, interpolation="nearest")
        row[0].text(-0.06, 0.5, label, rotation=90, fontsize=7, ha="right", va="center", transform=row[0].transAxes)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path

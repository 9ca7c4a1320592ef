"""Training frames for a tokenizer, held in memory, and random batches of them as a pure function of (seed, step).

A frame may have a twin: the same state in another look, pixel for pixel. A tokenizer sees both, jittered, and has to
give them the same codes. This way it learns which changes don't matter.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toto_robot.ground.errors import UserError
from toto_robot.ground.seeds import keyed_generator, keyed_rng
from toto_robot.video.decode import VideoError, find_videos, iter_frames, split_held_out
from toto_robot.video.frames import to_float01
from toto_robot.video.jitter import JitterConfig, jittered


@dataclass
class Frames:
    """The frames of one folder, uint8 (N, size, size, 3) each."""

    train: np.ndarray
    """Training frames."""
    held_out: np.ndarray
    """Frames of other videos."""
    twins: np.ndarray | None = None
    """The twins of `train`, if there are any. A frame without a twin is its own twin."""
    left_out: list[dict] = field(default_factory=list)
    """Files that could not be read, with the reasons."""


class FramePool:
    """Frames of one or two sources. Batches draw each frame's source, the frame, the crop and a mirror."""

    def __init__(
        self,
        sources: list[np.ndarray],
        shares: list[float],
        seed: int,
        twins: list[np.ndarray | None] | None = None,
        jitter: JitterConfig | None = None,
    ):
        self.sources, self.shares, self.seed = sources, torch.tensor(shares, dtype=torch.float64), seed
        self.twins, self.jitter = twins or [None] * len(sources), jitter or JitterConfig()

    def batch(self, step: int, count: int, crop: int) -> Tensor:
        """float32 (count, 3, crop, crop) in [0, 1], channels last in memory."""
        draw = keyed_generator(self.seed, step)
        which = torch.multinomial(self.shares, count, replacement=True, generator=draw).tolist()
        place = torch.rand(count, 4, generator=draw).tolist()
        out = np.empty((count, crop, crop, 3), np.uint8)
        for i, (s, (at, top, left, mirror)) in enumerate(zip(which, place)):
            frames = self.sources[s]
            spare = frames.shape[1] - crop + 1
            top, left = int(top * spare), int(left * spare)
            part = frames[int(at * len(frames)), top : top + crop, left : left + crop]
            out[i] = part[:, ::-1] if mirror < 0.5 else part
        return to_float01(out).contiguous(memory_format=torch.channels_last)

    def pairs(self, step: int, count: int, prepare: Callable[[Tensor], Tensor], crop: int) -> tuple[Tensor, Tensor]:
        """Two looks of `count` states: (clean, seen), float32 (2·count, 3, crop, crop) in [0, 1], channels last.

        Row i and row count + i show one state; `seen` is `clean` with jitter. `prepare` turns whole frames float [0, 1]
        (2·count, 3, H, W) into what the encoder sees. It comes before the crop, so it can use all of a frame.
        """
        rng = keyed_rng(self.seed, step)
        size = self.sources[0].shape[1]
        clean, seen = (np.empty((2 * count, size, size, 3), np.uint8) for _ in range(2))
        corner = rng.integers(0, (size - crop) // 8 + 1, (count, 2)) * 8
        # Draw source, frame and mirror of each state; put its two looks into rows i and count + i.
        for i in range(count):
            s = rng.choice(len(self.sources), p=self.shares.numpy() / float(self.shares.sum()))
            at, mirror = int(rng.integers(len(self.sources[s]))), rng.random() < 0.5
            twins = self.twins[s]
            for row, frames in ((i, self.sources[s]), (count + i, self.sources[s] if twins is None else twins)):
                frame = frames[at][:, ::-1] if mirror else frames[at]
                clean[row], seen[row] = frame, jittered(frame, self.jitter, rng)
        # Prepare whole frames, then cut the same corners out of both looks.
        out = []
        for pictures in (clean, seen):
            x = prepare(to_float01(pictures))
            if crop < size:
                corners = enumerate(np.tile(corner, (2, 1)))
                x = torch.stack([x[i, :, top : top + crop, left : left + crop] for i, (top, left) in corners])
            out.append(x.contiguous(memory_format=torch.channels_last))
        return out[0], out[1]


def read_folder(
    folder: str, *, size: int, every: int, most: int, held_out: float, tell: Callable[[str], None], twins: str = ""
) -> Frames:
    """The frames of a video folder, and of its `twins`: a folder with videos of the same names, frame for frame.

    Every `every`-th frame is kept. If these are more than `most` training frames, an even share of each video is kept.
    Whole videos are held out. Raises UserError if nothing could be read.
    """
    sides, others, left_out = [], [], []
    for training, videos, cap in zip(
        (True, False), split_held_out(find_videos(folder), held_out), (most, max(1, most // 8))
    ):
        kept = []
        for i, video in enumerate(videos):
            if i % 50 == 0:
                tell(f"reading {Path(folder).name}: video {i + 1} of {len(videos)}")
            try:
                frames = _every(video, size, every)
                twin = (
                    _twin(Path(twins) / video.relative_to(folder), frames, size, every)
                    if twins and training
                    else frames
                )
            except VideoError as error:
                left_out.append({"source": str(video), "reason": str(error)})
                continue
            a_video = max(1, cap // len(videos))
            chosen = np.unique(np.linspace(0, len(frames) - 1, min(a_video, len(frames))).round().astype(int))
            kept.append(frames[chosen])
            others += [twin[chosen]] if training else []
        sides.append(np.concatenate(kept) if kept else np.empty((0, size, size, 3), np.uint8))
    if not len(sides[0]):
        raise UserError(f"no video in {folder} could be read; the first: {left_out[0]['reason']}")
    return Frames(sides[0], sides[1], np.concatenate(others) if twins else None, left_out)


def _every(video: Path, size: int, every: int) -> np.ndarray:
    return np.stack([frame for n, (_, frame) in enumerate(iter_frames(video, size)) if n % every == 0])


def _twin(path: Path, frames: np.ndarray, size: int, every: int) -> np.ndarray:
    """The frames of the twin at `path`, or `frames` themselves if there is no twin."""
    if not path.is_file():
        return frames
    twin = _every(path, size, every)
    if twin.shape != frames.shape:
        raise UserError(
            f"{path} has {len(twin)} frames, but the clip that it belongs to has {len(frames)}. "
            "Film both again, or leave twins= out."
        )
    return twin

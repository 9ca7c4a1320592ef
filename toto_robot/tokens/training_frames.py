"""Training frames for a tokenizer, held in memory, and random crops of them as a pure function of (seed, step)."""
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toto_robot.errors import UserError
from toto_robot.video.decode import find_videos, iter_frames, split_held_out
from toto_robot.video.decode import VideoError
from toto_robot.video.frames import to_float01


class FramePool:
    """Frames of one or two sources. `batch` draws each frame's source, the frame, the crop and a mirror."""

    def __init__(self, sources: list[np.ndarray], shares: list[float], seed: int):
        self.sources, self.shares, self.seed = sources, torch.tensor(shares, dtype=torch.float64), seed

    def batch(self, step: int, count: int, crop: int) -> Tensor:
        """float32 (count, 3, crop, crop) in [0, 1], channels last in memory."""
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        which = torch.multinomial(self.shares, count, replacement=True, generator=draw).tolist()
        place = torch.rand(count, 4, generator=draw).tolist()
        out = np.empty((count, crop, crop, 3), np.uint8)
        for i, (s, (at, top, left, mirror)) in enumerate(zip(which, place)):
            frames = self.sources[s]
            spare = frames.shape[1] - crop + 1
            top, left = int(top * spare), int(left * spare)
            part = frames[int(at * len(frames)), top:top + crop, left:left + crop]
            out[i] = part[:, ::-1] if mirror < 0.5 else part
        return to_float01(out).contiguous(memory_format=torch.channels_last)


def read_folder(folder: str, *, size: int, every: int, most: int, held_out: float,
                tell: Callable[[str], None]) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    """(training, held-out frames uint8 (N, size, size, 3), files left out with reasons) of a video folder.

    Every `every`-th frame is kept; where that gives more than `most` training frames, an even share of each
    video. Whole videos are held out. UserError where nothing could be read.
    """
    sides, left_out = [], []
    for videos, cap in zip(split_held_out(find_videos(folder), held_out), (most, max(1, most // 8))):
        kept = []
        for i, video in enumerate(videos):
            if i % 50 == 0:
                tell(f"reading {Path(folder).name}: video {i + 1} of {len(videos)}")
            try:
                frames = np.stack([frame for n, (_, frame) in enumerate(iter_frames(video, size)) if n % every == 0])
            except VideoError as error:
                left_out.append({"source": str(video), "reason": str(error)})
                continue
            a_video = max(1, cap // len(videos))
            kept.append(frames[np.unique(np.linspace(0, len(frames) - 1, min(a_video, len(frames))).round().astype(int))])
        sides.append(np.concatenate(kept) if kept else np.empty((0, size, size, 3), np.uint8))
    if not len(sides[0]):
        raise UserError(f"no video in {folder} could be read; the first: {left_out[0]['reason']}")
    return sides[0], sides[1], left_out

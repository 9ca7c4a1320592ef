"""The frames of a video that make a clip.

A clip has 16 frames at stride 4 (Sec. 3.1). At 30 fps that is one frame every 0.133 s. We keep this time: at other
rates each frame is the nearest one by timestamp. A video that is too short for it uses the largest stride (in frames)
that fits. A video with fewer than 16 frames gives no clip.
"""

import numpy as np

from toto_robot.ground.errors import UserError

FRAMES = 16
SPACING_S = 4 / 30


class TooShort(UserError):
    """A video has fewer frames than a clip needs. It is left out and named."""


def clip_indices(
    times_s, *, frames: int = FRAMES, spacing_s: float = SPACING_S, hop_s: float = FRAMES * SPACING_S
) -> np.ndarray:
    """Frame indices int64 (clips, frames) of every clip in a video with timestamps `times_s` (N,).

    Clips start every `hop_s` seconds, as many as fit. The starts are stretched evenly, so that the last clip ends at
    the end of the video. Indices within a clip strictly increase. Raises TooShort if N < frames.
    """
    times_s = np.asarray(times_s, dtype=np.float64)
    if times_s.ndim != 1 or (np.diff(times_s) <= 0).any():
        raise UserError("Expected strictly increasing timestamps of shape (N,). Sort the frames by time.")
    if frames < 1 or spacing_s <= 0 or hop_s <= 0:
        raise UserError(f"Expected frames >= 1, spacing_s > 0 and hop_s > 0, got {frames}, {spacing_s}, {hop_s}.")
    if len(times_s) < frames:
        raise TooShort(f"a clip needs {frames} frames, and the video has {len(times_s)}")
    offsets_s = np.arange(frames) * spacing_s
    gap_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else spacing_s
    slack_s = times_s[-1] - times_s[0] - offsets_s[-1]
    if slack_s < -gap_s / 2:  # too short in time: the largest stride that fits
        stride = max(1, (len(times_s) - 1) // max(1, frames - 1))
        return np.arange(frames)[None] * stride
    slack_s = max(0.0, slack_s)
    starts_s = times_s[0] + np.linspace(0.0, slack_s, 1 + int(slack_s / hop_s + 1e-9))
    clips = np.stack([_distinct(nearest(times_s, start_s + offsets_s), len(times_s)) for start_s in starts_s])
    return clips[np.sort(np.unique(clips, axis=0, return_index=True)[1])]


def nearest(times_s: np.ndarray, wanted_s: np.ndarray) -> np.ndarray:
    """Index of the timestamp that is nearest to each wanted time. On a tie it is the earlier one."""
    right = (
        np.searchsorted(times_s, wanted_s).clip(1, max(1, len(times_s) - 1))
        if len(times_s) > 1
        else np.zeros(len(wanted_s), dtype=np.int64)
    )
    if len(times_s) == 1:
        return right
    left = right - 1
    return np.where(wanted_s - times_s[left] <= times_s[right] - wanted_s + 1e-9, left, right)


def _distinct(indices: np.ndarray, available: int) -> np.ndarray:
    """`indices` without repetitions. If the video is slower than the spacing, neighbours replace repeated frames."""
    if (np.diff(indices) > 0).all():
        return indices
    first = min(int(indices[0]), available - len(indices))
    return np.arange(first, first + len(indices))

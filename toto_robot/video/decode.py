"""Video files to frames with timestamps, and back.

PyAV (FFmpeg) decodes mp4, webm, mov, gif and what else FFmpeg knows. A video is read once from start
to end, on one thread (run one process a core instead), and resized inside swscale. Frames carry
their own timestamps, so variable frame rates need no special case.
"""
import hashlib
import os
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from toto_robot.errors import UserError
from toto_robot.video.frames import check_frames, crop_picture

VIDEO_SUFFIXES = (".mp4", ".gif", ".webm", ".mov", ".mkv", ".avi", ".m4v")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class VideoError(UserError):
    """A video that can't be read or written; the message names the file and the remedy."""


def find_videos(folder, images: bool = False) -> list[Path]:
    """Every video file (and picture, with `images`) under `folder`, sorted by its path; UserError for none."""
    root, suffixes = Path(folder), VIDEO_SUFFIXES + (IMAGE_SUFFIXES if images else ())
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"no such folder: {root}; give a folder that holds videos ({', '.join(suffixes)})")
    found = sorted((p for p in root.rglob("*") if p.is_file() and p.suffix.lower() in suffixes
                    and not p.name.startswith(".")), key=lambda p: p.relative_to(root).as_posix())
    if not found:
        raise UserError(f"no videos in {root}; expected files that end in {', '.join(suffixes)}")
    return found


def split_held_out(videos: list[Path], share: float) -> tuple[list[Path], list[Path]]:
    """(training, held out): whole videos, chosen by a hash of the file name, so that every command agrees.

    At least one video is held out when share > 0 and there are two or more; none when share is 0.
    """
    if not 0 <= share < 1:
        raise UserError(f"held_out: expected a share from 0 to below 1, got {share}")
    count = 0 if share == 0 or len(videos) < 2 else max(1, round(share * len(videos)))
    ranked = sorted(videos, key=lambda video: (hashlib.sha256(video.name.encode()).digest(), video))
    held_out = set(ranked[:count])
    return [v for v in videos if v not in held_out], [v for v in videos if v in held_out]


def iter_frames(path, size: int = 128) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (time_s, uint8 (size, size, 3)) in order of time. Times start at 0 and never go back."""
    path = Path(path)
    if not path.is_file():
        raise VideoError(f"no such video: {path}; check the path")
    last_s, first_s = -1.0, None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoError(f"{path} holds no video stream; remove it from the folder or replace it")
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            rate_hz = float(stream.average_rate or 30)
            for picture in container.decode(stream):
                time_s = picture.time if picture.time is not None else last_s + 1 / rate_hz
                first_s = time_s if first_s is None else first_s
                if time_s - first_s <= last_s:      # a repeated or missing timestamp: one frame later
                    time_s = first_s + last_s + 1 / rate_hz
                last_s = time_s - first_s
                yield last_s, crop_picture(picture, size)
    except av.error.FFmpegError as error:
        reason = (error.strerror or str(error)).strip()
        where = f"after {last_s:.2f} s" if first_s is not None else "at its start"
        raise VideoError(f"{path} does not decode {where} ({reason}); re-encode it or remove it") from error
    if first_s is None:
        raise VideoError(f"{path} holds no frames; re-encode it or remove it")


def read_frames(path, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """The whole video: frames uint8 (N, size, size, 3) and times_s float64 (N,). Raises VideoError."""
    pairs = list(iter_frames(path, size))
    return np.stack([frame for _, frame in pairs]), np.array([time_s for time_s, _ in pairs])


def read_image(path, size: int = 128) -> np.ndarray:
    """One picture file (png, jpg, webp, bmp) as uint8 (size, size, 3). Raises VideoError."""
    return next(iter_frames(path, size))[1]


def write_video(path, frames, fps: float, crf: int = 18) -> Path:
    """Write uint8 (N, H, W, 3) as H.264 mp4, atomically. `crf` is x264's quality: 0 best, 51 worst.

    H.264 in 4:2:0 needs even sides: an odd last row or column is repeated once.
    """
    frames = np.asarray(frames)
    check_frames(frames, what="video")
    if frames.ndim != 4:
        raise UserError(f"expected frames (N, height, width, 3), got shape {frames.shape}; stack the frames first")
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise VideoError(f"can't write {path}: expected a name that ends in .mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".mp4")
    os.close(handle)
    try:
        _encode(temporary, frames, Fraction(fps).limit_denominator(1000), crf)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def _encode(path: str, frames: np.ndarray, rate_hz: Fraction, crf: int) -> None:
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate_hz)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())

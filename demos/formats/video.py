"""The videos of a LeRobot set: episodes follow one another in a file, each frame at an exact multiple of 1/fps."""

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np

from demos.errors import DemoError
from toto_robot.ground.foreign import ALONE, check_picture, check_shape, in_time
from toto_robot.ground.player import orientation_of, shown_stream, upright

CODECS = {
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}, 30),
    "h264": ("libx264", {"preset": "veryfast", "threads": "1"}, 18),
}
"""{name: (encoder, its options, crf)}. AV1 has the settings of LeRobot."""
GOP = 2  # as in LeRobot: a frame is at most one behind a key frame, so random access is cheap


class VideoWriter:
    """One mp4 that grows by whole episodes."""

    def __init__(self, path: Path, height: int, width: int, fps: Fraction, codec: str, crf: int | None) -> None:
        encoder, options, usual = CODECS[codec]
        if height % 2 or width % 2:
            raise DemoError(f"{codec} in 4:2:0 needs even sides, and frames here are {width}×{height}; use images=png")
        if encoder not in av.codecs_available:
            raise DemoError(f"images={codec}: this build of PyAV has no {encoder}; use images=png")
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its settings otherwise
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.crf, self.count = path, usual if crf is None else crf, 0
        self._container = av.open(f"file:{path}", "w", format="mp4")
        self._stream = cast(av.VideoStream, self._container.add_stream(encoder, rate=fps))
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        self._stream.gop_size = GOP
        self._stream.options = {**options, "crf": str(self.crf), "g": str(GOP)}
        self._step = Fraction(1) / fps

    def write(self, frames: np.ndarray) -> None:
        """Append uint8 (T, H, W, 3)."""
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = self.count, self._step
            self._container.mux(self._stream.encode(picture))
            self.count += 1

    def close(self) -> int:
        """Finish the file; returns its size in bytes."""
        self._container.mux(self._stream.encode())
        self._container.close()
        return self.path.stat().st_size


def has_decoder(path: Path) -> bool:
    """Whether a video of `path` can be decoded here. A file that can't be opened counts: its damage is told later."""
    try:
        with open(path, "rb") as file, av.open(file, "r", options=ALONE, metadata_errors="replace") as container:
            return not container.streams.video or shown_stream(container) is not None
    except (av.error.FFmpegError, OSError, ValueError):
        return True


def read_span(path: Path, start_s: float, fps: float, count: int) -> np.ndarray:
    """`count` frames from `start_s` on, uint8 (count, H, W, 3). DemoError if one is missing or not at its time."""
    try:
        found = in_time(islice(_frames(path, start_s, fps), count), os.path.getsize(path), f"{path}", DemoError)
        frames: list[np.ndarray] = []
        for frame in found:
            if not frames:
                check_shape((count, *frame.shape), 1, f"{path}", DemoError)
            frames.append(frame)
    except FileNotFoundError as error:
        raise DemoError(f"no video {path}; the set is not complete, download it again") from error
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        if isinstance(error, DemoError):
            raise
        raise DemoError(f"{path} does not decode from {start_s:.3f} s on ({error}); download it again") from error
    if len(frames) < count:
        raise DemoError(
            f"{path}: expected {count} frames from {start_s:.3f} s on, got {len(frames)}; download it again"
        )
    return np.stack(frames)


def _frames(path: Path, start_s: float, fps: float) -> Iterator[np.ndarray]:
    """The frames from `start_s` on; DemoError if one is not at its multiple of 1/fps."""
    with open(path, "rb") as file, av.open(file, "r", options=ALONE, metadata_errors="replace") as container:
        stream = shown_stream(container)
        if stream is None:
            raise DemoError(f"{path} holds no video stream; download it again")
        check_picture(stream.height, stream.width, f"{path}", DemoError)
        stream.codec_context.options = {"max_pixels": ALONE["max_pixels"]}
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        if start_s > 0 and stream.time_base:
            container.seek(max(0, int((start_s - 0.5 / fps) / stream.time_base)), stream=stream)
        at = 0
        for picture in container.decode(stream):
            time_s = float(picture.time or 0.0) - start_s
            if time_s < -0.5 / fps:
                continue
            if abs(time_s - at / fps) > 0.25 / fps:
                raise DemoError(
                    f"{path}: expected a frame at {start_s + at / fps:.4f} s, the next is at "
                    f"{start_s + time_s:.4f} s; its times don't fit the set's fps"
                )
            yield upright(picture.to_ndarray(format="rgb24"), orientation_of(picture))
            at += 1


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 arrays in dB; 99 if they are equal."""
    error = np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2)
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))

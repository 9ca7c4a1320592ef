"""Video files to frames with timestamps, and back.

PyAV decodes mp4, webm, mov, gif and every other format of FFmpeg. A video is read once from start to end on one thread
(run one process a core instead), and resized inside swscale. Frames carry their own timestamps, so variable frame rates
need no special case. Rotated and mirrored pictures are turned upright (`toto_robot.ground.player`). A file that is cut
short, or that the decoder can't read, raises VideoError with its name and the reason; it never gives fewer frames
silently.
"""

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path, PurePath
from typing import TypeVar

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import ExifTags, Image

from toto_robot.ground.atomic import atomic_file
from toto_robot.ground.errors import UserError
from toto_robot.ground.foreign import ALONE, check_picture, in_time
from toto_robot.ground.player import declared_end_s, orientation_of, shown_stream
from toto_robot.video.frames import check_frames, crop_picture
from toto_robot.video.items import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Item, media

SLACK_S = 1e-3  # a frame belongs to a span when it starts within this much of its ends


AnyPath = TypeVar("AnyPath", bound=PurePath)


class VideoError(UserError):
    """A video that can't be read or written; the message names the file and the remedy."""


def find_videos(folder, images: bool = False) -> list[Path]:
    """Every video file (and picture, with `images`) under `folder`, sorted by path. Raises UserError for none."""
    root, suffixes = Path(folder), VIDEO_SUFFIXES + (IMAGE_SUFFIXES if images else ())
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"no such folder: {root}; give a folder that holds videos ({', '.join(suffixes)})")
    found = [root / item.name for item in media(root, ("video", "image") if images else ("video",))]
    if not found:
        raise UserError(f"no videos in {root}; expected files that end in {', '.join(suffixes)}")
    return found


def split_held_out(videos: Sequence[AnyPath], share: float) -> tuple[list[AnyPath], list[AnyPath]]:
    """(training, held out): whole videos, chosen by a hash of the file name, so that all commands agree.

    If `share` is above 0 and there are two or more videos, at least one is held out. If it is 0, none is.
    """
    if not 0 <= share < 1:
        raise UserError(f"held_out: expected a share from 0 to below 1, got {share}")
    count = 0 if share == 0 or len(videos) < 2 else max(1, round(share * len(videos)))
    ranked = sorted(videos, key=lambda video: (hashlib.sha256(video.name.encode()).digest(), video))
    held_out = set(ranked[:count])
    return [v for v in videos if v not in held_out], [v for v in videos if v in held_out]


def iter_frames(path, size: int = 128) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (time_s, uint8 (size, size, 3)) of a file or an Item in order of time. Times start at 0 and increase.

    Raises VideoError if the video can't be read from its start to its declared end.
    """
    item = path if isinstance(path, Item) else Item(str(path), "video", 0, 0, str(path))
    last_s, reformatter = None, VideoReformatter()
    try:
        still = _stored_orientation(item) if item.kind == "image" else None
        with item.open() as file, av.open(file, options=ALONE, metadata_errors="replace") as container:
            stream = shown_stream(container)
            if stream is None:
                raise VideoError(f"{item.where} holds no video stream; remove it from the folder or replace it")
            check_picture(stream.height, stream.width, item.where, VideoError)
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            still_only = {"err_detect": "explode"} if item.kind == "image" else {}  # FFmpeg would paint a gap grey
            stream.codec_context.options = {"max_pixels": ALONE["max_pixels"], **still_only}
            frame_s = float(1 / stream.average_rate) if stream.average_rate else 1 / 30
            film = Film(container, stream, item.span_s)
            for time_s, picture in in_time(film, item.bytes, item.where, VideoError):
                # The frame's time, counted from the first one.
                if last_s is None:
                    begins_s = item.span_s[0] if item.span_s else 0.0
                    first_s, last_s = begins_s if time_s is None else time_s, 0.0
                else:  # a repeated or missing timestamp: one frame later
                    later_s = None if time_s is None else time_s - first_s
                    last_s = later_s if later_s is not None and later_s > last_s else last_s + frame_s
                base = picture.time_base
                shown_s = float(picture.duration * base) if picture.duration and base else frame_s
                orientation = orientation_of(picture) if still is None else still
                yield last_s, crop_picture(picture, size, reformatter, orientation)
            # A decoder takes a missing end for the end, so compare with the declared end.
            if last_s is not None and film.breaks_off(first_s + last_s + shown_s):
                wanted_s = film.end_s - (item.span_s[0] if item.span_s else min(first_s, film.end_s))
                raise VideoError(
                    f"{item.where} breaks off after {last_s:.2f} of {wanted_s:.2f} s; download it again or remove it"
                )
    except FileNotFoundError as error:
        raise VideoError(f"no such video: {item.where}; check the path") from error
    except VideoError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, ArithmeticError, MemoryError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
        at = "at its start" if last_s is None else f"after {last_s:.2f} s"
        raise VideoError(f"{item.where} does not decode {at} ({reason}); re-encode it or remove it") from error
    if last_s is None:
        raise VideoError(f"{item.where} holds no frames; re-encode it or remove it")


class Film:
    """The decoded pictures of a stream, or of a span of it, with their own times in seconds. A time may be missing."""

    def __init__(self, container, stream, span_s: tuple[float, float] | None):
        self.container, self.stream, self.span_s = container, stream, span_s
        declared_s, self.own = declared_end_s(container, stream)
        self.end_s = span_s[1] if span_s else declared_s
        """The time at which the span, the stream or the file says that it ends; 0 if nothing says it."""
        self.read_s = 0.0
        """The time at which the last packet ends that was read, of any stream."""

    def __iter__(self) -> Iterator[tuple[float | None, av.VideoFrame]]:
        span_s = self.span_s
        if span_s and span_s[0] > 0:
            self.container.seek(int(span_s[0] / self.stream.time_base), stream=self.stream)  # the keyframe before it
        for packet in self.container.demux():
            if packet.pts is not None:
                ends_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self.read_s = max(self.read_s, ends_s)
            for picture in packet.decode() if packet.stream == self.stream else ():
                if span_s and picture.time is not None:
                    if picture.time < span_s[0] - SLACK_S:
                        continue
                    if picture.time >= span_s[1] - SLACK_S:
                        return
                yield picture.time, picture

    def breaks_off(self, shown_until_s: float) -> bool:
        """Whether pictures are missing at the end. The last one is shown until `shown_until_s`.

        If only the file says when it ends, its sound may be longer than its pictures, so every stream counts.
        """
        ours = self.own or self.span_s is not None
        whole_s = self.end_s - (self.span_s[0] if self.span_s else 0.0)
        return self.end_s - (shown_until_s if ours else max(shown_until_s, self.read_s)) > max(1.0, 0.05 * whole_s)


def _stored_orientation(item: Item) -> int:
    """The EXIF orientation of a picture, 1 to 8. 1 if it has none."""
    try:
        with item.open() as file, Image.open(file) as picture:
            return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        return 1  # FFmpeg decides whether it is a picture


def read_frames(path, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """The whole video: frames uint8 (N, size, size, 3) and times_s float64 (N,). Raises VideoError."""
    pairs = list(iter_frames(path, size))
    return np.stack([frame for _, frame in pairs]), np.array([time_s for time_s, _ in pairs])


def read_image(path, size: int = 128) -> np.ndarray:
    """One picture (a file or an Item: png, jpg, webp, bmp) as uint8 (size, size, 3). Raises VideoError."""
    item = path if isinstance(path, Item) else Item(str(path), "image", 0, 0, str(path))
    frames = iter_frames(item, size)
    picture = next(frames)[1]
    if next(frames, None) is not None:
        raise VideoError(
            f"{item.where} is named like a picture and holds a video; give it a video's suffix or remove it"
        )
    return picture


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
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    with atomic_file(path) as temporary:
        _encode(str(temporary), frames, Fraction(fps).limit_denominator(1000), crf)
    return path


def _encode(path: str, frames: np.ndarray, rate_hz: Fraction, crf: int) -> None:
    with av.open(f"file:{path}", "w", format="mp4") as container:  # a colon names no protocol
        stream = container.add_stream("libx264", rate=rate_hz)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())

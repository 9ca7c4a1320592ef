"""What a video player shows of a file: which of its streams, until when, and which way up.

Every reader of videos and pictures uses this: `toto_robot.video.decode` and the formats of `demos`. An orientation is a
number from 1 to 8, as in EXIF. A video has a display matrix instead, which `orientation_of` turns into such a number.
"""

import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av

TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""EXIF orientation → whether rows and columns are exchanged, and then the rows and the columns reversed."""
ORIENTATIONS = {turns: orientation for orientation, turns in TURNS.items()}
ROTATIONS = {0: 1, 90: 8, 180: 3, 270: 6}
"""Degrees counter-clockwise → EXIF orientation."""


def shown_stream(container: Any) -> Any:
    """The video stream that a player shows. None if there is none: a cover picture is not a video.

    Of several streams it is one with the flag `default`, and of these the one with the largest pictures.
    """
    from av.stream import Disposition

    stills = Disposition.attached_pic | Disposition.timed_thumbnails
    films = [s for s in container.streams.video if s.codec_context is not None and not s.disposition & stills]
    rank = lambda s: (bool(s.disposition & Disposition.default), (s.width or 0) * (s.height or 0))
    return max(films, key=rank, default=None)  # the first one of equal rank


def declared_end_s(container: Any, stream: Any) -> tuple[float, bool]:
    """(the time at which the file says that it ends, whether it says so of this stream). 0 if it does not say it.

    The time is on the stream's own clock, which may begin after 0. Matroska's tag DURATION is the end of a track. With
    mkvmerge's statistics beside it, the tag is the track's length. The name of a tag may end in a language.
    """
    start_s = float((stream.start_time or 0) * stream.time_base)
    if stream.duration:
        return start_s + float(stream.duration * stream.time_base), True
    tags = {name.split("-")[0].upper(): value for name, value in stream.metadata.items()}
    if tag := re.match(r"(\d+):(\d+):(\d+(\.\d*)?)", tags.get("DURATION", "")):
        seconds = 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
        return seconds + (start_s if "_STATISTICS_TAGS" in tags else 0.0), True
    return (container.duration or 0) / 1e6, False


def orientation_of(picture: "av.VideoFrame") -> int:
    """The EXIF orientation that the display matrix of a decoded picture asks for. 1 without a matrix.

    The nearest of the eight is taken. PyAV 18 can't list side data that are newer than itself. Then a mirrored matrix
    counts as its rotation.
    """
    try:
        sides: Any = picture.side_data
        matrix = sides.get("DISPLAYMATRIX")
    except ValueError:
        return ROTATIONS[round(picture.rotation / 90) % 4 * 90]
    if matrix is None:
        return 1
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])  # x' = a x + c y, y' = b x + d y
    exchanged = abs(b) + abs(c) > abs(a) + abs(d)
    right, down = (c, b) if exchanged else (a, d)
    return ORIENTATIONS[exchanged, down < 0, right < 0]


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W, ...) as a viewer shows a picture of this EXIF orientation. 5 to 8 give (W, H, ...)."""
    exchanged, rows, columns = TURNS.get(orientation, TURNS[1])
    pixels = pixels.swapaxes(0, 1) if exchanged else pixels
    return np.ascontiguousarray(pixels[:: -1 if rows else 1, :: -1 if columns else 1])

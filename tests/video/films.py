"""Small videos with the oddities of people's files: streams that begin late, sound, covers, display matrices."""

import struct
from fractions import Fraction

import av
import numpy as np
from av.stream import Disposition

FPS = 10
PALETTE = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}


def quarters(side=64):
    """A picture uint8 (side, side, 3) with four colours: red, green / blue, white."""
    corners = np.array([[PALETTE["R"], PALETTE["G"]], [PALETTE["B"], PALETTE["W"]]], np.uint8)
    return corners.repeat(side // 2, 0).repeat(side // 2, 1)


def corners(frame):
    """The colours of the four quarters of a frame, e.g. RGBW for `quarters`."""
    h, w = frame.shape[:2]
    spots = [(h // 4, w // 4), (h // 4, 3 * w // 4), (3 * h // 4, w // 4), (3 * h // 4, 3 * w // 4)]
    return "".join(min(PALETTE, key=lambda k: np.abs(np.array(PALETTE[k]) - frame[s].astype(int)).sum()) for s in spots)


def write_film(path, frames, start=0, sound_s=0.0, tags=None, own_duration=True, before=None, codec="libx264"):
    """Write `frames` from frame number `start` on.

    sound_s: seconds of silence from 0 on. tags: of the video stream. own_duration=False removes Matroska's DURATION of
    the muxer. before: frames of another video stream, which comes first and does not have the flag `default`.
    """
    with av.open(str(path), "w") as out:
        packets, streams = [], []
        for shown, flag in ((before, Disposition(0)), (frames, Disposition.default)):
            if shown is None:
                continue
            stream = out.add_stream(codec, rate=FPS)
            stream.height, stream.width = shown.shape[1:3]
            stream.pix_fmt, stream.disposition = "yuv444p" if codec == "libx264" else "yuv420p", flag
            streams.append((stream, shown))
        streams[-1][0].metadata.update(tags or {})
        sound = out.add_stream("aac", rate=48000) if sound_s else None
        for stream, shown in streams:
            for i, pixels in enumerate(shown):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame.pts, frame.time_base = start + i, Fraction(1, FPS)
                packets += stream.encode(frame)
            packets += stream.encode()
        for at in range(0, round(sound_s * 48000), 1024):
            part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = 48000, at, Fraction(1, 48000)
            packets += sound.encode(part)
        packets += sound.encode() if sound else []
        out.mux(sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)))
    if not own_duration:
        path.write_bytes(path.read_bytes().replace(b"DURATIOND\x87", b"XURATIOND\x87"))  # the tags without a language
    return path


def with_display_matrix(path, a, b, c, d):
    """Change the display matrix of an mp4: x' = a x + c y, y' = b x + d y."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""EXIF orientation → the display matrix (a, b, c, d) that says the same."""

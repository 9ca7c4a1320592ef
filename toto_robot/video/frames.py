"""The one place for pixel ranges, resizing and cropping.

A frame is RGB uint8 (H, W, 3). Models see float32 NCHW in [0, 1]. Nothing else in the project scales pixels or crops a
picture. Therefore a frame of a camera, a simulator or a video file looks the same to the encoder.
"""

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from toto_robot.ground.errors import UserError
from toto_robot.ground.player import upright


def check_frames(frames, *, size: int | None = None, what: str = "frames") -> None:
    """Raise UserError unless `frames` is uint8 (..., H, W, 3); `size` asks for H = W = size."""
    dtype, shape = getattr(frames, "dtype", type(frames).__name__), tuple(getattr(frames, "shape", ()))
    if str(dtype) not in ("uint8", "torch.uint8"):
        raise UserError(
            f"{what}: expected uint8 pixels in 0..255, got {dtype}; "
            "scale floats by 255, round, and convert to uint8 first"
        )
    if len(shape) < 3 or shape[-1] != 3 or 0 in shape:
        hint = "; this looks channels-first, move the channels last" if 3 in shape[-3:-1] and shape[-1] != 3 else ""
        raise UserError(f"{what}: expected shape (..., height, width, 3), got {shape}{hint}")
    if size is not None and shape[-3:-1] != (size, size):
        raise UserError(
            f"{what}: expected {size}×{size} pixels, got {shape[-3]}×{shape[-2]}; "
            "use toto_robot.video.frames.resize_center_crop, or encoder.crop=centre in a command"
        )


def to_float01(frames) -> torch.Tensor:
    """uint8 (..., H, W, 3), NumPy or torch, to float32 (..., 3, H, W) in [0, 1]."""
    check_frames(frames)
    if isinstance(frames, np.ndarray) and not frames.flags.writeable:
        frames = frames.copy()  # torch can't share memory that must not be written to
    x = torch.as_tensor(frames)
    return x.movedim(-1, -3).float().div_(255.0)


EXPOSURE = 0.5
"""The value to which the canonical exposure brings the middle of each channel."""


def exposure_gains(x: torch.Tensor) -> torch.Tensor:
    """Gain of each channel (B, 3) that brings frames float [0, 1] (B, 3, H, W) to one exposure and white balance.

    With it the mean of the middle half of a channel's values is 0.5. The values are means of 4×4 pixels, so noise does
    not count. The quarters at both ends do not count, so a small bright or dark object hardly moves the gain. A gain is
    between 1/4 and 6.
    """
    blocks = torch.nn.functional.avg_pool2d(x, 4).flatten(2).sort(-1).values
    count = blocks.shape[-1]
    middle = blocks[..., count // 4 : max(count // 4 + 1, 3 * count // 4)].mean(-1)
    return (EXPOSURE / middle.clamp_min(1e-3)).clamp(0.25, 6.0)


def with_gains(x: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Frames float [0, 1] (B, 3, H, W) times `gains` (B, 3), clipped to [0, 1]."""
    return (x * gains[..., None, None]).clamp(0, 1)


def to_uint8(x: torch.Tensor) -> torch.Tensor:
    """float (..., 3, H, W) in [0, 1] to uint8 (..., H, W, 3), rounded; values outside are clipped."""
    return x.mul(255.0).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1).contiguous()


def resize_center_crop(frame: np.ndarray, size: int = 128) -> np.ndarray:
    """One uint8 (H, W, 3) frame to (size, size, 3): scale the shorter side to `size` (Lanczos), crop the centre."""
    check_frames(frame)
    if frame.ndim != 3:
        raise UserError(
            f"expected one frame (height, width, 3), got shape {tuple(frame.shape)}. Resize frames one by one."
        )
    if frame.shape[:2] == (size, size):
        return np.ascontiguousarray(frame)
    return crop_picture(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"), size)


def lower_square(frame: np.ndarray, share: float = 448 / 480) -> np.ndarray:
    """MVP's crop of a uint8 (H, W, 3) frame: a square at the bottom, in the middle of the width.

    Its side is `share` of the height (448 of 480 rows), or the width if the frame is narrower. It leaves the far end of
    the scene out.
    """
    check_frames(frame)
    height, width = frame.shape[:2]
    side = min(round(height * share), width)
    return frame[height - side :, middle(width, side)]


def middle(length: int, size: int) -> slice:
    """The `size` pixels in the middle of `length`."""
    start = (length - size) // 2
    return slice(start, start + size)


def scaled_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """(height, width) scaled until the shorter side is `size`."""
    scale = size / min(height, width)
    return max(size, round(height * scale)), max(size, round(width * scale))


def scaled_square(x: torch.Tensor, size: int) -> torch.Tensor:
    """float (B, 3, H, W) to (B, 3, size, size): scale the shorter side (bilinear, antialiased), crop the centre."""
    if x.shape[-2:] == (size, size):
        return x
    height, width = scaled_shape(x.shape[-2], x.shape[-1], size)
    x = torch.nn.functional.interpolate(x, (height, width), mode="bilinear", antialias=True)
    return x[..., middle(height, size), middle(width, size)]


def crop_picture(
    picture: av.VideoFrame, size: int, reformatter: VideoReformatter | None = None, orientation: int = 1
) -> np.ndarray:
    """A decoded picture of any pixel format to uint8 RGB (size, size, 3), upright, resized inside swscale.

    Pass the same `reformatter` for all pictures of a video, so that its filters are made once. Phones store a picture
    as the sensor saw it, and an EXIF `orientation` (1 to 8) beside it. The crop is square, so it is turned last.
    """
    height, width = scaled_shape(picture.height, picture.width, size)
    reformatter = reformatter or VideoReformatter()
    rgb = reformatter.reformat(
        picture, width=width, height=height, format="rgb24", interpolation="LANCZOS"
    ).to_ndarray()
    square = rgb[middle(height, size), middle(width, size)]
    return upright(square, orientation)

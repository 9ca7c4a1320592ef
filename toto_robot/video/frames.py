"""The one place for pixel ranges, resizing and cropping.

A frame is RGB uint8 (H, W, 3). Models see float32 NCHW in [0, 1]. Nothing else in the project
scales pixels or crops a picture, so a camera, a simulator and a video file meet the same encoder.
"""

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from toto_robot.ground.errors import UserError


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
"""Where the canonical exposure puts the middle of each channel."""


def exposure_gains(x: torch.Tensor) -> torch.Tensor:
    """Factor of each channel (B, 3) that brings frames float [0, 1] (B, 3, H, W) to the canonical exposure and white balance.

    With it the mean of the middle half of a channel's values is 0.5. The values are means of 4×4 pixels, so noise does not
    count; the quarters at both ends do not count either, so a small bright or dark object hardly moves the gain. A gain is
    from 1/4 to 6.
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
    """One uint8 (H, W, 3) frame to (size, size, 3): shortest side to `size` (Lanczos), centre crop."""
    check_frames(frame)
    if frame.ndim != 3:
        raise UserError(
            f"expected one frame (height, width, 3), got shape {tuple(frame.shape)}; resize frames one by one"
        )
    if frame.shape[:2] == (size, size):
        return np.ascontiguousarray(frame)
    return crop_picture(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"), size)


def lower_square(frame: np.ndarray, share: float = 448 / 480) -> np.ndarray:
    """The square of `share` of the height at the bottom of a uint8 (H, W, 3) frame, in the middle of its width: MVP's
    crop (448 of 480 rows), which leaves the far end of the scene out. Of a frame narrower than that, as wide as it
    is."""
    check_frames(frame)
    height, width = frame.shape[:2]
    side = min(round(height * share), width)
    left = (width - side) // 2
    return frame[height - side :, left : left + side]


def crop_picture(picture: av.VideoFrame, size: int, reformatter: VideoReformatter | None = None) -> np.ndarray:
    """A decoded picture of any pixel format to uint8 RGB (size, size, 3), upright; resized inside swscale.

    One `reformatter` for all pictures of a video saves making its filters for each. Phones store video as the sensor
    lies and a rotation beside it. The crop is square, so it is turned last.
    """
    scale = size / min(picture.width, picture.height)
    width, height = max(size, round(picture.width * scale)), max(size, round(picture.height * scale))
    reformatter = reformatter or VideoReformatter()
    rgb = reformatter.reformat(
        picture, width=width, height=height, format="rgb24", interpolation="LANCZOS"
    ).to_ndarray()
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(np.rot90(rgb[top : top + size, left : left + size], round(picture.rotation / 90)))

"""The numbers of a lens, and how a crop changes them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toto_robot.video.frames import lower_square

CROPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"center": lambda rgb: rgb, "lower": lower_square}
"""What is kept before the square in the middle is cut out: everything, or MVP's lower 448 of 480 rows. Views of the
picture."""
CROP_WORDS = {"center": "centre", "lower": "lower"}
"""The names of the crops in a policy's description (`envs.interface.CROPS`)."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole with lens distortion, for pictures of `width` × `height` pixels. A pixel's centre is at whole
    numbers."""

    width: int
    height: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, ...] = (0.0,) * 5
    """OpenCV's k1, k2, p1, p2, k3."""

    @classmethod
    def of_fovy(cls, fovy_deg: float, size: int) -> "Intrinsics":
        """The lens of a square picture that MuJoCo draws."""
        f_px, middle_px = size / (2 * math.tan(math.radians(fovy_deg) / 2)), (size - 1) / 2
        return cls(size, size, f_px, f_px, middle_px, middle_px)

    @property
    def fovy_deg(self) -> float:
        """Vertical field of view, as MuJoCo's `fovy`. It ignores distortion."""
        return math.degrees(2 * math.atan(self.height / (2 * self.fy_px)))

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) camera matrix, pixels."""
        return np.array([[self.fx_px, 0, self.cx_px], [0, self.fy_px, self.cy_px], [0, 0, 1.0]])

    def cropped(self, crop: str, size: int) -> "Intrinsics":
        """The lens of the picture after `CROPS[crop]`, the square in its middle, and the resize to `size`."""
        whole = np.empty((self.height, self.width, 3), np.uint8)
        cut = CROPS[crop](whole)
        top, left = divmod((cut.ctypes.data - whole.ctypes.data) // 3, self.width)  # where the view begins
        side = min(cut.shape[:2])
        top, left, scale = top + (cut.shape[0] - side) / 2, left + (cut.shape[1] - side) / 2, size / side
        # The corner of the picture is half a pixel from the centre of its first pixel.
        return Intrinsics(
            size,
            size,
            self.fx_px * scale,
            self.fy_px * scale,
            (self.cx_px + 0.5 - left) * scale - 0.5,
            (self.cy_px + 0.5 - top) * scale - 0.5,
            self.distortion,
        )

"""Pictures with a number in their pixels, so a test knows which frame it got."""

import numpy as np


def picture(number: int, height: int = 96, width: int = 128) -> np.ndarray:
    """uint8 (height, width, 3), flat: 10 grey levels a number (of 25), far enough apart to survive a video codec."""
    return np.full((height, width, 3), 10 * (number % 25) + 5, np.uint8)


def number(rgb: np.ndarray) -> int:
    return round((float(rgb.mean()) - 5) / 10)

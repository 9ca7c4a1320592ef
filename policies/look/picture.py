"""What a picture looks like, whatever it shows, in ten numbers: exposure, colour, sharpness and noise."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
STEP = 1 / 255
"""One grey level. It makes the logarithm of black finite."""
NORMAL_MEDIAN = 0.6745
"""Median of |x| for a standard normal x."""


class Number(NamedTuple):
    """One of the numbers of a picture."""

    group: str
    """The statistic that it belongs to."""
    said: str
    """Its name, for people."""
    floor: float
    """A smaller standard deviation means nothing: rendering differs by this much between machines."""
    shown: Callable[[float], float]
    """Turns the number into what people are shown."""


NUMBERS = (
    Number("exposure", "mean grey level", 0.005, lambda x: 255 * np.exp(x)),
    Number("exposure", "grey level of the darkest tenth", 0.015, lambda x: 255 * np.exp(x)),
    Number("exposure", "grey level of the brightest tenth", 0.005, lambda x: 255 * np.exp(x)),
    Number("exposure", "contrast in grey levels", 0.0025, lambda x: 255 * x),
    Number("colour", "red to green", 0.005, np.exp),
    Number("colour", "blue to green", 0.005, np.exp),
    Number("colour", "red to green in the bright parts", 0.005, np.exp),
    Number("colour", "blue to green in the bright parts", 0.005, np.exp),
    Number("sharpness", "edges in grey levels", 0.025, lambda x: 255 * np.exp(x)),
    Number("noise", "noise in grey levels", 0.25, lambda x: x),
)
"""Ratios and levels are logarithms, so that half the light and twice the light are equally far away."""
GROUPS = tuple(dict.fromkeys(number.group for number in NUMBERS))


def columns(group: str) -> list[int]:
    """The indices of the numbers of `group`."""
    return [i for i, number in enumerate(NUMBERS) if number.group == group]


def picture_numbers(frames: np.ndarray) -> np.ndarray:
    """`NUMBERS` of each of `frames` uint8 (N, H, W, 3), as float64 (N, 10)."""
    return np.array([_numbers(frame) for frame in frames], np.float64).reshape(len(frames), len(NUMBERS))


def _numbers(frame: np.ndarray) -> list[float]:
    rgb = np.asarray(frame, np.float32) / 255
    grey = rgb @ LUMA
    dark, bright, brightest = np.quantile(grey, [0.1, 0.75, 0.9])
    level = float(grey.mean(dtype=np.float64))
    of_all = rgb.reshape(-1, 3).mean(0, dtype=np.float64)
    of_bright = rgb[grey >= bright].mean(0, dtype=np.float64)
    return [
        *(float(np.log(x + STEP)) for x in (level, dark, brightest)),
        float(grey.std(dtype=np.float64)),
        *_ratios(of_all),
        *_ratios(of_bright),
        float(np.log(_edges(grey) + STEP)),
        _noise(grey),
    ]


def _ratios(rgb: np.ndarray) -> tuple[float, float]:
    """Red to green and blue to green, as logarithms."""
    red, green, blue = np.log(rgb + STEP)
    return float(red - green), float(blue - green)


def _edges(grey: np.ndarray) -> float:
    """Standard deviation of the Laplacian. It falls when a picture is blurred."""
    inner = grey[1:-1, 1:-1]
    return float(
        (4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]).std(dtype=np.float64)
    )


def _noise(grey: np.ndarray) -> float:
    """Standard deviation of the sensor's noise in grey levels, from one picture (Immerkær 1996, with the median instead
    of the mean, so that edges don't count). For noise of σ the mask's answer is 6 σ."""
    rows = grey[:-2] - 2 * grey[1:-1] + grey[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.median(np.abs(both)) / NORMAL_MEDIAN / 6 * 255)

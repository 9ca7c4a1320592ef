"""What is wrong with the frames of a clip: black frames, frames that repeat the one before, and hard cuts.

The measures and their limits are those of FFmpeg's filters blackdetect, freezedetect and scdet, on the clip's frames,
which are further apart than a video's. scdet compares a jump with the one before it, so fast motion that begins looks
like a cut. Here a cut stands out from the jumps on both sides.

On the arrow: video → frames → here → the description of a row in the token store.
"""

from dataclasses import asdict, dataclass

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Rec. 601, from RGB."""
DARK, DARK_SHARE = 0.1, 0.98
"""A black frame has this share of pixels below this brightness (blackdetect's pixel_black_th and
picture_black_ratio_th)."""
FROZEN = 0.001
"""A frozen frame differs from the one before by less than this on average, of 1 (freezedetect: noise)."""
CUT = 0.1
"""At a cut, the average difference of two frames exceeds those before and after it by this much, of 1 (scdet: 10 %)."""


@dataclass(frozen=True)
class Flaws:
    """The flaws of one clip of F frames."""

    black: int = 0
    """Black frames."""
    frozen: int = 0
    """Frames that are equal to the frame before them."""
    cuts: int = 0
    """Hard cuts between two frames."""

    def found(self) -> dict[str, int]:
        """Those that are not zero, by name."""
        return {name: count for name, count in asdict(self).items() if count}


def flaws(frames: np.ndarray) -> Flaws:
    """The flaws of a clip uint8 (F, H, W, 3)."""
    luma = (frames @ LUMA) / 255
    black = ((luma < DARK).mean((1, 2)) >= DARK_SHARE).sum()
    if len(frames) < 2:
        return Flaws(black=int(black))
    differences = np.abs(np.diff(luma, axis=0)).mean((1, 2))  # (F - 1,)
    around = np.pad(differences, 1)
    beside = np.maximum(around[:-2], around[2:])
    return Flaws(int(black), int((differences < FROZEN).sum()), int((differences - beside >= CUT).sum()))

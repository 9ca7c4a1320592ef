"""Encoded pictures in foreign sets. Their size is checked before they are decoded.

On the arrow: the importers of RLDS and LeRobot decode every picture here.
"""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from demos.errors import DemoError
from toto_robot.ground.foreign import check_picture, check_shape, in_time, within_memory


def decode(data: bytes | memoryview, where: str) -> np.ndarray:
    """A JPEG or PNG picture as a viewer shows it, uint8 (H, W, 3)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # check_picture has the limit
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
                check_picture(picture.height, picture.width, where, DemoError)
                with within_memory(16 * picture.height * picture.width):
                    return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except DemoError:
        raise
    except Exception as error:  # a damaged picture makes Pillow raise anything
        raise DemoError(f"{where}: a picture does not decode ({error}); download it again") from error


def decode_all(encoded: Sequence[bytes | memoryview], where: str) -> np.ndarray:
    """Pictures of one size, uint8 (T, H, W, 3). DemoError if they have several, or are too large together."""
    first = decode(encoded[0], where)
    check_shape((len(encoded), *first.shape), 1, where, DemoError)
    frames = np.empty((len(encoded), *first.shape), np.uint8)
    size = sum(map(len, encoded))
    for at, frame in enumerate(in_time((decode(data, where) for data in encoded), size, where, DemoError)):
        if frame.shape != first.shape:
            raise DemoError(f"{where}: expected pictures of one size, got {sorted({first.shape, frame.shape})}")
        frames[at] = frame
    return frames

import numpy as np
import pytest
from PIL import Image, ImageOps

from toto_robot.ground.player import upright


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_pillow_turns_it(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    want = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    np.testing.assert_array_equal(upright(pixels, orientation), want)


def test_an_orientation_that_does_not_exist_changes_nothing():
    pixels = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(upright(pixels, 0), pixels)
    np.testing.assert_array_equal(upright(pixels, 99), pixels)

import numpy as np
import pytest
import torch

from toto_robot.ground.errors import UserError
from toto_robot.video.frames import check_frames, resize_center_crop, to_float01, to_uint8


def test_pixels_survive_the_way_to_floats_and_back():
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    x = to_float01(frames)
    assert x.shape == (3, 3, 16, 24) and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
    assert np.array_equal(to_uint8(x).numpy(), frames)


def test_frames_that_must_not_be_written_to_are_accepted():
    frames = np.zeros((1, 8, 8, 3), np.uint8)
    frames.flags.writeable = False
    assert to_float01(frames).sum() == 0


def test_a_frame_of_the_right_size_is_left_as_it_is():
    frame = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert np.array_equal(resize_center_crop(frame), frame)


@pytest.mark.parametrize("height, width", [(97, 131), (240, 320), (720, 405), (40, 40), (128, 500)])
def test_the_crop_is_square_and_central(height, width):
    frame = np.zeros((height, width, 3), np.uint8)
    frame[height // 2 - 3 : height // 2 + 3, width // 2 - 3 : width // 2 + 3] = 255
    crop = resize_center_crop(frame, 128).astype(float).sum(-1)
    assert crop.shape == (128, 128)
    centre = [(crop.sum(axis) * np.arange(128)).sum() / crop.sum() for axis in (0, 1)]
    assert np.allclose(centre, 63.5, atol=128 / min(height, width) * 0.6 + 0.5)


@pytest.mark.parametrize(
    "frames, says",
    [
        (np.zeros((2, 8, 8, 3), np.float32), "uint8"),
        (np.zeros((2, 8, 8, 4), np.uint8), "shape"),
        (np.zeros((2, 3, 8, 8), np.uint8), "channels-first"),
        (np.zeros((0, 8, 8, 3), np.uint8), "shape"),
        (np.zeros((8, 8), np.uint8), "shape"),
        ("no array", "uint8"),
    ],
)
def test_wrong_frames_are_named_in_one_sentence(frames, says):
    with pytest.raises(UserError, match=says) as error:
        check_frames(frames)
    assert "\n" not in str(error.value) and "expected" in str(error.value)


def test_a_wrong_size_is_named_with_the_remedy():
    with pytest.raises(UserError, match="resize_center_crop"):
        check_frames(np.zeros((1, 64, 128, 3), np.uint8), size=128)

"""Photometric jitter: each change does what its name says, and a seed decides all of it."""

import numpy as np
import pytest

from toto_robot.ground.errors import UserError
from toto_robot.video.jitter import MEASURED, JitterConfig, blurred, compressed, exposed, jittered, noisy

FRAMES = np.random.default_rng(0).integers(40, 200, (2, 32, 32, 3)).astype(np.uint8)


def test_exposure_scales_and_clips():
    np.testing.assert_array_equal(exposed(FRAMES, 1.0), FRAMES)
    bright = exposed(FRAMES, 2.0)
    np.testing.assert_array_equal(bright, np.clip(FRAMES.astype(int) * 2, 0, 255))
    tinted = exposed(FRAMES, np.array([1.0, 0.5, 0.0]))
    assert (tinted[..., 0] == FRAMES[..., 0]).all() and tinted[..., 2].max() == 0


def test_noise_has_the_deviation_that_was_asked_for():
    flat = np.full((1, 64, 64, 3), 128, np.uint8)
    assert abs(noisy(flat, 8, np.random.default_rng(0)).std() - 8) < 0.3


def test_blur_smooths_and_keeps_the_mean():
    soft = blurred(FRAMES, 1.0)
    assert soft.std() < 0.6 * FRAMES.std() and abs(soft.mean() - FRAMES.mean()) < 1.5


def test_jpeg_changes_little_at_high_quality_and_more_at_low():
    smooth = blurred(FRAMES, 2.0).astype(int)
    errors = [np.abs(compressed(smooth.astype(np.uint8), q) - smooth).mean() for q in (95, 20)]
    assert 0 < errors[0] < errors[1] < 20


def test_a_seed_decides_the_jitter_and_no_share_means_no_change():
    frame, config = FRAMES[0], JitterConfig(share=1.0)
    one, two, other = (jittered(frame, config, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any() and (one != frame).any()
    np.testing.assert_array_equal(jittered(frame, JitterConfig(share=0.0), np.random.default_rng(0)), frame)


@pytest.mark.parametrize("name", MEASURED)
def test_every_measured_jitter_keeps_shape_and_type_and_changes_pixels(name):
    out = MEASURED[name](FRAMES, np.random.default_rng(0))
    assert out.dtype == np.uint8 and out.shape == FRAMES.shape and (out != FRAMES).any()


@pytest.mark.parametrize("keys", [{"share": 1.5}, {"noise_std": -1}, {"jpeg": 99}])
def test_what_can_not_be_is_refused(keys):
    with pytest.raises(UserError, match=f"jitter.{next(iter(keys))}"):
        JitterConfig(**keys)

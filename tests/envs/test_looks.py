"""The looks of training and the looks of evaluation never meet."""

import numpy as np
import pytest

from envs.appearance import NOMINAL, SHIFTS, Appearance, shifted
from envs.errors import EnvError
from envs.looks import TRAINING, aspects_of_evaluation, training_look
from envs.natural import natural_texture


@pytest.mark.parametrize("name", TRAINING)
def test_no_training_look_is_one_that_an_evaluation_draws(name):
    rng = np.random.default_rng(0)
    for _ in range(400):
        assert not aspects_of_evaluation(training_look(name, rng))


@pytest.mark.parametrize("shift", SHIFTS)
def test_every_look_of_an_evaluation_is_known_as_one(shift):
    asked = set(SHIFTS) - {"all"} if shift == "all" else {shift}
    for seed in range(200):
        assert aspects_of_evaluation(shifted(shift, np.random.default_rng(seed))) == asked


def test_mixed_is_nominal_near_nominal_and_wide_in_thirds():
    rng = np.random.default_rng(1)
    looks = [training_look("mixed", rng) for _ in range(600)]
    nominal = sum(look == NOMINAL for look in looks) / 600
    textured = sum(look.table_texture is not None or look.floor_texture is not None for look in looks) / 600
    assert 0.28 < nominal < 0.42 and 0.2 < textured < 0.34  # a few of the wide ones are plain


def test_a_look_is_a_function_of_its_generator_and_an_unknown_name_is_refused():
    one, other = (training_look("wide", np.random.default_rng(5)) for _ in range(2))
    assert isinstance(one, Appearance) and one == other
    with pytest.raises(EnvError, match="mixed, near_nominal, nominal, wide"):
        training_look("wild", np.random.default_rng(0))


def test_natural_textures_tile_and_their_spectrum_falls_as_in_photographs():
    textures = np.stack([natural_texture(np.random.default_rng(seed)) for seed in range(200)])
    assert textures.shape == (200, 64, 64, 3) and textures.dtype == np.uint8
    grey = textures.astype(float).mean(-1)
    seam, inside = abs(grey[:, 0] - grey[:, -1]).mean(), abs(np.diff(grey, axis=1)).mean()
    assert seam < 1.2 * inside  # the edge is no more of a step than any other row
    power = (abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))) ** 2).mean(0)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(64, 1 / 64), np.fft.fftfreq(64, 1 / 64)))
    rings = [power[(radius >= r - 0.5) & (radius < r + 0.5)].mean() for r in range(2, 24)]
    slope = np.polyfit(np.log(range(2, 24)), np.log(rings), 1)[0]
    assert -3.0 < slope < -1.4  # the power of photographs falls with about the square of the frequency


def test_on_a_natural_table_the_object_nearly_keeps_its_colour():
    rng, kept = np.random.default_rng(2), []
    while len(kept) < 40:
        look = training_look("wide", rng)
        if look.table_texture is not None:
            kept.append(np.abs(np.subtract(look.object_rgb, NOMINAL.object_rgb)).max() <= 0.15)
    assert np.mean(kept) > 0.5

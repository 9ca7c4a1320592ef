"""Properties of random looks, over many draws."""

from collections import Counter

import numpy as np
import pytest

from envs.appearance import NOMINAL, near, randomised


def looks(clutter, count=2000):
    return [randomised(np.random.default_rng(seed), clutter) for seed in range(count)]


def test_half_of_the_random_looks_are_without_noise_and_every_one_has_its_exposure():
    drawn = looks(clutter=False)
    noise = np.array([look.noise_std for look in drawn])
    assert abs((noise == 0).mean() - 0.5) < 0.05 and 5 < noise[noise > 0].mean() < 7 and noise.max() <= 12
    assert all(0.8 <= look.gain <= 1.2 and look.gain != 1 and not look.distractors for look in drawn)


def test_cluttered_looks_have_boxes_and_the_nominal_sensor():
    drawn = looks(clutter=True)
    assert all((look.noise_std, look.gain) == (NOMINAL.noise_std, NOMINAL.gain) for look in drawn)
    assert set(Counter(len(look.distractors) for look in drawn)) == {0, 1, 2, 3}


@pytest.mark.parametrize("clutter", [False, True])
def test_a_look_is_a_function_of_its_seed(clutter):
    one, two = (randomised(np.random.default_rng(7), clutter) for _ in range(2))
    assert one == two and one != randomised(np.random.default_rng(8), clutter)


def test_a_near_look_moves_colours_and_light_and_leaves_textures_and_camera():
    base = randomised(np.random.default_rng(1), clutter=True)
    drawn = [near(base, np.random.default_rng(seed)) for seed in range(200)]
    for look in drawn:
        assert look.table_texture is base.table_texture and look.distractors == base.distractors
        assert (look.camera_shift_m, look.camera_turn_rad, look.fovy_scale) == (
            base.camera_shift_m,
            base.camera_turn_rad,
            base.fovy_scale,
        )
        assert np.abs(np.array(look.table_rgb) - base.table_rgb).max() <= 0.16 and look != base
    assert len({look.light_pos_m for look in drawn}) > 150


def test_the_nominal_look_has_no_near_look_because_evaluation_draws_those():
    assert near(NOMINAL, np.random.default_rng(0)) == NOMINAL

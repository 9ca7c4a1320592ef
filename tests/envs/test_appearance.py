"""What random looks hold, over many draws."""

from collections import Counter

import numpy as np
import pytest

from envs.appearance import NOMINAL, randomised


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

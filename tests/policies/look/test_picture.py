"""Each number of a picture follows the property that it is named after, and hardly any other."""

import numpy as np
import pytest

from policies.look.picture import GROUPS, NUMBERS, columns, picture_numbers

RNG = np.random.default_rng(0)
BASE = np.clip(60 + 80 * np.kron(RNG.random((8, 8, 3)), np.ones((16, 16, 1))), 0, 255)


def moved(picture):
    """How far each group moved from the plain picture."""
    plain, other = picture_numbers(np.stack([BASE, np.clip(picture, 0, 255)]).astype(np.uint8))
    return {group: np.abs(other - plain)[columns(group)].max() for group in GROUPS}


def blurred(x):
    return (x + sum(np.roll(x, d, a) for a in (0, 1) for d in (-1, 1))) / 5


@pytest.mark.parametrize(
    "change, group, least",
    [
        (lambda x: 0.7 * x, "exposure", 0.3),
        (lambda x: x * (1.2, 1, 1), "colour", 0.15),
        (blurred, "sharpness", 0.3),
        (lambda x: x + RNG.normal(0, 8, x.shape), "noise", 3),
    ],
)
def test_a_change_shows_in_its_own_number(change, group, least):
    assert moved(change(BASE))[group] > least


def test_half_the_light_is_no_other_colour():
    assert moved(0.5 * BASE)["colour"] < 0.02


@pytest.mark.parametrize("std", [2.0, 8.0])
def test_noise_is_measured_in_grey_levels_and_edges_are_none(std):
    noise = columns("noise")
    grey = np.repeat(BASE[..., :1], 3, 2)  # one noise for the three channels, so it is the grey picture's own
    pictures = np.stack([grey, grey + RNG.normal(0, std, (128, 128, 1))])
    plain, noisy = picture_numbers(np.clip(pictures, 0, 255).astype(np.uint8))[:, noise]
    assert plain < 0.1 and noisy == pytest.approx(std, rel=0.15)


def test_black_and_white_pictures_have_finite_numbers():
    numbers = picture_numbers(np.stack([np.zeros((32, 32, 3)), np.full((32, 32, 3), 255)]).astype(np.uint8))
    assert numbers.shape == (2, len(NUMBERS)) and np.isfinite(numbers).all()
    assert picture_numbers(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, len(NUMBERS))

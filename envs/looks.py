"""The looks that policies are trained on, apart from the looks that they are judged by.

`appearance.shifted` draws the looks of an evaluation, out of ranges around the nominal look. The functions here draw
the looks of training. Every aspect of such a look (colours, light, camera, sensor) is either nominal or outside the
ranges of the evaluation. So no training look is an evaluation look. The video for pre-training has looks of its own
(`appearance.randomised`).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from envs.appearance import (
    CAMERA_SCALE,
    COLOUR_MOVE,
    COLOURS,
    GAIN,
    LIGHT_SCALE,
    NOISE_STD,
    NOMINAL,
    Appearance,
    camera_look,
    light_look,
    moved_colours,
    randomised,
)
from envs.errors import EnvError
from envs.natural import natural_texture
from toto_robot.ground.errors import unknown

TRAINING = ("nominal", "near_nominal", "wide", "mixed")
"""Names of training looks; mixed draws one of the other three."""
CAMERA_M, CAMERA_RAD, CAMERA_FOVY = 0.01 * CAMERA_SCALE, 0.05 * CAMERA_SCALE, 0.04 * CAMERA_SCALE
"""An evaluation moves the camera, turns it, and scales its field of view by at most this much."""
LIGHT_X_M, LIGHT_Y_M = (0.5 - LIGHT_SCALE, 0.5 + LIGHT_SCALE), 1.2 * LIGHT_SCALE
"""An evaluation's lamp stands inside this rectangle, |y| below the second."""
NATURAL = 0.7
"""Share of the textures of a wide look that have the statistics of photographs."""
ABOUT_NOISE = 1.0
"""Grey levels around an evaluation's noise that look like it."""


def aspects_of_evaluation(look: Appearance) -> set[str]:
    """The aspects of `look` that an evaluation could have drawn: those inside its ranges and not nominal."""
    colours = np.array([getattr(look, name) for name in COLOURS]) - [getattr(NOMINAL, name) for name in COLOURS]
    x, y, _ = look.light_pos_m
    lit = (look.light_pos_m, look.light_diffuse, look.light_ambient, look.light_rgb)
    nominally_lit = (NOMINAL.light_pos_m, NOMINAL.light_diffuse, NOMINAL.light_ambient, NOMINAL.light_rgb)
    seen_from = np.abs([*look.camera_shift_m, *look.camera_turn_rad, look.fovy_scale - 1])
    limits = np.array([CAMERA_M] * 3 + [CAMERA_RAD] * 3 + [CAMERA_FOVY])
    plain = look.table_texture is None and look.floor_texture is None  # an evaluation has no textures
    found = {
        "colour": plain and colours.any() and (np.abs(colours) <= COLOUR_MOVE).all(),
        "light": lit != nominally_lit and LIGHT_X_M[0] <= x <= LIGHT_X_M[1] and abs(y) <= LIGHT_Y_M,
        "camera": seen_from.any() and (seen_from <= limits).all(),
        "noise": abs(look.noise_std - NOISE_STD) <= ABOUT_NOISE and GAIN[0] <= look.gain <= GAIN[1],
    }
    return {aspect for aspect, inside in found.items() if inside}


def training_look(name: str, rng: np.random.Generator) -> Appearance:
    """A look to train on: nominal; near_nominal (each aspect is nominal, or a little farther from it than in an
    evaluation); wide (any colours, textures, lamp, camera and sensor); or mixed, one of the three."""
    if name not in TRAINING:
        raise unknown("look", name, TRAINING, error=EnvError)
    if name == "mixed":
        name = TRAINING[int(rng.integers(3))]
    if name == "nominal":
        return NOMINAL
    return _near_nominal(rng) if name == "near_nominal" else _wide(rng)


def _near_nominal(rng: np.random.Generator) -> Appearance:
    look = NOMINAL
    for aspect, draw in (("colour", _colours), ("light", light_look), ("camera", camera_look), ("noise", _sensor)):
        if rng.random() < 0.6:
            look = _outside(aspect, partial(_with, look, draw, rng))
    return look


def _wide(rng: np.random.Generator) -> Appearance:
    look = _outside("colour", lambda: randomised(rng, clutter=True))
    look = replace(look, distractors=(), gain=1.0, noise_std=0.0)
    if look.floor_texture is not None and rng.random() < NATURAL:
        look = replace(look, floor_texture=natural_texture(rng))
    if look.table_texture is not None and rng.random() < NATURAL:
        # Among leaves of its own size only its colour tells the object, so it nearly keeps it.
        own = moved_colours(NOMINAL, rng, COLOUR_MOVE)["object_rgb"]
        look = replace(look, table_texture=natural_texture(rng), object_rgb=own)
    for aspect, draw in (("light", light_look), ("camera", camera_look), ("noise", _sensor)):
        look = _outside(aspect, partial(_with, look, draw, rng))
    return look


def _with(look: Appearance, draw: Callable[[np.random.Generator], dict], rng: np.random.Generator) -> Appearance:
    return replace(look, **draw(rng))


def _outside(aspect: str, draw: Callable[[], Appearance]) -> Appearance:
    """The first drawn look whose `aspect` no evaluation draws."""
    while aspect in aspects_of_evaluation(look := draw()):
        pass
    return look


def _colours(rng: np.random.Generator) -> dict:
    return moved_colours(NOMINAL, rng, 0.35)


def _sensor(rng: np.random.Generator) -> dict:
    """Half without noise: a policy that has never seen a clean frame does worst on clean frames (recipes/LOG.md)."""
    noise_std, gain = float(rng.uniform(0, 12)), float(rng.uniform(0.7, 1.3))
    return {"noise_std": noise_std if rng.random() < 0.5 else 0.0, "gain": gain}

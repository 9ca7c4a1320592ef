"""How a scene looks: nominal, shifted for evaluation, or random for making video.

An appearance changes colours, textures, lights, the camera's pose and sensor noise. It never changes the physics.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from envs.errors import EnvError
from toto_robot.ground.errors import unknown

TEXTURE_SIZE = 64
SHIFTS = ("colour", "light", "camera", "noise", "all")
HELD_OUT = ("photo", "shadow", "blur", "drift", "cloth", "held_out")
"""The held-out family of looks (envs/held_out.py). held_out has one or more of the others in each episode."""
GREY_CARD = "grey_card"
"""A control for tasks whose object is named by a card: the card is grey and names nothing, the rest is nominal."""
EVERY_SHIFT = (*SHIFTS, *HELD_OUT, GREY_CARD)
"""What an evaluation may change."""
GREY_LOOKS = {GREY_CARD: "nominal", f"mixed_{GREY_CARD}": "mixed"}
"""Looks with a grey card, for training the same control: {name: the look of everything else}."""
LOOKS = ("nominal", "near_nominal", "wide", "mixed", "random", "random_each_step", "cluttered", *GREY_LOOKS)
ALSO = ("nominal", "near_nominal", "wide", "mixed", "near", "random", "cluttered")
"""Further looks in which a state can be drawn, in addition to the look of the episode."""
COLOURS = ("object_rgb", "table_rgb", "floor_rgb", "arm_rgb", "finger_rgb")
"""The fields of `Appearance` that are colours of things."""
COLOUR_MOVE, LIGHT_SCALE, CAMERA_SCALE = 0.15, 0.6, 0.5
"""What `shifted` gives to `moved_colours`, `light_look` and `camera_look`: the reach of an evaluation."""
NOISE_STD, GAIN = 8.0, (0.85, 1.15)
"""The noise of `shifted`, in grey levels, and the range of its exposure."""


@dataclass(frozen=True)
class Appearance:
    """The nominal look is the default of every field."""

    object_rgb: tuple[float, float, float] = (0.0, 0.447, 0.741)
    """Colour of the object; PixMC's cube by default."""
    table_rgb: tuple[float, float, float] = (0.72, 0.70, 0.66)
    """Colour of the table. It multiplies the texture."""
    floor_rgb: tuple[float, float, float] = (0.36, 0.38, 0.40)
    """Colour of the floor. It multiplies the texture."""
    arm_rgb: tuple[float, float, float] = (0.93, 0.93, 0.93)
    """Colour of the arm and the hand's housing."""
    finger_rgb: tuple[float, float, float] = (0.25, 0.25, 0.27)
    """Colour of the fingers."""
    table_texture: np.ndarray | None = field(default=None, compare=False)
    """uint8 (64, 64, 3), or None for plain."""
    floor_texture: np.ndarray | None = field(default=None, compare=False)
    """uint8 (64, 64, 3), or None for plain."""
    light_pos_m: tuple[float, float, float] = (0.2, 0.6, 2.2)
    """Position of the only lamp, world frame. It shines at the middle of the table."""
    light_diffuse: float = 0.55
    """Strength of the lamp."""
    light_ambient: float = 0.45
    """Strength of the ambient light."""
    light_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Tint of lamp and ambient light."""
    camera_shift_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Displacement of the wrist camera in the hand frame."""
    camera_turn_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Small rotation of the wrist camera about its own axes."""
    fovy_scale: float = 1.0
    """Factor on the wrist camera's field of view."""
    noise_std: float = 0.0
    """Gaussian noise added to every pixel, in grey levels (0–255)."""
    gain: float = 1.0
    """Exposure: factor on every pixel."""
    distractors: tuple[tuple[float, ...], ...] = ()
    """Up to three boxes on the table: (x, y, yaw, half size, r, g, b). They are drawn and touch nothing."""


NOMINAL = Appearance()


def _triple(values) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z


def _colour(rng: np.random.Generator, low: float = 0.05, high: float = 0.95) -> tuple[float, float, float]:
    return _triple(rng.uniform(low, high, 3))


def moved_colours(look: Appearance, rng: np.random.Generator, reach: float) -> dict[str, Any]:
    """Every colour of `look`, moved by up to ± `reach`."""
    return {
        name: _triple(np.clip(np.array(getattr(look, name)) + rng.uniform(-reach, reach, 3), 0, 1)) for name in COLOURS
    }


def random_texture(rng: np.random.Generator) -> np.ndarray:
    """uint8 (64, 64, 3): checks, stripes, speckle, smooth noise or a gradient."""
    n, kind = TEXTURE_SIZE, rng.integers(5)
    v, u = np.mgrid[0:n, 0:n] / n
    if kind == 0:
        k = int(rng.integers(1, 9))
        mask = (np.floor(u * 2 * k) + np.floor(v * 2 * k)) % 2
    elif kind == 1:
        angle, waves = rng.uniform(0, np.pi), rng.uniform(1, 12)
        mask = 0.5 + 0.5 * np.sin(2 * np.pi * waves * (u * np.cos(angle) + v * np.sin(angle)))
    elif kind == 2:
        mask = rng.random((n, n))
    elif kind == 3:
        k = 2 ** int(rng.integers(2, 5))
        coarse = rng.random((k, k))
        index = np.linspace(0, k, n, endpoint=False)
        i, f = index.astype(int), index % 1
        rows = coarse[i] * (1 - f)[:, None] + coarse[(i + 1) % k] * f[:, None]
        mask = rows[:, i] * (1 - f) + rows[:, (i + 1) % k] * f
    else:
        mask = u
    a, b = np.array(_colour(rng, 0.2, 1.0)), np.array(_colour(rng, 0.2, 1.0))
    return (255 * (a + (b - a) * mask[..., None])).astype(np.uint8)


def light_look(rng: np.random.Generator, width: float = 1.0) -> dict[str, Any]:
    """The lamp at another place, of another strength and tint."""
    return dict(
        light_pos_m=(0.5 + width * rng.uniform(-1, 1), width * rng.uniform(-1.2, 1.2), rng.uniform(1.4, 2.6)),
        light_diffuse=float(rng.uniform(0.25, 0.8)),
        light_ambient=float(rng.uniform(0.25, 0.6)),
        light_rgb=_triple(rng.uniform(0.85, 1.0, 3)),
    )


def camera_look(rng: np.random.Generator, scale: float = 1.0) -> dict[str, Any]:
    """The wrist camera moved by up to 10 mm and turned by up to 2.9°, its field of view up to 4 % wider or
    narrower, all times `scale`."""
    return dict(
        camera_shift_m=_triple(scale * rng.uniform(-0.01, 0.01, 3)),
        camera_turn_rad=_triple(scale * rng.uniform(-0.05, 0.05, 3)),
        fovy_scale=float(1 + scale * rng.uniform(-0.04, 0.04)),
    )


def _sensor(rng: np.random.Generator) -> dict[str, Any]:
    noise_std, gain = float(rng.uniform(0, 12)), float(rng.uniform(0.8, 1.2))
    # Half of the looks have no noise: a policy without clean frames in training does worst on them (recipes/LOG.md).
    return dict(noise_std=noise_std if rng.random() < 0.5 else 0.0, gain=gain)


def sensed(frame: np.ndarray, look: Appearance, noise_key) -> np.ndarray:
    """A drawn frame uint8 (H, W, 3) with the exposure and the sensor noise of `look`. `noise_key` seeds the noise."""
    if not look.noise_std and look.gain == 1.0:
        return frame
    noise = look.noise_std * np.random.default_rng(noise_key).standard_normal(frame.shape)
    return np.clip(frame * look.gain + noise, 0, 255).astype(np.uint8)


def shifted(shift: str | None, rng: np.random.Generator) -> Appearance:
    """The look of one evaluation episode under `shift`; None for the nominal look.

    colour: every colour moves by up to ±0.15. light: the lamp has another position, strength and tint. camera: ±5 mm,
    ±1.4°, ±2 % field of view. noise: σ = 8 grey levels and exposure ±15 %. all: everything at once. grey_card: nominal
    (the task makes its card grey).
    """
    if shift in (None, GREY_CARD):
        return NOMINAL
    if shift not in SHIFTS:
        raise unknown("shift", shift, SHIFTS, error=EnvError)
    look = NOMINAL
    if shift in ("colour", "all"):
        look = replace(look, **moved_colours(look, rng, COLOUR_MOVE))
    if shift in ("light", "all"):
        look = replace(look, **light_look(rng, LIGHT_SCALE))
    if shift in ("camera", "all"):
        look = replace(look, **camera_look(rng, CAMERA_SCALE))
    if shift in ("noise", "all"):
        look = replace(look, noise_std=NOISE_STD, gain=float(rng.uniform(*GAIN)))
    return look


def randomised(rng: np.random.Generator, clutter: bool) -> Appearance:
    """A wide random look: colours, textures, lights, camera.

    With `clutter`, for pre-training video, there are up to three boxes on the table that a policy can't tell from the
    object. Without it, for policies, there are exposure and, in half of the looks, sensor noise.
    """
    plain = rng.random(2) < 0.4
    boxes = tuple(
        (
            float(rng.uniform(0.3, 0.7)),
            float(rng.uniform(-0.35, 0.35)),
            float(rng.uniform(0, np.pi)),
            float(rng.uniform(0.012, 0.04)),
            *_colour(rng),
        )
        for _ in range(int(rng.integers(0, 4)) if clutter else 0)
    )
    return Appearance(
        object_rgb=_colour(rng, 0.0, 1.0) if rng.random() < 0.7 else NOMINAL.object_rgb,
        table_rgb=_colour(rng, 0.3, 1.0),
        floor_rgb=_colour(rng, 0.1, 0.9),
        arm_rgb=_colour(rng, 0.4, 1.0) if rng.random() < 0.5 else NOMINAL.arm_rgb,
        finger_rgb=_colour(rng, 0.05, 0.6) if rng.random() < 0.5 else NOMINAL.finger_rgb,
        table_texture=None if plain[0] else random_texture(rng),
        floor_texture=None if plain[1] else random_texture(rng),
        distractors=boxes,
        **light_look(rng),
        **camera_look(rng),
        **({} if clutter else _sensor(rng)),
    )


def near(look: Appearance, rng: np.random.Generator) -> Appearance:
    """Another look of the same scene: every colour moves by up to ±0.16, or the lamp changes its position, strength and
    tint, or both.

    Textures, boxes and the camera stay, so a pixel shows the same point. Two such looks train a tokenizer whose codes
    survive the change. The nominal look does not change, because evaluation draws the looks around it (`shifted`).
    """
    if look == NOMINAL:
        return look
    moved = moved_colours(look, rng, 0.16)
    which = rng.random()
    if which < 0.75:  # both
        return replace(look, **moved, **light_look(rng, 0.8))
    return replace(look, **moved) if which < 0.875 else replace(look, **light_look(rng, 0.8))

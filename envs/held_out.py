"""A family of looks that no training code may import: policies are judged by it, and never trained on it.

Each episode has one or more of these parts: a table and a floor with textures from photographs; two lamps with hard
shadows; blur and JPEG; an exposure that drifts within the episode; a patterned cloth on the table. `RobotEnv` uses this
file for `shift=held_out`, and for each part by its own name. Nothing else imports it (a test checks that).
"""

import io
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageFilter

from envs.appearance import HELD_OUT, NOMINAL, TEXTURE_SIZE, Appearance
from envs.drawing import Canvas

PARTS = tuple(name for name in HELD_OUT if name != "held_out")
PHOTOGRAPHS = Path(__file__).parent / "photographs"
SHADOW_MAP = 1024
"""Pixels on the side of the shadow map."""
AIM_M = np.array([0.5, 0.0, 0.4])
"""Where both lamps shine, world frame."""
ASSETS = (
    f'<texture name="cloth" type="2d" builtin="flat" rgb1="1 1 1" width="{TEXTURE_SIZE}" height="{TEXTURE_SIZE}"/>'
    '<material name="cloth" texture="cloth" texrepeat="2 2" specular="0" shininess="0"/>'
)
BODIES = (
    '<light name="second lamp" pos="0 0 2" dir="0 0 -1" castshadow="true" cutoff="85" exponent="0.1" '
    'attenuation="1 0 0" specular="0.1 0.1 0.1" active="false"/>'
    '<body name="cloth" mocap="true" pos="0 0 -1"><geom name="cloth" type="box" size="0.14 0.14 0.0005" '
    'material="cloth" contype="0" conaffinity="0"/></body>'
)


class ShadowCanvas(Canvas):
    """A canvas that draws shadows. They cost several times the rest of a frame on a CPU."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int):
        model.vis.quality.shadowsize = SHADOW_MAP
        super().__init__(model, width, height)
        self.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 1


@dataclass(frozen=True)
class HeldOutLook:
    """One episode's look; None and zero where a part is absent."""

    look: Appearance
    second_lamp_m: tuple[float, float, float] | None = None
    """Where the second lamp stands, world frame."""
    cloth: tuple[float, float, float] | None = None
    """x, y and yaw of the cloth on the table."""
    cloth_texture: np.ndarray | None = None
    """uint8 (64, 64, 3)."""
    blur_px: float = 0.0
    """Radius of the Gaussian blur."""
    jpeg: int | None = None
    """Quality of the JPEG."""
    drift: tuple[float, float, float] | None = None
    """Amplitude, period in steps and phase of the exposure."""


def draw_look(name: str, rng: np.random.Generator) -> HeldOutLook:
    """The look of an episode: one part by its name. `held_out` has each part in half of the episodes, at least one."""
    chosen = {name} if name in PARTS else {part for part in PARTS if rng.random() < 0.5}
    chosen = chosen or {PARTS[int(rng.integers(len(PARTS)))]}
    found = HeldOutLook(NOMINAL)
    if "photo" in chosen:
        table, floor = rng.choice(len(photographs()), 2, replace=False)
        look = replace(NOMINAL, table_texture=_turned(table, rng), floor_texture=_turned(floor, rng))
        found = replace(found, look=replace(look, table_rgb=(1, 1, 1), floor_rgb=(1, 1, 1)))
    if "shadow" in chosen:
        lamp, second = ((0.5 + x, y, z) for x, y, z in rng.uniform((-0.7, -0.9, 1.3), (0.7, 0.9, 2.2), (2, 3)).tolist())
        found = replace(found, second_lamp_m=second, look=replace(found.look, light_pos_m=lamp, light_diffuse=0.45))
    if "blur" in chosen:
        found = replace(found, blur_px=float(rng.uniform(0.4, 1.0)), jpeg=int(rng.integers(30, 76)))
    if "drift" in chosen:
        found = replace(found, drift=(*rng.uniform((0.1, 40), (0.25, 120)).tolist(), float(rng.uniform(0, 2 * np.pi))))
    if "cloth" in chosen:
        place = rng.uniform((0.4, -0.15, 0), (0.6, 0.15, np.pi)).tolist()
        found = replace(found, cloth=tuple(place), cloth_texture=_pattern(rng))
    return found


def dress(model: mujoco.MjModel, data: mujoco.MjData, held: HeldOutLook, table_z_m: float) -> None:
    """Writes what `scene.dress` does not know: the second lamp, shadows and the cloth."""
    shadows = held.second_lamp_m is not None
    lamp = model.light("second lamp").id
    model.light_castshadow[:] = shadows
    model.light_active[lamp] = shadows
    if held.second_lamp_m is not None:
        model.light_pos[lamp] = held.second_lamp_m
        aim = AIM_M - held.second_lamp_m
        model.light_dir[lamp] = aim / np.linalg.norm(aim)
        model.light_diffuse[lamp], model.light_ambient[lamp] = held.look.light_diffuse, 0.0
    slot = model.body("cloth").mocapid[0]
    data.mocap_pos[slot] = (0, 0, -1)
    if held.cloth is not None and held.cloth_texture is not None:
        x, y, yaw = held.cloth
        data.mocap_pos[slot] = (x, y, table_z_m + 0.0005)
        data.mocap_quat[slot] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
        texture = model.texture("cloth").id
        start = model.tex_adr[texture]
        model.tex_data[start : start + held.cloth_texture.size] = held.cloth_texture.reshape(-1)


def seen(frame: np.ndarray, held: HeldOutLook, step: int) -> np.ndarray:
    """A drawn frame uint8 (H, W, 3) as this camera gives it at a control step: exposure, blur, JPEG."""
    if held.drift is not None:
        amplitude, period, phase = held.drift
        gain = 1 + amplitude * np.sin(2 * np.pi * step / period + phase)
        frame = np.clip(frame * gain, 0, 255).astype(np.uint8)
    if held.jpeg is None:
        return frame
    buffer = io.BytesIO()
    Image.fromarray(frame).filter(ImageFilter.GaussianBlur(held.blur_px)).save(buffer, "JPEG", quality=held.jpeg)
    return np.asarray(Image.open(buffer))


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """uint8 (64, 64, 3) each, in the order of their names."""
    return tuple(np.asarray(Image.open(path).convert("RGB")) for path in sorted(PHOTOGRAPHS.glob("*.png")))


def _turned(number: int, rng: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(photographs()[number], int(rng.integers(4))))


def _pattern(rng: np.random.Generator) -> np.ndarray:
    """A woven plaid of three colours: uint8 (64, 64, 3)."""
    n = TEXTURE_SIZE
    colours = rng.uniform(0.15, 1.0, (3, 3))
    stripes = (np.arange(n) // int(rng.integers(4, 13))) % 3
    return (127.5 * (colours[stripes][:, None] + colours[stripes][None])).astype(np.uint8)

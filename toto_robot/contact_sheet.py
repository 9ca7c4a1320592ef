"""Draw one row of frames for each environment: the scripted expert's episode, from the wrist and from the side.

    python -m toto_robot.contact_sheet
    python -m toto_robot.contact_sheet docs/environments.png 'envs=[franka_pick,kuka_cabinet]' moments=8

The moments of a row are evenly spaced from the first frame to the last one. A tile shows the frame of the wrist camera,
as a policy gets it, above a view from the side. Its border is green once the episode has succeeded. Environments that
the expert doesn't know are left out and named in the result.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import envs
from policies.experts.choose import make_labeller
from policies.scoring.video import RUNNING, SUCCEEDED
from toto_robot import command
from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError, expected, unknown
from toto_robot.ground.screen import Bar

BORDER, LABEL, PAPER, INK = 2, 18, (255, 255, 255), (30, 30, 30)


@dataclass
class ContactSheetConfig:
    """Keys of `python -m toto_robot.contact_sheet`."""

    out: str = "docs/environments.png"
    """The picture to write, a PNG."""
    envs: list[str] = field(default_factory=list)
    """Environments, one for each row. By default all that have the protocol of a real arm."""
    expert: str = "scripted"
    """The expert that acts."""
    moments: int = 6
    """Frames of a row."""
    size: int = 128
    """Pixels on the side of a frame."""
    seed: int = 0
    """Seed of the scenes."""

    def __post_init__(self):
        if self.moments < 2:
            raise expected("moments", "at least 2, the first frame and the last", self.moments)
        if not self.out.endswith(".png"):
            raise expected("out", "the name of a .png file", self.out)


def main(cfg: ContactSheetConfig) -> dict:
    """Draw the sheet. Returns its path, and the environments that are shown and left out."""
    for name in cfg.envs:
        if name not in envs.names():
            raise unknown("env", name, envs.names())
    rows, shown, left_out = [], [], {}
    names = cfg.envs or [name for name in envs.names() if not name.endswith("_pixmc")]
    with Bar("drawing", len(names)) as bar:
        for i, name in enumerate(names):
            bar.at(i, name)
            try:
                tiles, outcome = episode(name, cfg)
            except envs.EnvError as error:
                if cfg.envs:
                    raise
                left_out[name] = str(error)
                continue
            rows.append(_row(f"{name}: {outcome}", tiles))
            shown.append(name)
    if not rows:
        raise UserError(f"The expert {cfg.expert} knows none of these environments: {', '.join(names)}.")
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    Path(cfg.out).parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(Path(cfg.out), buffer.getvalue())
    return {"out": cfg.out, "envs": shown, "left_out": left_out, "bytes": len(buffer.getvalue())}


def episode(name: str, cfg: ContactSheetConfig) -> tuple[list[np.ndarray], str]:
    """The tiles of one episode, uint8 (2·size + border, size + border, 3) each, and its outcome in words."""
    env, expert = envs.make(name, image_size=cfg.size), make_labeller(cfg.expert)
    obs, info = env.reset(seed=cfg.seed)
    frames, over = [(obs["rgb"], _side(env, cfg.size), False)], False
    while not over:
        obs, _, terminated, truncated, info = env.step(expert.label(env))
        frames.append((obs["rgb"], _side(env, cfg.size), info["success"]))
        over = terminated or truncated or info["success"]
    chosen = [frames[round(i * (len(frames) - 1) / (cfg.moments - 1))] for i in range(cfg.moments)]
    seconds = env.steps / env.control_hz
    return [
        _tile(*frame) for frame in chosen
    ], f"{'success' if info['success'] else 'no success'} after {seconds:.1f} s"


def _side(env, size: int) -> np.ndarray:
    """The view from the side. It is drawn at twice the size and averaged, because thin edges would flicker
    otherwise."""
    large = env.view("side", 2 * size, 2 * size).reshape(size, 2, size, 2, 3)
    return large.mean((1, 3)).round().astype(np.uint8)


def _tile(wrist, side, succeeded: bool) -> np.ndarray:
    frame = np.concatenate([wrist, np.full((BORDER, wrist.shape[1], 3), PAPER, np.uint8), side])
    colour = np.array(SUCCEEDED if succeeded else RUNNING, np.uint8)
    tile = np.empty((frame.shape[0] + 2 * BORDER, frame.shape[1] + 2 * BORDER, 3), np.uint8)
    tile[:] = colour
    tile[BORDER:-BORDER, BORDER:-BORDER] = frame
    return np.pad(tile, ((0, 2 * BORDER), (BORDER, BORDER), (0, 0)), constant_values=255)


def _row(label: str, tiles: list[np.ndarray]) -> np.ndarray:
    frames = np.concatenate(tiles, 1)
    title = Image.new("RGB", (frames.shape[1], LABEL), PAPER)
    ImageDraw.Draw(title).text((2 * BORDER, 1), label, fill=INK, font=ImageFont.load_default(13))
    return np.concatenate([np.asarray(title), frames])


if __name__ == "__main__":
    command.run(main, ContactSheetConfig, "contact_sheet", positional=("out",))

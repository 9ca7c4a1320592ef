"""Render wrist-camera video in the simulator, for training the tokenizer and Toto, and labelled frames for the probe.

    python -m toto_robot.render out=data/clips clips=600
    python -m toto_robot.render out=data/clips clips=1050 env=all side=true twins=true looks=[random,random,random,nominal]
    python -m toto_robot.render out=data/probe.npz labels=true clips=64 looks=[nominal]

Each clip is one episode of the scripted expert whose actions are now and then replaced by held random ones, so that
the camera sees the scene from everywhere. Looks alternate through `looks`: "random" (colours, textures, lights,
boxes, camera), "all" (the evaluation shift of that name, mild) and "nominal". With labels=true the result is one .npz: `frames`
uint8 (N, 128, 128, 3), `cube_in_hand_m` float32 (N, 3), `episode` int64 (N,).
"""

import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

import envs
from policies.experts.choose import make_labeller
from toto_robot import command
from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError
from toto_robot.video.decode import write_video

LOOKS = ("random", "all", "nominal")
SLOTS = 16


@dataclass
class RenderConfig:
    """Keys of `python -m toto_robot.render`."""

    out: str = "???"
    """Folder for the clips (MP4), or the .npz file with labels=true."""
    env: str = "franka_pick"
    """Environment to film, or `all` for every one in turn."""
    clips: int = 600
    """Number of episodes."""
    frames: int = 96
    """Frames of a clip: one each control step, or a third of them where the control rate is 60 Hz."""
    looks: list[str] = field(default_factory=lambda: ["random", "all", "nominal", "random"])
    """Looks, taken in turn."""
    labels: bool = False
    """Write one .npz with the cube's position instead of video."""
    keep_every: int = 1
    """With labels: keep each n-th frame."""
    side: bool = False
    """Film the side camera as well, into NAME_side.mp4."""
    twins: bool = False
    """Film each state in a near look too (other colours and light), into a folder OUT_twins with the same names. A tokenizer
    learns from the pairs which changes don't matter (`train_dvae twins=`)."""
    image_size: int = 128
    """Pixels on the side of a frame."""
    seed: int = 0
    """Seed of scenes, looks and motions."""

    def __post_init__(self):
        unknown = [look for look in self.looks if look not in LOOKS]
        if unknown or not self.looks:
            raise UserError(f"looks={self.looks}: expected a list of {', '.join(LOOKS)}")
        if min(self.clips, self.frames, self.keep_every) < 1:
            raise UserError("clips, frames and keep_every must be at least 1")
        if self.labels and (self.twins or self.side or self.env == "all"):
            raise UserError(
                "labels=true writes frames of one environment's wrist camera: leave out twins=, side= and env=all"
            )
        if self.labels and not self.out.endswith(".npz"):
            raise UserError(f"out={self.out}: labels=true writes one .npz file; name it so")


class HeldNoise:
    """Replaces the expert's action by a held random one for a few steps, with a probability of each clip's own."""

    def __init__(self, slots: int, action_dim: int, rng: np.random.Generator):
        self.rng, self.left = rng, np.zeros(slots, int)
        self.share = rng.choice([0.0, 0.03, 0.08], slots)
        self.held = np.zeros((slots, action_dim), np.float32)

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        start = (self.left == 0) & (self.rng.random(len(self.left)) < self.share)
        self.left[start] = self.rng.integers(3, 12, start.sum())
        self.held[start] = self.rng.uniform(-1, 1, (start.sum(), self.held.shape[1]))
        out = np.where((self.left > 0)[:, None], self.held, actions)
        self.left = np.maximum(self.left - 1, 0)
        return out


@dataclass
class Film:
    """What one batch of episodes showed. N episodes, F frames."""

    video: dict[str, np.ndarray]
    """By camera, and "twin": uint8 (N, F, H, W, 3)."""
    cube_in_hand_m: np.ndarray | None
    """float32 (N, F, 3), if asked for."""


def film(vec, seeds, frames: int, rng, with_labels: bool = False) -> Film:
    """Films all slots of `vec`, a frame every `stride(vec.control_hz)` control steps. An episode that ends starts anew."""
    obs, labels = vec.reset(seeds), []
    seen: dict[str, list[np.ndarray]] = {}
    noise, every = HeldNoise(vec.num_envs, vec.action_dim, rng), stride(vec.control_hz)
    for step in range(frames * every):
        if step % every:
            obs = _onward(vec, obs, noise, rng)
            continue
        for key, pictures in obs.items():
            if key.startswith("rgb"):
                name = {"rgb": "wrist", "rgb_also": "twin"}.get(key, key.removeprefix("rgb_"))
                seen.setdefault(name, []).append(pictures[:, 0] if name == "twin" else pictures)
        if with_labels:
            labels.append([vec.call(i, "cube_in_hand_m") for i in range(vec.num_envs)])
        obs = _onward(vec, obs, noise, rng)
    video = {name: np.stack(pictures, 1) for name, pictures in seen.items()}
    return Film(video, np.array(labels, np.float32).swapaxes(0, 1) if with_labels else None)


def _onward(vec, obs: dict, noise: HeldNoise, rng) -> dict:
    """One control step of the expert, or of what takes its place."""
    obs, _, terminated, truncated, _ = vec.step(noise(obs["expert"]))
    over = np.flatnonzero(terminated | truncated)
    return vec.reset(rng.integers(2**31, size=len(over)), over) if len(over) else obs


def stride(control_hz: float) -> int:
    """Control steps between two frames: a film has at most about 20 frames a second."""
    return max(1, round(control_hz / 20))


def main(cfg: RenderConfig) -> dict:
    """Films `cfg.clips` episodes, a batch of 16 of one environment and one look at a time."""
    out, rng, written, parts = Path(cfg.out), np.random.default_rng(cfg.seed), 0, []
    names = envs.names() if cfg.env == "all" else [cfg.env]
    # Clip i is of environment i modulo their number, and its look is the next of that environment's own list.
    wanted = Counter((names[i % len(names)], cfg.looks[i // len(names) % len(cfg.looks)]) for i in range(cfg.clips))
    with Progress(console=Console(stderr=True)) as bar:
        job = bar.add_task("filming", total=cfg.clips)
        for (name, look), count in wanted.items():
            with _stage(cfg, name, look, min(SLOTS, count)) as vec:
                while count > 0:
                    made = film(vec, rng.integers(2**31, size=vec.num_envs), cfg.frames, rng, cfg.labels)
                    for i in range(min(count, vec.num_envs)):
                        if made.cube_in_hand_m is not None:
                            pick = slice(None, None, cfg.keep_every)
                            where = made.cube_in_hand_m[i, pick]
                            parts.append((made.video["wrist"][i, pick], where, np.full(len(where), written)))
                        else:
                            prefix = f"{name}_" if cfg.env == "all" else ""
                            _write(
                                out,
                                f"{prefix}{look}_{written:05d}",
                                {c: v[i] for c, v in made.video.items()},
                                vec.control_hz / stride(vec.control_hz),
                            )
                        written += 1
                    count -= vec.num_envs
                    bar.update(job, completed=written)
    if cfg.labels:
        frames, cubes, episodes = (np.concatenate(part) for part in zip(*parts))
        buffer = io.BytesIO()
        np.savez(buffer, frames=frames, cube_in_hand_m=cubes, episode=episodes)
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(out, buffer.getvalue())
        return {"out": str(out), "episodes": written, "frames": len(frames)}
    return {"out": str(out), "clips": written, "frames": written * cfg.frames}


def _stage(cfg: RenderConfig, name: str, look: str, slots: int) -> envs.VectorEnv:
    dress: dict[str, Any] = {"random": dict(appearance="cluttered"), "all": dict(shift="all"), "nominal": {}}[look]
    return envs.VectorEnv(
        name,
        slots,
        labeller=make_labeller("scripted"),
        image_size=cfg.image_size,
        views=("side",) if cfg.side else (),
        also=("near",) if cfg.twins else (),
        **dress,
    )


def _write(out: Path, name: str, videos: dict[str, np.ndarray], hz: float) -> None:
    """NAME.mp4 of the wrist camera, NAME_side.mp4 of the side camera, and the twin under NAME.mp4 in OUT_twins."""
    places = {"wrist": out / f"{name}.mp4", "side": out / f"{name}_side.mp4", "twin": twins_of(out) / f"{name}.mp4"}
    for camera, frames in videos.items():
        places[camera].parent.mkdir(parents=True, exist_ok=True)
        write_video(places[camera], frames, fps=hz, crf=12)


def twins_of(folder: str | Path) -> Path:
    """Where the second looks of a folder of clips are: beside it, so that no reader of the clips takes them for clips."""
    return Path(folder).with_name(Path(folder).name + "_twins")


if __name__ == "__main__":
    command.run(main, RenderConfig, "render", positional=("out",))

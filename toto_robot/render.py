"""Render wrist-camera video in the simulator, for training the tokenizer and Toto, and labelled frames for the probe.

    python -m toto_robot.render out=data/clips clips=600
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

import numpy as np
from rich.console import Console
from rich.progress import Progress

import envs
from policies.labelling import make_labeller
from toto_robot import door
from toto_robot.atomic import atomic_write_bytes
from toto_robot.errors import UserError
from toto_robot.video.decode import write_video

LOOKS = ("random", "all", "nominal")
SLOTS = 16


@dataclass
class RenderConfig:
    """Keys of `python -m toto_robot.render`."""

    out: str = "???"
    """Folder for the clips (MP4), or the .npz file with labels=true."""
    env: str = "franka_pick"
    """Environment to film."""
    clips: int = 600
    """Number of episodes."""
    frames: int = 96
    """Frames of a clip, one each control step."""
    looks: list[str] = field(default_factory=lambda: ["random", "all", "nominal", "random"])
    """Looks, taken in turn."""
    labels: bool = False
    """Write one .npz with the cube's position instead of video."""
    keep_every: int = 1
    """With labels: keep each n-th frame."""
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


def film(vec, seeds, frames: int, rng, with_labels: bool):
    """uint8 (N, frames, H, W, 3) and, if asked, cube_in_hand_m (N, frames, 3). An episode that ends starts anew."""
    obs, video, labels = vec.reset(seeds), [], []
    noise = HeldNoise(vec.num_envs, vec.action_dim, rng)
    for _ in range(frames):
        video.append(obs["rgb"])
        if with_labels:
            labels.append([vec.call(i, "cube_in_hand_m") for i in range(vec.num_envs)])
        obs, _, terminated, truncated, _ = vec.step(noise(obs["expert"]))
        over = np.flatnonzero(terminated | truncated)
        if len(over):
            obs = vec.reset(rng.integers(2 ** 31, size=len(over)), over)
    return np.stack(video, 1), np.array(labels, np.float32).swapaxes(0, 1) if with_labels else None


def main(cfg: RenderConfig) -> dict:
    """Films `cfg.clips` episodes, a batch of 16 a look at a time."""
    out, rng, written, parts = Path(cfg.out), np.random.default_rng(cfg.seed), 0, []
    wanted = Counter(cfg.looks[i % len(cfg.looks)] for i in range(cfg.clips))
    with Progress(console=Console(stderr=True)) as bar:
        job = bar.add_task("filming", total=cfg.clips)
        for look, count in wanted.items():
            dress = {"random": dict(appearance="cluttered"), "all": dict(shift="all"), "nominal": {}}[look]
            with envs.VectorEnv(cfg.env, min(SLOTS, count), labeller=make_labeller("scripted"), image_size=cfg.image_size,
                                **dress) as vec:
                while count > 0:
                    video, labels = film(vec, rng.integers(2 ** 31, size=vec.num_envs), cfg.frames, rng, cfg.labels)
                    for i in range(min(count, vec.num_envs)):
                        if cfg.labels:
                            pick = slice(None, None, cfg.keep_every)
                            parts.append((video[i, pick], labels[i, pick], np.full(len(labels[i, pick]), written)))
                        else:
                            out.mkdir(parents=True, exist_ok=True)
                            write_video(out / f"{look}_{written:05d}.mp4", video[i], fps=vec.control_hz, crf=12)
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


if __name__ == "__main__":
    door.run(main, RenderConfig, "render", positional=("out",))

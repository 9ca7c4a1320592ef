"""Render video of the wrist camera in the simulator, to train the tokenizer and Toto; or labelled frames for the probe.

    python -m toto_robot.render out=data/clips clips=600
    python -m toto_robot.render out=data/clips clips=1050 env=all side=true twins=true looks=[random,random,nominal]
    python -m toto_robot.render out=data/probe.npz labels=true clips=64 looks=[nominal]

Each clip is one episode of the scripted expert. Now and then a random action takes its place for a few steps, so that
the camera sees the scene from many places. Clips take the looks of `looks` in turn: "random" (colours, textures,
lights, boxes, camera), "all" (the mild evaluation shift of that name) and "nominal". With labels=true the command
writes one .npz with `frames` uint8 (N, 128, 128, 3), `cube_in_hand_m` float32 (N, 3), `episode` int64 (N,).
"""

import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import envs
from policies.experts.choose import make_labeller
from toto_robot import command
from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError, expected
from toto_robot.ground.screen import Bar
from toto_robot.video.decode import write_video

LOOKS = ("random", "all", "nominal")
SLOTS = 16


@dataclass
class RenderConfig:
    """Keys of `python -m toto_robot.render`."""

    out: str = "???"
    """Folder for the clips (MP4), or the .npz file with labels=true."""
    env: str = "franka_pick"
    """Environment to film, or `all` to film each of them in turn."""
    clips: int = 600
    """Number of episodes."""
    frames: int = 96
    """Frames of a clip: one for each control step, or for every third one if the control rate is 60 Hz."""
    looks: list[str] = field(default_factory=lambda: ["random", "all", "nominal", "random"])
    """Looks, taken in turn."""
    labels: bool = False
    """Write one .npz with frames and positions of the cube instead of video."""
    keep_every: int = 1
    """With labels: keep every n-th frame."""
    side: bool = False
    """Film the side camera too, into NAME_side.mp4."""
    twins: bool = False
    """Film each state in a near look too (other colours and light), into the folder OUT_twins under the same names.
    From the pairs a tokenizer learns which changes don't matter (`train_dvae twins=`)."""
    image_size: int = 128
    """Pixels on the side of a frame."""
    seed: int = 0
    """Seed of scenes, looks and motions."""

    def __post_init__(self):
        unknown = [look for look in self.looks if look not in LOOKS]
        if unknown or not self.looks:
            raise expected("looks", f"a list of {', '.join(LOOKS)}", self.looks)
        for name in ("clips", "frames", "keep_every"):
            if getattr(self, name) < 1:
                raise expected(name, "at least 1", getattr(self, name))
        if self.labels and (self.twins or self.side or self.env == "all"):
            raise UserError(
                "labels=true writes frames of one environment's wrist camera: leave out twins=, side= and env=all."
            )
        if self.labels and not self.out.endswith(".npz"):
            raise expected("out", "the name of an .npz file with labels=true", self.out)


class HeldNoise:
    """Replaces the expert's action by a random one for a few steps. Each clip has its own probability of that."""

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
    """The film of one batch of episodes. N episodes, F frames."""

    video: dict[str, np.ndarray]
    """By camera, and "twin": uint8 (N, F, H, W, 3)."""
    cube_in_hand_m: np.ndarray | None
    """float32 (N, F, 3), or None without labels."""


def film(vec, seeds, frames: int, rng, with_labels: bool = False) -> Film:
    """Film all slots of `vec`, a frame every `stride(vec.control_hz)` control steps. An episode that ends is
    restarted."""
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
    """One control step of the expert or of the noise in its place. Restarts the episodes that end."""
    obs, _, terminated, truncated, _ = vec.step(noise(obs["expert"]))
    over = np.flatnonzero(terminated | truncated)
    return vec.reset(rng.integers(2**31, size=len(over)), over) if len(over) else obs


def stride(control_hz: float) -> int:
    """Control steps between two frames: a film has at most about 20 frames a second."""
    return max(1, round(control_hz / 20))


def main(cfg: RenderConfig) -> dict:
    """Film `cfg.clips` episodes: 16 at a time, of one environment and one look."""
    out, rng, written, parts = Path(cfg.out), np.random.default_rng(cfg.seed), 0, []
    names = envs.names() if cfg.env == "all" else [cfg.env]
    # Clip i is of environment i modulo their number, and its look is the next of that environment's own list.
    wanted = Counter((names[i % len(names)], cfg.looks[i // len(names) % len(cfg.looks)]) for i in range(cfg.clips))
    with Bar("filming", cfg.clips) as bar:
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
                    bar.at(written, f"{name}, {look}")
    if cfg.labels:
        frames, cubes, episodes = (np.concatenate(part) for part in zip(*parts))
        buffer = io.BytesIO()
        np.savez(buffer, frames=frames, cube_in_hand_m=cubes, episode=episodes)
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(out, buffer.getvalue())
        return {"out": str(out), "episodes": written, "frames": len(frames)}
    return {"out": str(out), "clips": written, "frames": written * cfg.frames}


def _stage(cfg: RenderConfig, name: str, look: str, slots: int) -> envs.VectorEnv:
    """`slots` environments of one name and one look, with the cameras that are filmed."""
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
    """Write NAME.mp4 of the wrist camera, NAME_side.mp4 of the side camera, and the twin as NAME.mp4 in OUT_twins."""
    places = {"wrist": out / f"{name}.mp4", "side": out / f"{name}_side.mp4", "twin": twins_of(out) / f"{name}.mp4"}
    for camera, frames in videos.items():
        places[camera].parent.mkdir(parents=True, exist_ok=True)
        write_video(places[camera], frames, fps=hz, crf=12)


def twins_of(folder: str | Path) -> Path:
    """The folder with the second looks of a folder of clips. It is beside it, so that no reader takes them for
    clips."""
    return Path(folder).with_name(Path(folder).name + "_twins")


if __name__ == "__main__":
    command.run(main, RenderConfig, "render", positional=("out",))

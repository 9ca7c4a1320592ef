"""Measure how another look of the same scene changes codes and features: the looks table.

    python -m toto_robot.looks
    python -m toto_robot.looks encoder=runs/toto/model real=VIDEO_FOLDER out=runs/looks

A fixed set of states is drawn under several looks: two frames each of 64 test and 224 training episodes. The scripted
expert acts in them, and now and then a random action takes its place. The seeds are fixed, and no training run uses
them. The tables show:
  codes     the share of the codes that change with the look of a state, and the share that differs between two
            states in one look (random pairs of different episodes at the same step); with real=, jittered real frames
  distance  how far a look moves a feature, in units of the distance between two states
  probe     error in millimetres of a linear probe for the cube's position, trained on nominal, random or mixed looks
Intervals are bootstraps over episodes. The probe runs with three seeds. The command writes looks.json, looks.md and
looks.png to `out`.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

import envs
import toto_robot
from envs.appearance import NOMINAL, SHIFTS, Appearance, randomised, shifted
from policies.experts.choose import make_labeller
from toto_robot import command
from toto_robot.evaluation.looks import Looks, States, measure, measure_real
from toto_robot.evaluation.looks_report import tables, write_report
from toto_robot.features.encoder import Encoder, encoder_names
from toto_robot.features.folder import TOTO
from toto_robot.ground.errors import UserError
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.video.decode import find_videos, iter_frames
from toto_robot.video.jitter import exposed

STEPS = (2, 16)
"""Control steps at which the two frames of an episode are drawn."""
PROBE_SEEDS = 3
EXPOSURES = (1.02, 1.05)
FIRST_SEED = {"train": 2**29, "test": 2**29 + 2**20}
"""The first episode seed of each side."""
REAL_FRAMES = 192
IMAGE_SIZE = 128
"""Pixels on the side of the simulator's frames."""
Look = Callable[[int, int], Appearance]
"""From the episode's seed and the control step to the appearance of the scene."""


@dataclass
class LooksConfig:
    """Settings of `python -m toto_robot.looks`."""

    encoder: str = "toto_tiny"
    """Name of an encoder, a model folder made by `pretrain`, or a tokenizer's folder made by `train_dvae`."""
    env: str = "franka_pick"
    """The environment whose states are drawn; it must have a cube."""
    real: str = ""
    """A folder of real videos, whose frames are jittered too. By default there is none."""
    train: int = 224
    """Number of episodes that the probes learn from. Another number gives another set."""
    test: int = 64
    """Number of episodes on which everything is measured."""
    threads: int | None = None
    """CPU threads; by default all cores."""
    device: str = "cpu"
    """Where the encoder runs: cpu or cuda."""
    out: str = "runs/looks"
    """Folder for the results."""

    def __post_init__(self) -> None:
        if self.train < 8 or self.test < 2:
            raise UserError(f"Expected train >= 8 and test >= 2 episodes, got {self.train} and {self.test}.")


def main(cfg: LooksConfig) -> dict:
    """Draw the states, measure, and write the report. Returns its main numbers."""
    torch.set_num_threads(cfg.threads or os.cpu_count() or 1)
    encoder, random_weights = _load(cfg)
    _tell(f"drawing {cfg.train} and {cfg.test} episodes of {cfg.env}")
    train, test = training_states(cfg.env, cfg.train), measured_states(cfg.env, cfg.test)
    found = measure(encoder, random_weights, train, test, seeds=PROBE_SEEDS, tell=_tell)
    if cfg.real:
        found = replace(found, real=measure_real(encoder, *_real_frames(cfg.real, encoder.image_size)))
    facts = {
        "encoder": cfg.encoder,
        "tokenizer": encoder.tokenizer.fingerprint()[:16],
        "env": cfg.env,
        "train_episodes": cfg.train,
        "test_episodes": cfg.test,
        "steps": list(STEPS),
    }
    write_report(Path(cfg.out), found, facts)
    print(tables(found), file=sys.stderr)
    return {**facts, **summary(found), "out": cfg.out}


def _load(cfg: LooksConfig) -> tuple[Encoder, Encoder | None]:
    """The encoder, and the same with random weights. For a tokenizer's folder, an encoder without a transformer."""
    folder = Path(cfg.encoder)
    if (folder / "config.yaml").is_file() and not (folder / TOTO).is_file():
        tokenizer = load_tokenizer(cfg.encoder)
        if tokenizer.continuous:
            raise UserError(f"encoder={cfg.encoder}: a tokenizer of patches has no codes that could change.")
        return Encoder(
            tokenizer,
            None,
            layer=0,
            pooling="grid",
            dtype="float32",
            device=cfg.device,
            image_size=IMAGE_SIZE,
            identity={},
        ), None
    encoder = toto_robot.load_encoder(cfg.encoder, pooling="grid", device=cfg.device)
    if not isinstance(encoder, Encoder) or encoder.tokenizer.continuous:
        raise UserError(f"encoder={cfg.encoder} has no codes. Give toto_tiny, a model folder or a tokenizer's folder.")
    if encoder.toto is None:
        return encoder, None
    known = cfg.encoder in encoder_names()
    random_name = f"{cfg.encoder}_random" if known else f"{cfg.encoder}:random"
    return encoder, toto_robot.load_encoder(random_name, pooling="grid", device=cfg.device)


def summary(found: Looks) -> dict:
    """The numbers of the JSON line: codes changed by look, between states, and the probes trained on random looks."""
    changed = {look: round(value.mean, 4) for look, value in found.changed.items()}
    probe = {
        f"{name} {layer}" if layer else name: {look: round(v.mean, 1) for look, v in tested.items()}
        for (trained, name, layer), tested in found.probe.items()
        if trained == "random"
    }
    return {
        "codes_changed": changed,
        "between_states": round(found.between.mean, 4),
        "guess_mm": round(found.guess_mm, 1),
        "codes_used": found.codes_used,
        "probe_from_random_mm": probe,
    }


def states(env, seeds: range) -> Iterator[int]:
    """Run one episode for each seed, and yield its seed at each of `STEPS`.

    As in `toto_robot.render`, a random action takes the expert's place now and then. This way the camera sees the scene
    from more places than a perfect expert visits.
    """
    labeller = make_labeller("scripted")
    for seed in seeds:
        rng, held, left = np.random.default_rng((seed, 7)), None, 0
        share = rng.choice([0.0, 0.03, 0.08])
        env.reset(seed=seed)
        for step in range(max(STEPS) + 1):
            if step in STEPS:
                yield seed
            action = labeller.label(env)
            if left == 0 and rng.random() < share:
                left, held = int(rng.integers(3, 12)), rng.uniform(-1, 1, len(action))
            if left:
                action, left = held, left - 1
            env.step(action)


def _nominal(seed: int, step: int) -> Appearance:
    return NOMINAL


def _random(seed: int, step: int, key: int) -> Appearance:
    return randomised(np.random.default_rng((seed, step, key)), clutter=False)


def _shifted(shift: str, seed: int, step: int) -> Appearance:
    return shifted(shift, np.random.default_rng((seed, 3)))


def training_states(name: str, episodes: int) -> States:
    """The states for training the probes, in the nominal look and in one random look for each probe seed."""
    looks: dict[str, Look] = {"nominal": _nominal}
    looks |= {f"random {k}": partial(_random, key=k) for k in range(PROBE_SEEDS)}
    return _draw(name, _seeds("train", episodes), looks)


def measured_states(name: str, episodes: int) -> States:
    """The states for measuring: in the nominal look, under every shift (one look for each episode), in two exposures of
    the nominal frame, and in a new random look."""
    looks: dict[str, Look] = {"nominal": _nominal}
    looks |= {shift: partial(_shifted, shift) for shift in SHIFTS}
    looks["random"] = partial(_random, key=11)
    found = _draw(name, _seeds("test", episodes), looks)
    gains = {f"exposure ×{gain}": exposed(found.frames["nominal"], gain) for gain in EXPOSURES}
    return replace(found, frames=gains | found.frames)


def _seeds(side: str, episodes: int) -> range:
    return range(FIRST_SEED[side], FIRST_SEED[side] + episodes)


def _draw(name: str, seeds: range, looks: dict[str, Look]) -> States:
    env = envs.make(name)
    env.with_render = False  # frames are drawn only where they are wanted
    frames: dict[str, list] = {look: [] for look in looks}
    position, episode, step = [], [], []
    for seed in states(env, seeds):
        position.append(env.cube_in_hand_m)
        episode.append(seed)
        step.append(env.steps)
        for look, dress in looks.items():
            frames[look].append(env.drawn_as(dress(seed, env.steps), seed))
    return States(
        {look: np.stack(f) for look, f in frames.items()},
        np.array(position, np.float32),
        np.array(episode),
        np.array(step),
    )


def _real_frames(folder: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A few frames of every video, spread over it: frames uint8 (N, size, size, 3), and the number of the video
    (N,)."""
    videos = find_videos(folder)
    each, frames, video = max(1, REAL_FRAMES // max(1, len(videos))), [], []
    for number, path in enumerate(videos):
        pictures = [picture for _, picture in iter_frames(path, size)]
        chosen = np.linspace(0, len(pictures) - 1, each + 2)[1:-1].round().astype(int)
        frames += [pictures[i] for i in chosen]
        video += [number] * len(chosen)
    if not frames:
        raise UserError(f"real={folder}: there is no video. Give a folder with some, or leave real= out.")
    return np.stack(frames), np.array(video)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    command.run(main, LooksConfig, "looks", positional=("encoder",))

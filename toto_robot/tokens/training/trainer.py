"""What the training of every tokenizer shares: the keys, the loop, checkpoints, scores on held-out frames.

Batches and noise depend on (seed, step) alone, so a killed run resumes from its last checkpoint and ends with the same
bits as one that was never stopped.
"""

import hashlib
import io
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from toto_robot.ground.atomic import atomic_write_bytes, atomic_write_text
from toto_robot.ground.errors import UserError
from toto_robot.tokens.base import Tokenizer, token_grid
from toto_robot.tokens.training.frames import FramePool, Frames, read_folder
from toto_robot.tokens.training.scores import reconstruction_png, score_tokenizer
from toto_robot.video.jitter import JitterConfig

RESUME, LOG, METRICS, PICTURE = "resume.pt", "log.jsonl", "metrics.json", "reconstructions.png"
NOT_COMPARED = ("out", "resume", "checkpoint_s", "videos", "more", "twins")
"""Keys in which a resumed run may differ: where and when, but not what (the frames themselves are compared)."""


@dataclass
class TokenizerTrainingConfig(ABC):
    """Keys that every tokenizer's training has."""

    videos: str = "???"
    """Folder of videos."""
    out: str = "???"
    """Folder for the weights, config.yaml, metrics.json, log.jsonl and reconstructions.png."""
    more: str = ""
    """A second folder of videos (real ones beside rendered ones, say), or nothing. Each of its sub-folders, if it has any, is
    drawn from equally often."""
    twins: str = ""
    """Folder with a second look of each of `videos` under the same name, frame for frame (`render twins=true` makes one), or
    nothing. Only the dVAE uses them."""
    jitter: JitterConfig = field(default_factory=JitterConfig)
    """How the frames that the dVAE sees are changed: exposure, white balance, noise, blur, JPEG. The target is clean."""
    more_share: float = 0.15
    """Share of each batch that comes from the second folder."""
    preset: str = "tiny"
    """Size."""
    vocab_size: int = 0
    """Codes; 0 takes the preset's."""
    image_size: int = 128
    """Pixels on the side of a frame."""
    frames_every: int = 1
    """Keep each n-th frame of a video."""
    frames_max: int = 40000
    """Frames held in memory for each folder (49 KB a frame at 128 px)."""
    held_out: float = 0.05
    """Share of the videos, whole, on which the result is scored; as in tokenize."""
    steps: int = 8000
    """Optimizer steps of all phases together."""
    start_share: float = 0.3
    """Share of the steps that train the continuous start."""
    full_share: float = 0.05
    """Share of the steps, at the end, on whole frames (with as many pixels a batch)."""
    batch: int = 16
    """Crops a step."""
    crop: int = 64
    """Pixels on the side of a training crop, a multiple of a token's."""
    lr: float = 3e-3
    """Peak learning rate of every phase."""
    average: float = 0.998
    """Decay of the averaged weights, which are what is saved."""
    precision: str = "float32"
    """float32, or bfloat16 for the convolutions but the codes' own: equal scores in 0.65 of the time on a CPU that
    multiplies in bfloat16 (avx512_bf16 in /proc/cpuinfo), slower on one that doesn't."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    device: str = "cpu"
    """cpu or cuda."""
    resume: bool = False
    """Go on from OUT/resume.pt, which a killed run with an equal config left."""
    checkpoint_s: float = 60.0
    """Seconds between checkpoints."""

    @property
    @abstractmethod
    def patch(self) -> int:
        """Pixels on the side of a token."""

    def __post_init__(self):
        patch = self.patch
        token_grid(self.image_size, patch)
        if self.crop % patch or not patch <= self.crop <= self.image_size:
            raise UserError(f"crop: expected a multiple of {patch} up to image_size={self.image_size}, got {self.crop}")
        for name in ("steps", "batch", "frames_every", "frames_max"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.precision not in ("float32", "bfloat16"):
            raise UserError(f"precision: expected float32 or bfloat16, got {self.precision!r}")
        for name in ("start_share", "full_share", "more_share"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}: expected a share from 0 to below 1, got {getattr(self, name)}")
        if not self.lr > 0:
            raise UserError(f"lr: expected a number above 0, got {self.lr}")

    @property
    def start_steps(self) -> int:
        """Steps of the continuous phase, at least one."""
        return max(1, round(self.steps * self.start_share))


class TokenizerTrainer(ABC):
    """The state of a run. `average` is the tokenizer that will be saved; `advance()` does one step."""

    parts: tuple[str, ...]
    """Attributes whose `state_dict` the next step depends on."""
    average: Tokenizer

    def __init__(self, cfg, pool: FramePool):
        self.cfg, self.pool, self.step = cfg, pool, 0

    @abstractmethod
    def advance(self) -> dict:
        """One optimizer step; returns what to log."""

    def autocast(self) -> torch.autocast:
        """bfloat16 where the keys ask for it."""
        return torch.autocast(
            torch.device(self.cfg.device).type, torch.bfloat16, enabled=self.cfg.precision == "bfloat16"
        )

    def batch_shape(self) -> tuple[int, int]:
        """(count, side in pixels) of this step's pictures: crops, and whole frames at the end with as many pixels in all."""
        cfg = self.cfg
        if self.step >= cfg.steps - round(cfg.steps * cfg.full_share):
            return max(1, cfg.batch * cfg.crop**2 // cfg.image_size**2), cfg.image_size
        return cfg.batch, cfg.crop

    @torch.no_grad()
    def update_average(self, model: torch.nn.Module, since: int) -> None:
        """Merge `model` into the average, `since` steps after its phase began."""
        decay = min(self.cfg.average, (since + 1) / (since + 10))
        for mean, now in zip(self.average.parameters(), model.parameters()):
            mean.lerp_(now, 1 - decay)

    def save(self, path: Path, identity: str) -> None:
        """Write everything that the next step depends on, atomically."""
        buffer = io.BytesIO()
        torch.save(
            {
                "identity": identity,
                "step": self.step,
                **{name: getattr(self, name).state_dict() for name in self.parts},
            },
            buffer,
        )
        atomic_write_bytes(path, buffer.getvalue())

    def load(self, path: Path, identity: str) -> None:
        """Go back to what `save` wrote. UserError for a foreign or damaged file or another config."""
        if not path.is_file():
            raise UserError(f"nothing to resume: {path} does not exist; start without resume=true")
        try:
            state = torch.load(path, map_location=self.cfg.device, weights_only=True)
            found = state["identity"]
        except Exception as error:
            raise UserError(
                f"{path} is not a checkpoint of this command ({type(error).__name__}); start without resume=true"
            ) from error
        if found != identity:
            raise UserError(
                f"{path} belongs to a run with another config or other frames; give the same keys, "
                "or start without resume=true"
            )
        self.step = state["step"]
        self.phase_began()
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])

    def phase_began(self) -> None:
        """Puts the optimizer in the shape of the phase that `step` is in, before a checkpoint is read into it."""


def cosine(start: float, end: float, progress: float) -> float:
    """From start to end along half a cosine, for progress in [0, 1] (clipped)."""
    progress = min(1.0, max(0.0, progress))
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def train_tokenizer(
    cfg,
    make_trainer: Callable[[Any, FramePool], TokenizerTrainer],
    tell: Callable[[str], None] = lambda text: None,
    show: Callable[[int, dict], None] = lambda step, values: None,
) -> dict:
    """Train, save and score; returns held-out scores of all frames and of each source."""
    out, began = Path(cfg.out), time.monotonic()
    folders = [(cfg.videos, 1 - cfg.more_share if cfg.more else 1.0), *_shares(cfg.more, cfg.more_share)]
    read = [
        read_folder(
            folder,
            size=cfg.image_size,
            every=cfg.frames_every,
            most=cfg.frames_max,
            held_out=cfg.held_out,
            tell=tell,
            twins=cfg.twins if i == 0 else "",
        )
        for i, (folder, _) in enumerate(folders)
    ]
    trainer = make_trainer(
        cfg,
        FramePool(
            [r.train for r in read], [share for _, share in folders], cfg.seed, [r.twins for r in read], cfg.jitter
        ),
    )
    identity = _identity(cfg, [f for r in read for f in (r.train, r.twins) if f is not None])
    if cfg.resume:
        trainer.load(out / RESUME, identity)
    tell(
        f"{sum(len(r.train) for r in read)} frames to train on, {sum(len(r.held_out) for r in read)} held out, "
        f"{sum(len(r.left_out) for r in read)} files left out"
    )
    _run(trainer, out, identity, show)
    trainer.average.save(out)
    scores = _score(
        trainer.average, out, {Path(folder).name + "'" * i: r for i, ((folder, _), r) in enumerate(zip(folders, read))}
    )
    scores |= {
        "out": str(out),
        "steps": cfg.steps,
        "seconds": round(time.monotonic() - began, 1),
        "left_out": [entry for r in read for entry in r.left_out],
    }
    atomic_write_text(out / METRICS, json.dumps(scores, indent=1))
    (out / RESUME).unlink(missing_ok=True)
    return scores


def _shares(more: str, share: float) -> list[tuple[str, float]]:
    """The second folder and its share, or each of its sub-folders with an equal part: a source with many clips does not
    drown the others."""
    if not more:
        return []
    parts = sorted(str(path) for path in Path(more).iterdir() if path.is_dir()) if Path(more).is_dir() else []
    return [(part, share / len(parts)) for part in parts] or [(more, share)]


def on_screen(name: str, cfg, train: Callable) -> dict:
    """`train(cfg, tell, show)` with a bar on stderr."""
    console = Console(stderr=True)
    columns = (
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        job = bar.add_task("reading frames", total=cfg.steps)

        def tell(text: str) -> None:
            bar.update(job, description=text)
            if not text.startswith("reading"):
                console.print(text)

        def show(step: int, values: dict) -> None:
            bar.update(job, completed=step)
            if step % 50 == 0:
                bar.update(job, description=f"{values['phase']}  loss {float(values['loss']):.3f}")

        return train(cfg, tell, show)


def _run(trainer: TokenizerTrainer, out: Path, identity: str, show: Callable[[int, dict], None]) -> None:
    cfg = trainer.cfg
    out.mkdir(parents=True, exist_ok=True)
    saved = time.monotonic()
    log_path = out / LOG
    kept = (
        [line for line in log_path.read_text().splitlines() if json.loads(line)["step"] <= trainer.step]
        if trainer.step and log_path.is_file()
        else []
    )
    atomic_write_text(log_path, "".join(line + "\n" for line in kept))
    with open(log_path, "a", encoding="utf-8") as log:
        while trainer.step < cfg.steps:
            values = trainer.advance()
            if trainer.step % 50 == 0 or "dead" in values or trainer.step == cfg.steps:
                values = {k: float(v) if isinstance(v, Tensor) else v for k, v in values.items()}
                log.write(json.dumps({"step": trainer.step, **values}) + "\n")
                log.flush()
            show(trainer.step, values)
            if time.monotonic() - saved > cfg.checkpoint_s:
                trainer.save(out / RESUME, identity)
                saved = time.monotonic()


def _score(tokenizer: Tokenizer, out: Path, read: dict[str, Frames]) -> dict:
    """Scores on the held-out frames (training frames where a folder holds a single video) and the picture."""
    held_out = {name: r.held_out if len(r.held_out) else r.train[:256] for name, r in read.items()}
    scores = score_tokenizer(tokenizer, np.concatenate(list(held_out.values())))
    scores["sources"] = {name: score_tokenizer(tokenizer, frames) for name, frames in held_out.items()}
    reconstruction_png(tokenizer, held_out, out / PICTURE)
    return scores


def _identity(cfg, sources: list[np.ndarray]) -> str:
    """Equal for runs that may continue each other: same keys and same frames."""
    keys = {k: v for k, v in asdict(cfg).items() if k not in NOT_COMPARED}
    digest = hashlib.sha256(json.dumps(keys, sort_keys=True).encode())
    for frames in sources:
        digest.update(str(frames.shape).encode() + np.ascontiguousarray(frames[:: max(1, len(frames) // 64)]).tobytes())
    return digest.hexdigest()

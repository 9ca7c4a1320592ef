"""What the training of every tokenizer shares: the keys, the loop, checkpoints, scores on held-out frames.

On the arrow: video frames → tokenizer. Batches and noise depend on (seed, step) alone. Therefore a killed run resumes
from its last checkpoint, and ends with the same bits as a run that was never stopped.
"""

import hashlib
import io
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toto_robot.ground.atomic import atomic_write_bytes, atomic_write_text
from toto_robot.ground.average import update_average
from toto_robot.ground.errors import UserError, expected
from toto_robot.ground.finite import check_loss
from toto_robot.ground.resume import check_resumable
from toto_robot.ground.schedules import half_cosine
from toto_robot.ground.screen import Bar, cut_log
from toto_robot.tokens.base import Tokenizer, token_grid
from toto_robot.tokens.training.frames import FramePool, Frames, read_folder
from toto_robot.tokens.training.scores import reconstruction_png, score_tokenizer
from toto_robot.video.jitter import JitterConfig

RESUME, LOG, METRICS, PICTURE = "resume.pt", "log.jsonl", "metrics.json", "reconstructions.png"
NOT_COMPARED = ("out", "resume", "checkpoint_s", "videos", "more", "twins")
"""Keys in which a resumed run may differ: they say where and when. The frames themselves are compared."""
WARMUP = 50
"""Steps of linear warm-up at the start of each phase."""
LOG_EVERY = 50
"""Steps between lines of the log."""


@dataclass
class TokenizerTrainingConfig(ABC):
    """Keys of the training of every tokenizer."""

    videos: str = "???"
    """Folder of videos."""
    out: str = "???"
    """Folder for the weights, config.yaml, metrics.json, log.jsonl and reconstructions.png."""
    more: str = ""
    """A second folder of videos, for example real ones beside rendered ones. By default there is none. If it has
    sub-folders, each of them is drawn from equally often."""
    twins: str = ""
    """Folder with a second look of each of `videos` under the same name, frame for frame. `render twins=true` makes
    one. By default there is none. Only the dVAE uses it."""
    jitter: JitterConfig = field(default_factory=JitterConfig)
    """How much the frames that the dVAE sees are changed: exposure, white balance, noise, blur, JPEG. The target stays
    clean."""
    more_share: float = 0.15
    """Share of each batch that comes from the second folder."""
    preset: str = "tiny"
    """Size."""
    vocab_size: int = 0
    """Number of codes. 0 takes the preset's."""
    image_size: int = 128
    """Pixels on the side of a frame."""
    frames_every: int = 1
    """Keep each n-th frame of a video."""
    frames_max: int = 40000
    """Frames held in memory for each folder (49 KB a frame at 128 px)."""
    held_out: float = 0.05
    """Share of the videos that is held out whole; the result is scored on them. The split is the one of tokenize."""
    steps: int = 8000
    """Optimizer steps of all phases together."""
    start_share: float = 0.3
    """Share of the steps that train the continuous start."""
    full_share: float = 0.05
    """Share of the steps, at the end, on whole frames. A batch then has as many pixels as before."""
    batch: int = 16
    """Crops a step."""
    crop: int = 64
    """Pixels on the side of a training crop, a multiple of a token's side."""
    lr: float = 3e-3
    """Peak learning rate of every phase."""
    average: float = 0.998
    """Decay of the averaged weights. The averaged weights are saved."""
    precision: str = "float32"
    """float32, or bfloat16 for all convolutions except those that give the codes. On a CPU that multiplies in bfloat16
    (avx512_bf16 in /proc/cpuinfo) it reaches equal scores in 0.65 of the time; on any other it is slower."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    device: str = "cpu"
    """cpu or cuda."""
    resume: bool = False
    """Continue from OUT/resume.pt, which a killed run with the same settings left."""
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
            raise expected("crop", f"a multiple of {patch} up to image_size={self.image_size}", self.crop)
        for name in ("steps", "batch", "frames_every", "frames_max"):
            if getattr(self, name) < 1:
                raise expected(name, "at least 1", getattr(self, name))
        if self.precision not in ("float32", "bfloat16"):
            raise expected("precision", "float32 or bfloat16", repr(self.precision))
        for name in ("start_share", "full_share", "more_share"):
            if not 0 <= getattr(self, name) < 1:
                raise expected(name, "a share from 0 to below 1", getattr(self, name))
        if not self.lr > 0:
            raise expected("lr", "a number above 0", self.lr)

    @property
    def start_steps(self) -> int:
        """Steps of the continuous phase, at least one."""
        return max(1, round(self.steps * self.start_share))


class TokenizerTrainer(ABC):
    """The state of a run. `average` is the tokenizer that is saved at the end; `advance()` does one step."""

    parts: tuple[str, ...]
    """Names of the attributes whose `state_dict` the next step depends on."""
    average: Tokenizer

    def __init__(self, cfg, pool: FramePool):
        self.cfg, self.pool, self.step = cfg, pool, 0

    @abstractmethod
    def advance(self) -> dict:
        """Do one optimizer step. Returns what to log."""

    def autocast(self) -> torch.autocast:
        """A context with bfloat16, if the keys ask for it."""
        return torch.autocast(
            torch.device(self.cfg.device).type, torch.bfloat16, enabled=self.cfg.precision == "bfloat16"
        )

    def batch_shape(self) -> tuple[int, int]:
        """(count, side in pixels) of this step's pictures: crops; at the end whole frames with as many pixels in
        all."""
        cfg = self.cfg
        if self.step >= cfg.steps - round(cfg.steps * cfg.full_share):
            return max(1, cfg.batch * cfg.crop**2 // cfg.image_size**2), cfg.image_size
        return cfg.batch, cfg.crop

    def check(self, loss: Tensor, norm: Tensor) -> None:
        """Raise UserError unless this step's loss and gradient norm are finite. Call it before the weights change."""
        remedy = f"Start again with a smaller lr than {self.cfg.lr:g}."
        check_loss(f"step {self.step + 1}", remedy, loss=loss.item(), gradient_norm=norm.item())

    def update_average(self, model: torch.nn.Module, since: int) -> None:
        """Merge `model` into the average, `since` steps after its phase began."""
        update_average(self.average, model, updates=since, decay=self.cfg.average)

    def save(self, path: Path, settings: "Settings") -> None:
        """Write everything that the next step depends on, atomically."""
        state = {"identity": settings.identity, "settings": settings.values, "step": self.step}
        buffer = io.BytesIO()
        torch.save(state | {name: getattr(self, name).state_dict() for name in self.parts}, buffer)
        atomic_write_bytes(path, buffer.getvalue())

    def load(self, path: Path, settings: "Settings") -> None:
        """Return to the state that `save` wrote. Raises UserError for a foreign or damaged file, or other settings."""
        if not path.is_file():
            raise UserError(f"There is nothing to resume: {path} does not exist. Start without resume=true.")
        try:
            state = torch.load(path, map_location=self.cfg.device, weights_only=True)
            found = state["identity"]
        except Exception as error:
            raise UserError(
                f"{path} is not a checkpoint of this command ({type(error).__name__}). Start without resume=true."
            ) from error
        # Older checkpoints hold only the hash of their settings, so their differences have no names.
        check_resumable(str(path), state.get("settings", {}), settings.values if "settings" in state else {})
        check_resumable(str(path), {"settings or frames": found}, {"settings or frames": settings.identity})
        self.step = state["step"]
        self.phase_began()
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])

    def phase_began(self) -> None:
        """Prepare the optimizer for the phase that `step` is in, before a checkpoint is read into it."""


def rate_of(peak: float, since: int, of: float, final: float) -> float:
    """Learning rate, `since` steps after a phase of `of` steps began: half a cosine from `peak` to `final` · `peak`,
    times a linear warm-up."""
    warm = min(1.0, (since + 1) / WARMUP)
    return peak * warm * (final + (1 - final) * half_cosine(min(1.0, since / of)))


@dataclass(frozen=True)
class Settings:
    """What two runs must share so that one may continue the other: the keys and the frames."""

    values: dict
    """The keys that are compared, by name, and a hash of the frames."""
    identity: str
    """One hash of all of it, as older checkpoints hold it."""

    @classmethod
    def of(cls, cfg, sources: list[np.ndarray]) -> "Settings":
        keys = {k: v for k, v in asdict(cfg).items() if k not in NOT_COMPARED}
        digest, frames_digest = hashlib.sha256(json.dumps(keys, sort_keys=True).encode()), hashlib.sha256()
        for frames in sources:  # about 64 frames of each source stand for all of it
            some = str(frames.shape).encode() + np.ascontiguousarray(frames[:: max(1, len(frames) // 64)]).tobytes()
            digest.update(some)
            frames_digest.update(some)
        return cls(keys | {"frames": frames_digest.hexdigest()}, digest.hexdigest())


def train_tokenizer(
    cfg,
    make_trainer: Callable[[Any, FramePool], TokenizerTrainer],
    tell: Callable[[str], None] = lambda text: None,
    show: Callable[[int, dict], None] = lambda step, values: None,
) -> dict:
    """Train, save and score. Returns the held-out scores over all frames and over those of each source."""
    out, began = Path(cfg.out), time.monotonic()
    # 1. Read the frames: the first folder, and the second one in its parts.
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
    settings = Settings.of(cfg, [f for r in read for f in (r.train, r.twins) if f is not None])
    if cfg.resume:
        trainer.load(out / RESUME, settings)
    tell(
        f"{sum(len(r.train) for r in read)} frames to train on, {sum(len(r.held_out) for r in read)} held out, "
        f"{sum(len(r.left_out) for r in read)} files left out"
    )
    # 2. Train, then save and score the averaged weights.
    _run(trainer, out, settings, show)
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
    """The second folder and its share, or each of its sub-folders with an equal part of the share.

    This way a source with many clips does not drown the others.
    """
    if not more:
        return []
    parts = sorted(str(path) for path in Path(more).iterdir() if path.is_dir()) if Path(more).is_dir() else []
    return [(part, share / len(parts)) for part in parts] or [(more, share)]


def on_screen(name: str, cfg, train: Callable) -> dict:
    """`train(cfg, tell, show)` with a bar on stderr."""
    with Bar(name, cfg.steps) as bar:

        def tell(text: str) -> None:
            bar.at(detail=text)
            if not text.startswith("reading"):
                bar.say(text)

        def show(step: int, values: dict) -> None:
            said = f"{values['phase']}  loss {float(values['loss']):.3f}" if step % LOG_EVERY == 0 else None
            bar.at(step, said, line=f"step {step}/{cfg.steps}  {said}" if said else "")

        return train(cfg, tell, show)


def _run(trainer: TokenizerTrainer, out: Path, settings: Settings, show: Callable[[int, dict], None]) -> None:
    """Do the steps that are left, with a log and a checkpoint now and then."""
    cfg = trainer.cfg
    out.mkdir(parents=True, exist_ok=True)
    saved = time.monotonic()
    cut_log(out / LOG, lambda line: line["step"] <= trainer.step)
    with open(out / LOG, "a", encoding="utf-8") as log:
        while trainer.step < cfg.steps:
            values = trainer.advance()
            if trainer.step % LOG_EVERY == 0 or "dead" in values or trainer.step == cfg.steps:
                values = {k: float(v) if isinstance(v, Tensor) else v for k, v in values.items()}
                log.write(json.dumps({"step": trainer.step, **values}) + "\n")
                log.flush()
            show(trainer.step, values)
            if time.monotonic() - saved > cfg.checkpoint_s:
                trainer.save(out / RESUME, settings)
                saved = time.monotonic()


def _score(tokenizer: Tokenizer, out: Path, read: dict[str, Frames]) -> dict:
    """Scores on the held-out frames, and the picture. Where a folder holds a single video, training frames are
    scored."""
    held_out = {name: r.held_out if len(r.held_out) else r.train[:256] for name, r in read.items()}
    scores = score_tokenizer(tokenizer, np.concatenate(list(held_out.values())))
    scores["sources"] = {name: score_tokenizer(tokenizer, frames) for name, frames in held_out.items()}
    reconstruction_png(tokenizer, held_out, out / PICTURE)
    return scores

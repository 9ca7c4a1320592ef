"""Test whether a model has learned video: compare its predictions of held-out clips with copies of the previous frame.

    python -m toto_robot.completion runs/toto/model data/tokens_val
    python -m toto_robot.completion runs/toto/model data/tokens_val table_from=data/tokens out=runs/completion

There are two tables. Teacher-forced: every frame from the second on, where all earlier codes are true. Free-running:
four frames after the first eight, where the model continues from its own predictions and takes the most likely code
each time. Both count all blocks, and the blocks whose code changed, where a copy is never correct. table_from= adds a
third predictor: how often each code follows each other code at the same place, counted over a training store. The
command writes completion.json, completion.md and completion.png (bits a changed block, by frame) to `out`.
"""

import io
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import MISSING

import toto_robot
from toto_robot import command
from toto_robot.evaluation.prediction import Prediction, Table, free_running, teacher_forced
from toto_robot.ground.atomic import atomic_write_bytes, atomic_write_text
from toto_robot.ground.errors import UserError
from toto_robot.ground.screen import show_count
from toto_robot.tokens.special import VIDEO
from toto_robot.tokens.store.token_store import TokenStore


@dataclass
class CompletionConfig:
    """Settings of `python -m toto_robot.completion`."""

    encoder: str = MISSING
    """Name of an encoder, or a model folder made by `pretrain`."""
    store: str = MISSING
    """Token store of held-out clips, made by the same tokenizer."""
    table_from: str = ""
    """Token store of training clips, for the table of codes. By default there is no such table."""
    rows: int = 64
    """Number of clips, spread evenly over the store."""
    table_rows: int = 2000
    """Number of clips for the table of codes, spread evenly over its store."""
    given: int = 8
    """Frames that are given before the free-running ones."""
    frames: int = 4
    """Number of free-running frames. 0 leaves that table out."""
    free_rows: int = 16
    """Number of clips that are continued."""
    dtype: str = "float32"
    """The transformer's dtype: float32, bfloat16 or auto."""
    threads: int | None = None
    """CPU threads; by default all cores."""
    out: str = "runs/completion"
    """Folder for the results."""

    def __post_init__(self) -> None:
        if min(self.rows, self.table_rows, self.given, self.free_rows) < 1 or self.frames < 0:
            raise UserError("rows, table_rows, given and free_rows must be at least 1 and frames at least 0.")


def main(cfg: CompletionConfig) -> dict:
    """Predict, count and write the tables. Returns their numbers."""
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    encoder = toto_robot.load_encoder(cfg.encoder, dtype=cfg.dtype)
    if encoder.toto is None or encoder.tokenizer.continuous:
        raise UserError(f"encoder={cfg.encoder} predicts no codes. Give toto_tiny or a model folder made by pretrain.")
    codes = clips(cfg.store, cfg.rows, encoder)
    if cfg.frames and cfg.given + cfg.frames > codes.shape[1]:
        raise UserError(
            f"given={cfg.given} and frames={cfg.frames}: a clip of {cfg.store} has {codes.shape[1]} frames."
        )
    table = (
        Table(clips(cfg.table_from, cfg.table_rows, encoder).numpy(), encoder.tokenizer.vocab_size)
        if cfg.table_from
        else None
    )
    print(f"{len(codes)} clips, teacher-forced", file=sys.stderr, flush=True)
    found = {"teacher-forced": teacher_forced(encoder.toto, codes, table)}
    if cfg.frames:
        some = codes[torch.linspace(0, len(codes) - 1, min(cfg.free_rows, len(codes))).round().long()]
        tell = lambda done: show_count(done, len(some), "clips, free-running")
        found["free-running"] = free_running(encoder.toto, encoder.tokenizer, some, cfg.given, cfg.frames, tell)
    facts = {"encoder": cfg.encoder, "store": cfg.store, "clips": len(codes)}
    write(Path(cfg.out), found, facts)
    print(tables(found), file=sys.stderr)
    plain = {mode: {name: _short(p) for name, p in rows.items()} for mode, rows in found.items()}
    return {**facts, **plain, "out": cfg.out}


def clips(path: str, rows: int, encoder) -> torch.Tensor:
    """Codes int64 (R, F, S) of video rows, spread evenly over a store. Raises UserError if another tokenizer made
    it."""
    store = TokenStore(path)
    if store.tokenizer != encoder.tokenizer.fingerprint():
        raise UserError(f"{path} was made by another tokenizer than that of {encoder!r}. Tokenize the videos with it.")
    videos = np.flatnonzero(store.kinds == VIDEO)
    if not len(videos):
        raise UserError(f"{path} has no video rows. Tokenize videos.")
    chosen = videos[np.unique(np.linspace(0, len(videos) - 1, min(rows, len(videos))).round().astype(int))]
    return torch.from_numpy(np.stack([store[i] for i in chosen]).astype(np.int64))


def tables(found: dict[str, dict[str, Prediction]]) -> str:
    """Markdown, a table for each mode."""
    parts = []
    for mode, rows in found.items():
        parts.append(
            f"\n## {mode}\n\n| predictor | right, all blocks % | right, changed blocks % | bits a block "
            "| bits a changed block | PSNR dB |\n|---|---|---|---|---|---|"
        )
        for name, p in rows.items():
            cells = [
                _percent(p.accuracy),
                _percent(p.accuracy_changed),
                _number(p.bits),
                _number(p.bits_changed),
                _number(p.psnr),
            ]
            parts.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(parts) + "\n"


def write(out: Path, found: dict[str, dict[str, Prediction]], facts: dict) -> None:
    """Write completion.json, completion.md and completion.png to `out`."""
    plain = {mode: {name: asdict(p) for name, p in rows.items()} for mode, rows in found.items()}
    atomic_write_text(out / "completion.json", json.dumps({**facts, **plain}, indent=1) + "\n")
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    atomic_write_text(out / "completion.md", f"# Predictions of held-out clips\n\n{said}\n{tables(found)}")
    atomic_write_bytes(out / "completion.png", draw(found["teacher-forced"]))


def draw(rows: dict[str, Prediction]) -> bytes:
    """A PNG: bits a changed block against the place of the frame in its clip."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, p in rows.items():
        if p.bits_changed_by_frame:
            axes.plot(range(2, 2 + len(p.bits_changed_by_frame)), p.bits_changed_by_frame, "o-", label=name)
    axes.set(xlabel="frame of the clip", ylabel="bits a changed block")
    axes.legend(frameon=False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def _short(p: Prediction) -> dict:
    return {
        "accuracy": round(p.accuracy.mean, 4),
        "accuracy_changed": round(p.accuracy_changed.mean, 4),
        "bits_changed": p.bits_changed and round(p.bits_changed, 3),
        "psnr": p.psnr and round(p.psnr, 2),
    }


def _percent(value) -> str:
    return f"{100 * value.mean:.1f} ({100 * value.low:.1f}–{100 * value.high:.1f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    command.run(main, CompletionConfig, "completion", positional=("encoder", "store"))

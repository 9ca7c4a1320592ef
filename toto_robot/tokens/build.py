"""Videos to a token store: one idempotent task for each shard, run by a local pool.

A shard's name holds a hash of what goes into it (files with size and time, sampling, tokenizer). A finished
shard is never made again; a killed job goes on where it stopped. A file that can't be used is
recorded in the store with its reason, and the job goes on.
"""
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from toto_robot.errors import UserError
from toto_robot.tokens.base import Tokenizer, token_grid
from toto_robot.tokens.store import read_shard_rows, write_index, write_shard
from toto_robot.tokens.tokenizer import find_tokenizer, load_tokenizer
from toto_robot.video.decode import IMAGE_SUFFIXES, VideoError, find_videos, iter_frames, read_image, split_held_out
from toto_robot.video.sampling import FRAMES, SPACING_S, TooShort, clip_indices

SEGMENT = 4096           # frames of a long video held in memory at a time (200 MB at 128 px)
PARTS = ("all", "train", "held_out")


@dataclass
class TokenizeConfig:
    source: str = "???"
    """Folder with videos (mp4, gif, webm, mov, mkv, avi) and pictures (png, jpg), searched to any depth; or one file."""
    out: str = "???"
    """Folder of the token store."""
    tokenizer: str = "toto_tiny"
    """An embedded encoder's name, a folder of train_dvae, or a published file (encoder.pkl, a VQGAN's .ckpt)."""
    image_size: int = 128
    """Pixels: the shortest side is scaled to this, then the centre is cropped."""
    frames: int = FRAMES
    """Frames in a row."""
    spacing_s: float = SPACING_S
    """Seconds between the frames of a clip: stride 4 at 30 fps (Sec. 3.1)."""
    hop_s: float = FRAMES * SPACING_S
    """Seconds from one clip's start to the next one's. Smaller than a clip's length: clips overlap."""
    part: str = "all"
    """all, train or held_out: which side of the held-out split to tokenize."""
    held_out: float = 0.05
    """Share of the videos on the held-out side (whole videos, by a hash of their file name; as in train_dvae)."""
    files_per_shard: int = 64
    """Files in one shard, the unit of work that a killed job repeats."""
    workers: int = 0
    """Processes, one thread each; 0 means as many as there are cores."""

    def __post_init__(self):
        if self.part not in PARTS:
            raise UserError(f"part: expected one of {', '.join(PARTS)}, got {self.part!r}")
        for name in ("frames", "files_per_shard"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("spacing_s", "hop_s"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}: expected a number of seconds above 0, got {getattr(self, name)}")
        if self.workers < 0:
            raise UserError(f"workers: expected 0 (all cores) or more, got {self.workers}")
        token_grid(self.image_size, patch=8)           # at once; the tokenizer's own grid, when it is open


@dataclass(frozen=True)
class ShardTask:
    name: str
    store: str
    root: str
    files: tuple[str, ...]
    """Relative to root."""
    tokenizer: str
    image_size: int
    frames: int
    spacing_s: float
    hop_s: float


def build_store(cfg: TokenizeConfig, progress: Callable[[int, int], None] = lambda done, total: None) -> dict:
    """Make (or complete) the store and return its summary; UserError when not one row came out."""
    folder = find_tokenizer(cfg.tokenizer)
    dvae = load_tokenizer(folder)
    out, tokens = Path(cfg.out), dvae.grid(cfg.image_size)[0] ** 2
    described = {"frames": cfg.frames, "tokens_per_frame": tokens, "vocab_size": dvae.vocab_size,
                 "tokenizer": dvae.fingerprint(), "image_size": cfg.image_size, "spacing_s": cfg.spacing_s, "hop_s": cfg.hop_s}
    tasks = plan(cfg, folder, described)
    (out / "shards").mkdir(parents=True, exist_ok=True)
    waiting = [task for task in tasks if read_shard_rows(out, task.name) is None]
    for done, _ in enumerate(_run(waiting, cfg.workers), start=len(tasks) - len(waiting) + 1):
        progress(done, len(tasks))
    fingerprint = write_index(out, described, [task.name for task in tasks])
    _remove_stale(out, {task.name for task in tasks})
    return _summary(out, fingerprint, tasks, made=len(waiting))


def plan(cfg: TokenizeConfig, folder: Path, described: dict) -> list[ShardTask]:
    """The shard tasks of a source folder, videos first, then pictures in hashed order (a row mixes folders)."""
    source = Path(cfg.source)
    files = find_videos(source, images=True)
    root = source if source.is_dir() else source.parent
    if cfg.part != "all":
        files = split_held_out(files, cfg.held_out)[PARTS.index(cfg.part) - 1]
    if not files:
        raise UserError(f"{source}: part={cfg.part} is empty; give more videos or another held_out share than {cfg.held_out}")
    pictures = [f for f in files if f.suffix.lower() in IMAGE_SUFFIXES]
    pictures.sort(key=lambda f: hashlib.sha256(f.relative_to(root).as_posix().encode()).digest())
    videos = [f for f in files if f.suffix.lower() not in IMAGE_SUFFIXES]
    chunks = [videos[i:i + cfg.files_per_shard] for i in range(0, len(videos), cfg.files_per_shard)]
    step = cfg.frames * cfg.files_per_shard
    chunks += [pictures[i:i + step] for i in range(0, len(pictures), step)]
    tasks = []
    for i, chunk in enumerate(chunks):
        stats = [(f.relative_to(root).as_posix(), f.stat().st_size, f.stat().st_mtime_ns) for f in chunk]
        key = hashlib.sha256(json.dumps([described, stats], sort_keys=True).encode()).hexdigest()[:12]
        tasks.append(ShardTask(f"{i:05d}-{key}", str(cfg.out), str(root), tuple(s[0] for s in stats), str(folder),
                               cfg.image_size, cfg.frames, cfg.spacing_s, cfg.hop_s))
    return tasks


def _run(tasks: list[ShardTask], workers: int) -> Iterator[str]:
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    if workers <= 1:
        yield from map(make_shard, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(make_shard, tasks)


def make_shard(task: ShardTask) -> str:
    """Tokenize the files of one shard and write it; returns its name."""
    dvae = load_tokenizer(task.tokenizer)
    codes, rows, left_out, pictures = [], [], [], []
    for name in task.files:
        path = Path(task.root) / name
        try:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                pictures.append((name, read_image(path, task.image_size)))
            else:
                made = list(video_rows(dvae, path, name, task))
                codes += [c for c, _ in made]
                rows += [row for _, row in made]
        except (VideoError, TooShort) as error:
            left_out.append({"source": name, "reason": str(error)})
        if len(pictures) == task.frames:
            codes.append(dvae.encode(np.stack([p for _, p in pictures])).numpy().astype(np.uint16))
            rows.append({"source": [n for n, _ in pictures], "kind": "image", "first_s": 0.0, "last_s": 0.0})
            pictures = []
    left_out += [{"source": n, "reason": f"fewer than {task.frames} pictures were left for a row"} for n, _ in pictures]
    shape = (0, task.frames, dvae.grid(task.image_size)[0] ** 2)
    write_shard(Path(task.store), task.name, np.stack(codes) if codes else np.zeros(shape, np.uint16), rows, left_out)
    return task.name


def video_rows(dvae: Tokenizer, path: Path, name: str, task: ShardTask) -> Iterator[tuple[np.ndarray, dict]]:
    """Codes uint16 (F, S) and a description of each clip of one video. Raises VideoError or TooShort."""
    for number, (frames, times_s) in enumerate(_segments(path, task.image_size)):
        if number and times_s[-1] - times_s[0] < (task.frames - 1) * task.spacing_s:
            return                                     # the short rest of a long video
        clips = clip_indices(times_s, frames=task.frames, spacing_s=task.spacing_s, hop_s=task.hop_s)
        used, where = np.unique(clips, return_inverse=True)      # overlapping clips share their frames
        codes = dvae.encode(frames[used]).numpy().astype(np.uint16)
        for clip, at in zip(clips, where.reshape(clips.shape)):
            yield codes[at], {"source": name, "kind": "video", "first_s": round(float(times_s[clip[0]]), 4),
                              "last_s": round(float(times_s[clip[-1]]), 4)}


def _segments(path: Path, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    frames, times_s = [], []
    for time_s, frame in iter_frames(path, size):
        if len(frames) == SEGMENT:
            yield np.stack(frames), np.array(times_s)
            frames, times_s = [], []
        frames.append(frame)
        times_s.append(time_s)
    yield np.stack(frames), np.array(times_s)


def _remove_stale(out: Path, keep: set[str]) -> None:
    """Delete shards of an earlier plan and what a killed job left under temporary names."""
    for folder in (out / "shards").iterdir():
        if folder.name not in keep and re.fullmatch(r"\.?\d{5}-[0-9a-f]{12}(\..*)?", folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _summary(out: Path, fingerprint: str, tasks: list[ShardTask], made: int) -> dict:
    found = [read_shard_rows(out, task.name) for task in tasks]
    left_out = [entry for shard in found for entry in shard["left_out"]]
    rows = sum(shard["shape"][0] for shard in found)
    for entry in left_out[:20]:
        print(f"left out: {entry['source']}: {entry['reason']}", file=sys.stderr)
    if not rows:
        first = left_out[0]
        raise UserError(f"not one row came out of {len(left_out)} files; the first, {first['source']}: {first['reason']}")
    return {"store": str(out), "rows": rows, "files": sum(len(task.files) for task in tasks), "left_out": len(left_out),
            "shards": len(tasks), "shards_made_now": made, "fingerprint": fingerprint}

"""Videos to a token store: one idempotent task for each shard, shared out among processes.

On the arrow: video file → frames → token ids → token store. The name of a shard holds a hash of its inputs: the files
with size and time, the sampling, the tokenizer. A finished shard is never made again, so a killed job continues where
it stopped. A file that can't be used is recorded in the store with the reason, and the job continues.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath

from toto_robot.ground.atomic import atomic_write_text
from toto_robot.ground.errors import UserError, expected, unknown
from toto_robot.tokens.base import token_grid
from toto_robot.tokens.store.executors import Step, run_local, run_ray
from toto_robot.tokens.store.shards import ShardTask
from toto_robot.tokens.store.token_store import has_shard, write_index
from toto_robot.tokens.tokenizer import find_tokenizer, load_tokenizer
from toto_robot.video.datasets import SPLITS
from toto_robot.video.decode import split_held_out
from toto_robot.video.flaws import Flaws
from toto_robot.video.items import Item, Source
from toto_robot.video.sampling import FRAMES, SPACING_S
from toto_robot.video.sources import open_source

PARTS = ("all", "train", "held_out")
EXECUTORS = ("local", "ray")
FLAWS = tuple(f.name for f in fields(Flaws))
MISSING = "missing.jsonl"
NAMED = 20  # files left out that are named on stderr; the store names them all


@dataclass
class TokenizeConfig:
    source: str = "???"
    """A folder of videos (mp4, gif, webm, mov, mkv, avi) and pictures (png, jpg) at any depth, one file, or a data set.
    The layout of a data set is detected. KIND:FOLDER forces one of imagenet, kinetics, ego4d, epic, howto100m,
    webdataset, lerobot, folder."""
    out: str = "???"
    """Folder of the token store."""
    tokenizer: str = "toto_tiny"
    """The name of an embedded encoder, a folder of train_dvae or train_vqgan, a published file (encoder.pkl, a VQGAN's
    .ckpt), or patches:PIXELS for continuous patches."""
    image_size: int = 128
    """Pixels on the side of a frame: the shorter side is scaled to this, then the centre is cropped."""
    frames: int = FRAMES
    """Frames in a row."""
    spacing_s: float = SPACING_S
    """Seconds between the frames of a clip: stride 4 at 30 fps (Sec. 3.1)."""
    hop_s: float = FRAMES * SPACING_S
    """Seconds from the start of one clip to the start of the next. Clips overlap if it is smaller than their length."""
    views: int = 0
    """0: the centre of the picture. N: each clip becomes N rows, each seen through a random square whose side is 62 to
    100 % of the picture's shorter side (the paper takes random crops). For training; validate on the centre."""
    mirror: bool = False
    """Half of the random views are mirrored. Not for a robot's camera, whose left and right have a meaning."""
    max_black: int | None = None
    """Leave out clips with more black frames than this. By default they are kept and counted."""
    max_frozen: int | None = None
    """Leave out clips with more frames than this that repeat the frame before them."""
    max_cuts: int | None = None
    """Leave out clips with more hard cuts than this."""
    split: str = "train"
    """train, val, test or all: the official split of a data set that has one (ImageNet, Kinetics)."""
    camera: str = ""
    """Camera of a LeRobot data set, for example observation.images.wrist. By default each of them."""
    part: str = "all"
    """all, train or held_out: which side of the held-out split to tokenize."""
    held_out: float = 0.05
    """Share of the videos on the held-out side: whole videos, chosen by a hash of their file name, as in train_dvae."""
    files_per_shard: int = 64
    """Files in one shard. A killed job repeats at most the shards that it was making."""
    executor: str = "local"
    """local: processes of this machine. Under torchrun each rank makes its share of the shards, and the last one to
    finish writes the index. ray: the Ray cluster of RAY_ADDRESS, or one started here (pip install
    'toto_robot[ray]')."""
    workers: int = 0
    """Processes, with one thread each. 0 means one for each core (under torchrun the ranks divide the cores)."""
    strict: bool = False
    """Exit with 1 if a file could not be read or is missing. The store is finished anyway."""

    def __post_init__(self) -> None:
        for name, choices in (("part", PARTS), ("split", (*SPLITS, "all")), ("executor", EXECUTORS)):
            if getattr(self, name) not in choices:
                raise unknown(name, getattr(self, name), choices)
        for name in ("frames", "files_per_shard"):
            if getattr(self, name) < 1:
                raise expected(name, "at least 1", getattr(self, name))
        for name in ("spacing_s", "hop_s"):
            if not getattr(self, name) > 0:
                raise expected(name, "a number of seconds above 0", getattr(self, name))
        for name in FLAWS:
            if (most := getattr(self, f"max_{name}")) is not None and most < 0:
                raise expected(f"max_{name}", "0 or more, or null to keep all", most)
        if self.views < 0:
            raise expected("views", "0 (the centre) or more", self.views)
        if self.mirror and not self.views:
            raise expected("views", "1 or more with mirror=true", self.views)
        if self.workers < 0:
            raise expected("workers", "0 (all cores) or more", self.workers)
        token_grid(self.image_size, patch=8)  # an early check; the tokenizer checks its own grid when it is open

    @property
    def most(self) -> tuple[tuple[str, int], ...]:
        """How many flaws of each kind a clip may have, for the kinds that are limited."""
        limits = [(name, getattr(self, f"max_{name}")) for name in FLAWS]
        return tuple((name, most) for name, most in limits if most is not None)


@dataclass
class Progress:
    """The progress of a job. A resumed job counts only the bytes and frames of this run."""

    shards: int
    """Finished shards, those of earlier runs included."""
    of_shards: int
    """All shards."""
    bytes: int
    """Bytes of source files that have been read."""
    of_bytes: int
    """Bytes of all source files."""
    frames: int = 0
    """Encoded frames."""
    start_s: float = field(default_factory=time.monotonic)
    """When the job began."""

    def add(self, step: Step) -> None:
        """Count what has been done since the last step."""
        self.shards += step.shards
        self.bytes += step.bytes
        self.frames += step.frames

    @property
    def frames_per_s(self) -> float:
        """Frames a second on average."""
        return self.frames / max(1e-9, time.monotonic() - self.start_s)

    @property
    def left_s(self) -> float:
        """Seconds to the end, if the remaining bytes take as long as the bytes so far."""
        return (time.monotonic() - self.start_s) * (self.of_bytes - self.bytes) / max(1, self.bytes)


def build_store(cfg: TokenizeConfig, tell: Callable[[Progress], None] = lambda progress: None) -> dict:
    """Make (or complete) the store and return its summary. Raises UserError if no row was made."""
    # 1. Describe the store and plan its shards.
    folder = find_tokenizer(cfg.tokenizer)
    tokenizer = load_tokenizer(folder)
    out, tokens = Path(cfg.out), tokenizer.grid(cfg.image_size)[0] ** 2
    described = {
        "frames": cfg.frames,
        "tokens_per_frame": tokens,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer": tokenizer.fingerprint(),
        "image_size": cfg.image_size,
        "spacing_s": cfg.spacing_s,
        "hop_s": cfg.hop_s,
    } | ({"continuous": True} if tokenizer.continuous else {})
    described |= {"views": cfg.views, "mirror": cfg.mirror} if cfg.views else {}
    described |= {f"max_{name}": most for name, most in cfg.most}
    source = open_source(cfg.source, cfg.split, cfg.camera)
    tasks = plan(cfg, source, folder, described)
    # 2. Make those shards of this rank that are missing.
    (out / "shards").mkdir(parents=True, exist_ok=True)
    rank, world = _rank_and_world(cfg.executor)
    mine = [task for task in tasks if int(task.name[-12:], 16) % world == rank]
    waiting = [task for task in mine if not has_shard(out, task.name)]
    size = sum(item.size for task in waiting for item in task.items)
    progress = Progress(len(mine) - len(waiting), len(mine), 0, size)
    tell(progress)
    for step in _run(waiting, cfg):
        progress.add(step)
        tell(progress)
    # 3. The rank that finishes last writes the index and removes what is no longer needed.
    made = {
        "store": str(out),
        "shards": len(tasks),
        "shards_made_now": len(waiting),
        "frames_per_s": round(progress.frames_per_s, 1),
    }
    if unfinished := sum(not has_shard(out, task.name) for task in tasks):
        return {**made, "rank": rank, "shards_of_other_ranks_to_come": unfinished}
    origin = {
        "kind": source.kind,
        "path": source.path,
        "hash": source.hash,
        "files": sum(len(t.items) for t in tasks),
        "missing": len(source.missing),
        "part": cfg.part,
        "split": cfg.split,
        "camera": cfg.camera,
    }
    _write_missing(out, source.missing)
    index = write_index(out, described, [task.name for task in tasks], origin)
    _remove_stale(out, {task.name for task in tasks}, alone=world == 1)
    return made | _summary(index, source)


def _run(tasks: list[ShardTask], cfg: TokenizeConfig) -> Iterator[Step]:
    if cfg.executor == "ray":
        return run_ray(tasks) if tasks else iter(())
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return run_local(tasks, cfg.workers or max(1, (os.cpu_count() or 1) // here))


def _rank_and_world(executor: str) -> tuple[int, int]:
    """RANK and WORLD_SIZE of torchrun or of a batch system. The ranks need only the same file system, no connection."""
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    if executor != "local":
        return 0, 1
    if not 0 <= rank < world:
        raise UserError(f"Expected RANK from 0 to below WORLD_SIZE, got RANK={rank} and WORLD_SIZE={world}.")
    return rank, world


def plan(cfg: TokenizeConfig, source: Source, folder: Path, described: dict) -> list[ShardTask]:
    """The shard tasks of a source: videos first, then pictures in hashed order, so that a row mixes folders."""
    items = source.items
    if cfg.part != "all":
        side = split_held_out([PurePosixPath(item.name) for item in items], cfg.held_out)[PARTS.index(cfg.part) - 1]
        wanted = {path.as_posix() for path in side}
        items = [item for item in items if PurePosixPath(item.name).as_posix() in wanted]
    if not items:
        raise UserError(
            f"{cfg.source}: part={cfg.part} is empty. Give more videos, or another share than held_out={cfg.held_out}."
        )
    videos, pictures = ([item for item in items if item.kind == kind] for kind in ("video", "image"))
    pictures.sort(key=lambda item: hashlib.sha256(item.name.encode()).digest())
    chunks = [
        chunk
        for group, step in ((videos, cfg.files_per_shard), (pictures, cfg.frames * cfg.files_per_shard))
        for i in range(0, len(group), step)
        if (chunk := group[i : i + step])
    ]
    out, tokenizer = str(Path(cfg.out).absolute()), str(folder.absolute() if folder.exists() else folder)
    return [
        ShardTask(
            f"{i:05d}-{_key(described, chunk)}",
            out,
            tuple(chunk),
            tokenizer,
            cfg.image_size,
            cfg.frames,
            cfg.spacing_s,
            cfg.hop_s,
            cfg.views,
            cfg.mirror,
            cfg.most,
        )
        for i, chunk in enumerate(chunks)
    ]


def _key(described: dict, items: list[Item]) -> str:
    stats = [(i.name, i.size, i.stamp, *(i.span_s or ())) for i in items]
    return hashlib.sha256(json.dumps([described, stats], sort_keys=True).encode()).hexdigest()[:12]


def _write_missing(out: Path, missing: list[dict]) -> None:
    """Write a line for each file that the source lists but doesn't hold. There may be millions, too many for the
    index."""
    if missing:
        atomic_write_text(out / MISSING, "".join(json.dumps(entry) + "\n" for entry in missing))
    else:
        (out / MISSING).unlink(missing_ok=True)


def _remove_stale(out: Path, keep: set[str], alone: bool) -> None:
    """Delete the shards of an earlier plan, and the temporary files of a killed job."""
    for folder in (out / "shards").iterdir():
        if folder.name not in keep and re.fullmatch(r"\.?\d{5}-[0-9a-f]{12}(\..*)?", folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    for file in out.glob(".*.tmp") if alone else ():  # another rank may be writing the same index right now
        file.unlink(missing_ok=True)


def _summary(index: dict, source: Source) -> dict:
    left_out = index["left_out"]
    for entry in [*left_out, *source.missing][:NAMED]:
        print(f"left out: {entry['source']}: {entry['reason']}", file=sys.stderr)
    if not index["rows"]:
        first = left_out[0]
        raise UserError(
            f"not one row came out of {len(left_out)} files. The first one, {first['source']}: {first['reason']}"
        )
    failed = sum(entry.get("failed", False) for entry in left_out)
    return {
        "rows": index["rows"],
        "source": source.kind,
        "files": index["source"]["files"],
        "left_out": len(left_out),
        "failed": failed,
        "missing": len(source.missing),
        "clips": index["clips"],
        "fingerprint": index["fingerprint"],
    }

"""Make one shard: decode its files, cut them into rows, encode and write these.

A shard is the unit of work of all processes. Making it twice gives the same shard.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from toto_robot.tokens.base import Tokenizer
from toto_robot.tokens.store.token_store import write_shard
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.video.decode import VideoError, iter_frames, read_image
from toto_robot.video.flaws import flaws
from toto_robot.video.frames import resize_center_crop
from toto_robot.video.items import Item
from toto_robot.video.sampling import TooShort, clip_indices

ZOOM = 1.6
"""A random view shows a square whose side is 1/ZOOM of the picture's shorter side, or more."""
SEGMENT = 4096  # frames of a long video held in memory at a time (200 MB at 128 px)
NO_CLIP = (
    "each of its clips has more black or frozen frames, or more cuts, than max_black, max_frozen and max_cuts allow"
)
open_tokenizer = lru_cache(1)(load_tokenizer)


@dataclass(frozen=True)
class ShardTask:
    """Everything that a process anywhere needs to make one shard."""

    name: str
    store: str
    items: tuple[Item, ...]
    tokenizer: str
    image_size: int
    frames: int
    spacing_s: float
    hop_s: float
    views: int = 0
    """Random views of each clip; 0 for the centre of the picture."""
    mirror: bool = False
    """Half of the views are mirrored."""
    most: tuple[tuple[str, int], ...] = ()
    """How many flaws of each kind a clip may have (`toto_robot.video.flaws`). Kinds that are not here are only
    counted."""


def make_shard(task: ShardTask, crashed: dict[str, str], report: Callable[[int, int], None]) -> None:
    """Tokenize the files of one shard and write it.

    `crashed` names the files that must not be opened, with the reasons. `report(at, frames)` is called before each
    file, and during a long one, with the index of the file and the number of frames that have been encoded.
    """
    tokenizer = open_tokenizer(task.tokenizer)
    codes: list[np.ndarray] = []
    rows: list[dict] = []
    left_out: list[dict] = []
    counts: Counter[str] = Counter()
    pictures: list[tuple[str, np.ndarray]] = []
    for at, item in enumerate(task.items):
        report(at, task.frames * len(codes))
        # A video gives rows; a picture waits until there are enough for a row.
        try:
            if item.name in crashed:
                raise VideoError(crashed[item.name])
            if item.kind == "image":
                pictures.append((item.name, read_image(item, task.image_size)))
            else:
                made = []
                for row in video_rows(tokenizer, item, task, counts):
                    made.append(row)
                    report(at, task.frames * (len(codes) + len(made)))
                if not made:
                    left_out.append({"source": item.name, "reason": NO_CLIP})
                codes += [c for c, _ in made]
                rows += [row for _, row in made]
        except VideoError as error:
            left_out.append({"source": item.name, "reason": str(error), "failed": True})
        except TooShort as error:
            left_out.append({"source": item.name, "reason": str(error)})
        if len(pictures) == task.frames:
            codes.append(stored(tokenizer, np.stack([p for _, p in pictures])))
            rows.append({"source": [n for n, _ in pictures], "kind": "image", "first_s": 0.0, "last_s": 0.0})
            pictures = []
    left_out += [{"source": n, "reason": f"fewer than {task.frames} pictures were left for a row"} for n, _ in pictures]
    report(len(task.items), task.frames * len(codes))
    made_rows = np.stack(codes) if codes else _no_rows(tokenizer, task)
    write_shard(Path(task.store), task.name, made_rows, rows, left_out, dict(counts))


def stored(tokenizer: Tokenizer, frames: np.ndarray) -> np.ndarray:
    """Codes uint16 (N, S) of frames, or patches uint8 (N, S, values)."""
    codes = tokenizer.encode(frames).numpy()
    return codes if tokenizer.continuous else codes.astype(np.uint16)


def _no_rows(tokenizer: Tokenizer, task: ShardTask) -> np.ndarray:
    blank = stored(tokenizer, np.zeros((1, task.image_size, task.image_size, 3), np.uint8))
    return np.zeros((0, task.frames, *blank.shape[1:]), blank.dtype)


def video_rows(
    tokenizer: Tokenizer, item: Item, task: ShardTask, counts: Counter[str]
) -> Iterator[tuple[np.ndarray, dict]]:
    """Codes uint16 (F, S) and the description of each clip of one video. Raises VideoError or TooShort.

    `counts` is increased by the clips with each flaw, and by those that are left out for one."""
    size = round(task.image_size * ZOOM) if task.views else task.image_size
    for number, (frames, times_s) in enumerate(_segments(item, size)):
        if number and times_s[-1] - times_s[0] < (task.frames - 1) * task.spacing_s:
            return  # the rest of a long video is too short for a clip
        clips = clip_indices(times_s, frames=task.frames, spacing_s=task.spacing_s, hop_s=task.hop_s)
        seen = [flaws(frames[clip]).found() for clip in clips]
        counts.update(name for found in seen for name in found)
        kept = [all(found.get(name, 0) <= most for name, most in task.most) for found in seen]
        counts["left_out"] += len(kept) - sum(kept)
        for at, codes, view in _encoded(tokenizer, frames, clips, np.flatnonzero(kept), f"{item.name} {number}", task):
            first, last = (round(float(times_s[clips[at][end]]), 4) for end in (0, -1))
            yield codes, {"source": item.name, "kind": "video", "first_s": first, "last_s": last, **view, **seen[at]}


def _encoded(
    tokenizer: Tokenizer, frames: np.ndarray, clips: np.ndarray, kept: np.ndarray, name: str, task: ShardTask
) -> Iterator[tuple[int, np.ndarray, dict]]:
    """The number of each kept one of `clips` (C, F) with its codes (F, S), once for each view."""
    if not len(kept):
        return
    if not task.views:
        used, where = np.unique(clips[kept], return_inverse=True)  # overlapping clips share their frames
        codes = stored(tokenizer, frames[used])
        for number, at in zip(kept, where.reshape(-1, clips.shape[1])):
            yield int(number), codes[at], {}
        return
    for number in map(int, kept):
        for view in range(task.views):
            square = random_view(frames[clips[number]], f"{name} {number} {view}", task)
            yield number, stored(tokenizer, square), {"view": view}


def random_view(frames: np.ndarray, name: str, task: ShardTask) -> np.ndarray:
    """Frames uint8 (F, H, H, 3) cut to one random square and scaled to (F, S, S, 3), all alike. `name` is the seed."""
    rng = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()[:8]))
    side = int(rng.integers(task.image_size, frames.shape[1] + 1))
    top, left = rng.integers(0, frames.shape[1] - side + 1, 2)
    mirrored = rng.random() < 0.5
    square = frames[:, top : top + side, left : left + side]
    if task.mirror and mirrored:
        square = square[:, :, ::-1]
    return np.stack([resize_center_crop(frame, task.image_size) for frame in square])


def _segments(item: Item, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The frames and their times, in parts that fit into memory."""
    frames: list[np.ndarray] = []
    times_s: list[float] = []
    for time_s, frame in iter_frames(item, size):
        if len(frames) == SEGMENT:
            yield np.stack(frames), np.array(times_s)
            frames, times_s = [], []
        frames.append(frame)
        times_s.append(time_s)
    yield np.stack(frames), np.array(times_s)

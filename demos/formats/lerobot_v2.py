"""LeRobotDataset v2.0 and v2.1 on disk: a Parquet file and an mp4 for each camera, for each episode.

meta/episodes.jsonl lists the episodes. `lerobot_v3.read` reads these sets too, with the three functions here in place
of its own. A part of a set can be read: an episode is read if all its files exist, and `present` names the others.
"""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from demos.errors import DemoError
from demos.formats import lerobot_parquet as tables
from demos.formats.lerobot_parquet import CHUNK, INFO
from demos.formats.video import read_span

LIST = "meta/episodes.jsonl"
NUMBER = "source_episode"
"""The number of an episode in the whole set; an imported part keeps it for each episode."""


def listed(path: Path) -> list[dict]:
    """The rows of meta/episodes.jsonl, one for each episode, in order."""
    rows = []
    try:
        for line in (path / LIST).read_text().splitlines():
            if line.strip():
                row = dict(json.loads(line))
                rows.append({"tasks": [], **row} | {key: int(row[key]) for key in ("episode_index", "length")})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DemoError(
            f"{path / LIST} is not a list of LeRobot episodes ({type(error).__name__}: {error}); download it again"
        ) from error
    return sorted(rows, key=lambda row: row["episode_index"])


def present(path: Path, info: dict, rows: list[dict], videos: list[str]) -> tuple[list[dict], str]:
    """(the rows of the episodes whose files all exist, the rest in words). DemoError if no episode is complete."""
    whole, gone, without = [], [], []
    for row in rows:
        if not data_file(path, info, row).is_file():
            gone.append(row["episode_index"])
        elif absent := [file for name in videos if not (file := video_file(path, info, name, row)).is_file()]:
            without.append((row["episode_index"], absent[0].relative_to(path)))
        else:
            whole.append(row)
    said = [f"{len(gone)} of {len(rows)} episodes have no data file: {_spans(gone)}"] if gone else []
    said += [f"episode {at} has no {file}" for at, file in without]
    if not whole:
        raise DemoError(
            f"{path}: no episode is whole ({'; '.join(said) or f'{LIST} lists none'}); expected "
            f"{data_file(path, info, rows[0]).relative_to(path) if rows else 'data/'} and its videos; download them"
        )
    return whole, "; ".join(said)


def data(path: Path, info: dict, rows: list[dict], columns: list[str]) -> Iterator[tuple[int, object]]:
    """(episode, its table) for each of `rows`."""
    _, parquet = tables.pyarrow()
    for row in rows:
        file = data_file(path, info, row)
        try:
            table = parquet.ParquetFile(file).read(columns=columns)
            numbers = np.unique(table["episode_index"].to_numpy())
        except Exception as error:  # a damaged Parquet file makes the reader raise anything
            raise DemoError(
                f"{file} can't be read ({type(error).__name__}: {' '.join(str(error).split())[:160]}); download it "
                "again"
            ) from error
        if list(numbers) != [row["episode_index"]]:
            raise DemoError(
                f"{file}: expected steps of episode {row['episode_index']}, got those of {numbers.tolist()}; "
                "download it again"
            )
        yield row["episode_index"], table


def span(path: Path, info: dict, name: str, row: dict, fps: float) -> np.ndarray:
    """The frames of camera `name` in an episode, uint8 (T, H, W, 3)."""
    return read_span(video_file(path, info, name, row), 0.0, fps, row["length"])


def data_file(path: Path, info: dict, row: dict) -> Path:
    """The file with the numbers of an episode."""
    return _place(path, info, "data_path", row)


def video_file(path: Path, info: dict, name: str, row: dict) -> Path:
    """The file with the frames of camera `name` in an episode."""
    return _place(path, info, "video_path", row, video_key=name)


def _place(path: Path, info: dict, key: str, row: dict, **more: str) -> Path:
    try:
        chunk = row["episode_index"] // int(info.get("chunks_size", CHUNK))
        relative = PurePosixPath(str(info[key]).format(episode_chunk=chunk, episode_index=row["episode_index"], **more))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise DemoError(
            f"{path / INFO}: {key} names no file of episode {row['episode_index']} ({type(error).__name__}: {error}); "
            "download it again"
        ) from error
    if relative.is_absolute() or ".." in relative.parts:
        raise DemoError(f"{path / INFO}: {key} leads out of the set")
    return path / relative


def _spans(numbers: list[int]) -> str:
    """Sorted numbers as ranges: 0-9, 11, 13-20."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in spans)

"""The files of a LeRobot set, v2.0 to v3.0: which episodes there are, where each one's numbers and frames lie.

v2.0 and v2.1 have a Parquet file and an mp4 for each camera, for each episode, and meta/episodes.jsonl lists them. v3.0
has many episodes in a file, and meta/episodes/**.parquet says where. A part of a set can be read: an episode is read if
all its files exist, and `present` names the others.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from demos.errors import DemoError
from demos.formats import lerobot_parquet as tables
from demos.formats.lerobot_parquet import CHUNK, INFO
from toto_robot.ground.foreign import MOST_JSON, parse_json
from toto_robot.ground.strict import read_bytes

LIST = "meta/episodes.jsonl"
NUMBER = "source_episode"
"""The number of an episode in the whole set; an imported part keeps it for each episode."""


def by_episode(info: dict) -> bool:
    """Whether each episode has files of its own (v2)."""
    return str(info["codebase_version"]).startswith("v2.")


def listed(path: Path, info: dict) -> list[dict]:
    """The rows of the list of episodes, in order, without statistics."""
    rows = _lines(path) if by_episode(info) else _rows(path)
    if len(rows) != (promised := info.get("total_episodes", len(rows))):
        raise DemoError(
            f"{path}: {INFO} promises {promised} episodes, meta/episodes lists {len(rows)}; download it again"
        )
    return rows


def _lines(path: Path) -> list[dict]:
    rows = []
    try:
        for line in read_bytes(path / LIST, MOST_JSON).decode("utf-8").splitlines():
            if line.strip():
                row = dict(parse_json(line, path / LIST))
                rows.append({"tasks": [], **row} | {key: int(row[key]) for key in ("episode_index", "length")})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DemoError(
            f"{path / LIST} is not a list of LeRobot episodes ({said(error)}); download it again"
        ) from error
    return sorted(rows, key=lambda row: row["episode_index"])


def _rows(path: Path) -> list[dict]:
    _, parquet = tables.pyarrow()
    rows: list[dict] = []
    for file in sorted(path.glob("meta/episodes/*/*.parquet")):
        try:
            names = [name for name in parquet.read_schema(file).names if not name.startswith("stats/")]
        except Exception as error:  # a damaged Parquet file makes the reader raise anything
            raise DemoError(f"{file} is not a list of LeRobot episodes ({said(error)}); download it again") from error
        rows += [row for part in tables.batches(file, names) for row in part.to_pylist()]
    if not rows or any(not isinstance(row.get(key), int) for row in rows for key in ("episode_index", "length")):
        raise DemoError(
            f"{path}: expected meta/episodes/chunk-*/file-*.parquet with episode_index and length; found "
            f"{len(rows)} rows of it, so the set is not complete"
        )
    return sorted(({"tasks": [], **row} for row in rows), key=lambda row: row["episode_index"])


def present(path: Path, info: dict, rows: list[dict], videos: list[str]) -> tuple[list[dict], str]:
    """(the rows of the episodes whose files all exist, the rest in words). DemoError if no episode is complete."""
    whole, gone, without = [], [], []
    for row in rows:
        file = data_file(path, info, row)
        absent = [video for name in videos if not (video := video_place(path, info, name, row)[0]).is_file()]
        if file is not None and not file.is_file():
            gone.append(row["episode_index"])
        elif absent:
            without.append((row["episode_index"], absent[0].relative_to(path)))
        else:
            whole.append(row)
    told = [f"{len(gone)} of {len(rows)} episodes have no data file: {_spans(gone)}"] if gone else []
    told += [f"episode {at} has no {file}" for at, file in without[:MOST_NAMED]]
    told += [f"{len(without) - MOST_NAMED} more have no video"] if len(without) > MOST_NAMED else []
    if not whole:
        wanted = data_file(path, info, rows[0]) if rows else None
        raise DemoError(
            f"{path}: no episode is whole ({'; '.join(told) or f'{LIST} lists none'}); expected "
            f"{wanted.relative_to(path) if wanted else 'data/'} and its videos; download them"
        )
    return whole, "; ".join(told)


MOST_NAMED = 5
"""Most episodes without a video that are named one by one."""


def data(path: Path, info: dict, rows: list[dict], columns: list[str], skip: set[int]) -> Iterator[tuple[int, Any]]:
    """(episode, its table) in order; those in `skip` are left out. In v2 these are the episodes of `rows`."""
    found = _each_file(path, info, rows, columns) if by_episode(info) else _shared(path, columns)
    return (pair for pair in found if pair[0] not in skip)


def _each_file(path: Path, info: dict, rows: list[dict], columns: list[str]) -> Iterator[tuple[int, Any]]:
    pa, _ = tables.pyarrow()
    for row in rows:
        file = data_file(path, info, row)
        assert file is not None  # v2 says it for each episode
        parts: list = []
        for part in tables.batches(file, columns):
            parts.append(part)
            tables.check_waiting(parts, file)
        if not parts:
            raise DemoError(f"{file} holds no steps; download it again")
        table = pa.concat_tables(parts)
        numbers = np.unique(table["episode_index"].to_numpy())
        if list(numbers) != [row["episode_index"]]:
            raise DemoError(
                f"{file}: expected steps of episode {row['episode_index']}, got those of {numbers.tolist()}; "
                "download it again"
            )
        yield row["episode_index"], table


def _shared(path: Path, columns: list[str]) -> Iterator[tuple[int, Any]]:
    pa, _ = tables.pyarrow()
    waiting: list = []
    index = -1
    for file in sorted(path.glob("data/*/*.parquet")):
        for table in tables.batches(file, columns):
            ids = table["episode_index"].to_numpy()
            cuts = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
            for start, stop in zip(cuts, cuts[1:]):
                if stop > start and waiting and ids[start] != index:
                    yield index, pa.concat_tables(waiting)
                    waiting = []
                if stop > start:
                    index = int(ids[start])
                    waiting.append(table.slice(start, stop - start))
            tables.check_waiting(waiting, file)
    if waiting:
        yield index, pa.concat_tables(waiting)


def data_file(path: Path, info: dict, row: dict) -> Path | None:
    """The file with the numbers of an episode. None if a list of v3.0 does not say it."""
    if not by_episode(info) and "data/chunk_index" not in row:
        return None
    return _place(path, info, "data_path", row, "data/")


def video_place(path: Path, info: dict, name: str, row: dict) -> tuple[Path, float]:
    """(file, start in seconds) of the frames of camera `name` in an episode."""
    file = _place(path, info, "video_path", row, f"videos/{name}/", video_key=name)
    return file, 0.0 if by_episode(info) else float(row[f"videos/{name}/from_timestamp"])


def _place(path: Path, info: dict, key: str, row: dict, part: str, **more: str) -> Path:
    try:
        if by_episode(info):
            chunk = row["episode_index"] // int(info.get("chunks_size", CHUNK))
            fields: dict = {"episode_chunk": chunk, "episode_index": row["episode_index"]}
        else:
            fields = {field: int(row[part + field]) for field in ("chunk_index", "file_index")}
            if more:
                float(row[part + "from_timestamp"])
        relative = PurePosixPath(str(info[key]).format(**fields, **more))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        what = f", or no place of {more['video_key']}" if more else ""
        raise DemoError(
            f"{path / INFO}: {key} names no file of episode {row['episode_index']}{what} ({said(error)}); download it "
            "again"
        ) from error
    if relative.is_absolute() or ".." in relative.parts:
        raise DemoError(f"{path / INFO}: {key} leads out of the set")
    return path / relative


def said(error: Exception) -> str:
    """An error in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _spans(numbers: list[int]) -> str:
    """Sorted numbers as ranges: 0-9, 11, 13-20."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in spans)

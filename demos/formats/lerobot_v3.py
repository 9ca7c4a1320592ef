"""Import of LeRobotDataset v3.0: Parquet tables of many episodes, frames as pictures in them or in shared mp4 files.

Sets of v2.0 and v2.1 have the same features in other files, which lerobot_v2.py finds.
"""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from demos.errors import DemoError
from demos.formats import lerobot_parquet as tables
from demos.formats import lerobot_v2
from demos.formats.lerobot_export import write
from demos.formats.lerobot_parquet import IMAGES, INFO, NAMES, OURS, SIDE
from demos.formats.source import (
    CAMERA,
    STEP_DTYPES,
    Episode,
    Imported,
    Options,
    choose_proprio,
    foreign_attributes,
    indexed,
    key_name,
    need_hz,
)
from demos.formats.video import read_span

__all__ = ["looks", "read", "write"]


def looks(path: Path) -> bool:
    """Whether `path` has the info file of a LeRobot set."""
    return (path / INFO).is_file()


def read(path: Path, options: Options) -> Imported:
    """The episodes of the set at `path`. An export of ours comes back with everything it had."""
    info, side = _json(path / INFO), _json(path / SIDE) if (path / SIDE).is_file() else None
    try:
        version, fps = str(info["codebase_version"]), float(info["fps"])
        features = {name: dict(feature) for name, feature in info["features"].items()}
        shapes = {name: tuple(int(n) for n in feature["shape"]) for name, feature in features.items()}
        kinds = {name: str(feature["dtype"]) for name, feature in features.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DemoError(f"{path / INFO} is not a LeRobot info file ({_said(error)}); download it again") from error
    if not version.startswith(("v2.", "v3.")):
        raise DemoError(
            f"{path} is LeRobot {version}, expected v2.0, v2.1 or v3.0; convert it with lerobot's own scripts, or "
            "update toto_robot"
        )
    by_episode = version.startswith("v2.")
    if "action" not in features:
        raise DemoError(f"{path}: expected a feature named action, it has {', '.join(features)}")
    rows = lerobot_v2.listed(path) if by_episode else _rows(path)
    if len(rows) != (promised := info.get("total_episodes", len(rows))):
        raise DemoError(
            f"{path}: {INFO} promises {promised} episodes, meta/episodes lists {len(rows)}; download it again"
        )
    if side and len(side["episodes"]) != len(rows):
        raise DemoError(
            f"{path}: meta/episodes lists {len(rows)} episodes, {SIDE} has the numbers of {len(side['episodes'])}; "
            "the set was changed since its export: delete the latter to import without"
        )
    cameras = {name: shapes[name] for name, kind in kinds.items() if kind in ("image", "video")}
    source = Imported({}, lambda images: iter(()))
    if by_episode:
        rows, missing = lerobot_v2.present(path, info, rows, [name for name in cameras if kinds[name] == "video"])
        source.facts |= {"missing": missing} if missing else {}
    observed = {
        name.removeprefix("observation."): int(np.prod(shapes[name]))
        for name, kind in kinds.items()
        if name.startswith("observation.") and kind in tables.DTYPES
    }
    chosen = [key for key in ("state",) if key in observed] if side else choose_proprio(observed, options, str(path))
    keys = _keys(kinds, chosen, source)
    if side:
        source.attrs = dict(side["attrs"])
    else:
        tasks = [str((row["tasks"] or [""])[0]) for row in rows]
        source.attrs = foreign_attributes(
            env=path.name,
            control_hz=need_hz(fps, Options(), str(path)),
            robot=str(info.get("robot_type") or ""),
            cameras={key_name(_camera(name)): (shape[0], shape[1]) for name, shape in cameras.items()},
            meaning="as recorded",
            action_names=_names(features["action"], "action", int(np.prod(shapes["action"]))),
            proprio_names=[n for key in chosen for n in _names(features[f"observation.{key}"], key, observed[key])],
            tasks=sorted(set(tasks)),
            episode_tasks=tasks,
        )

    def episodes(images: bool) -> Iterator[tuple[Episode, dict]]:
        wanted = [*keys.values(), *(f"observation.{key}" for key in chosen if "proprio" not in keys)]
        pictures = [name for name in cameras if images and kinds[name] == "image"]
        columns = ["episode_index", *wanted, *pictures]
        found = lerobot_v2.data(path, info, rows, columns) if by_episode else _data(path, columns)
        for at, row in enumerate(rows):
            where = f"{path}, episode {row['episode_index']}"
            index, table = next(found, (None, ()))
            if index != row["episode_index"] or len(table) != row["length"]:
                got = f"have {len(table)} of episode {index}" if len(table) else "end before it"
                raise DemoError(
                    f"{where}: expected {row['length']} steps, the data {got}; the set is damaged or not complete, "
                    "download it again"
                )
            episode = _episode(table, keys, chosen, (side or {}).get("shapes"), where)
            for name in cameras if images else ():
                if kinds[name] == "image":
                    frames = tables.pictures(table[name], where)
                else:
                    frames = (lerobot_v2.span if by_episode else _span)(path, info, name, row, fps)
                if frames.shape[1:] != shapes[name]:
                    raise DemoError(f"{where}: expected {name} of shape {shapes[name]}, got {frames.shape[1:]}")
                episode[CAMERA + (_camera(name) if side else key_name(_camera(name)))] = frames
            task = {"task": str(row["tasks"][0])} if row["tasks"] and source.attrs.get("tasks") else {}
            number = {lerobot_v2.NUMBER: row["episode_index"]} if by_episode else {}
            yield episode, {**(side["episodes"][at] if side else {}), **task, **number}
        if more := next(found, None):
            raise DemoError(
                f"{path}: meta/episodes lists {len(rows)} episodes, the data go on with {len(more[1])} steps of "
                f"episode {more[0]}; the set is damaged or not complete, download it again"
            )

    source.read = episodes
    return source


def _json(path: Path) -> dict:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DemoError(f"{path} can't be read ({type(error).__name__}: {error}); download it again") from error


def _rows(path: Path) -> list[dict]:
    """The rows of the table of episodes, in order, without statistics."""
    _, parquet = tables.pyarrow()
    rows: list[dict] = []
    for file in sorted(path.glob("meta/episodes/*/*.parquet")):
        try:
            names = [name for name in parquet.read_schema(file).names if not name.startswith("stats/")]
            rows += parquet.read_table(file, columns=names).to_pylist()
        except Exception as error:  # a damaged Parquet file makes the reader raise anything
            raise DemoError(f"{file} is not a list of LeRobot episodes ({_said(error)}); download it again") from error
    if not rows or any(not isinstance(row.get(key), int) for row in rows for key in ("episode_index", "length")):
        raise DemoError(
            f"{path}: expected meta/episodes/chunk-*/file-*.parquet with episode_index and length; found "
            f"{len(rows)} rows of it, so the set is not complete"
        )
    return sorted(({"tasks": [], **row} for row in rows), key=lambda row: row["episode_index"])


def _keys(kinds: dict[str, str], chosen: list[str], source: Imported) -> dict[str, str]:
    """{our key: name of the feature} for all that is kept, without pictures and without a proprio of several parts."""
    inverse = {name: key for key, name in NAMES.items() if key != "proprio"}
    keys = {"proprio": f"observation.{chosen[0]}"} if len(chosen) == 1 else {}
    for name, kind in kinds.items():
        if kind in ("image", "video") or name.removeprefix("observation.") in chosen or name in tables.DEFAULTS:
            continue
        if name in inverse or name.startswith(OURS):
            keys[inverse.get(name) or name.removeprefix(OURS)] = name
        elif name == "next.done":
            continue
        elif name.startswith("observation.") and kind in tables.DTYPES:
            source.drop(name, "not a name of a robot's own state; proprio= keeps it")
        else:
            source.drop(name, f"a feature ({kind}) that has no place here")
    return keys


def _camera(name: str) -> str:
    return name.removeprefix(IMAGES) if name.startswith(IMAGES) else name.removeprefix("observation.")


def _names(feature: dict, key: str, width: int) -> list[str]:
    names = feature.get("names")
    if isinstance(names, dict):
        numbered = bool(names) and all(isinstance(at, int) for at in names.values())
        names = [name for name, _ in sorted(names.items(), key=lambda item: item[1])] if numbered else [*names.values()]
    if isinstance(names, list) and all(
        isinstance(part, list) for part in names
    ):  # groups of names, with or without titles
        names = [name for part in names for name in part]
    return [str(name) for name in names] if isinstance(names, list) and len(names) == width else indexed(key, width)


def _data(path: Path, columns: list[str]) -> Iterator[tuple[int, Any]]:
    """(episode, its rows) of all data files, in order."""
    pa, parquet = tables.pyarrow()
    waiting: list = []
    index = -1
    for file in sorted(path.glob("data/*/*.parquet")):
        try:
            opened = parquet.ParquetFile(file)
            for group in range(opened.num_row_groups):
                table = opened.read_row_group(group, columns=columns)
                ids = table["episode_index"].to_numpy()
                cuts = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
                for start, stop in zip(cuts, cuts[1:]):
                    if stop > start and waiting and ids[start] != index:
                        yield index, pa.concat_tables(waiting)
                        waiting = []
                    if stop > start:
                        index = int(ids[start])
                        waiting.append(table.slice(start, stop - start))
        except (pa.ArrowException, KeyError, OSError) as error:
            raise DemoError(f"{file} can't be read ({_said(error)}); download it again") from error
    if waiting:
        yield index, pa.concat_tables(waiting)


def _episode(table, keys: dict[str, str], chosen: list[str], shapes: dict | None, where: str) -> Episode:
    try:
        episode = {key: tables.numbers(table[name]) for key, name in keys.items()}
        if "proprio" not in keys and chosen:
            parts = [tables.numbers(table[f"observation.{key}"]).reshape(len(table), -1) for key in chosen]
            episode["proprio"] = np.concatenate(parts, 1)
    except (KeyError, ValueError) as error:
        raise DemoError(f"{where}: {error}; the data are damaged, download them again") from error
    for key, value in episode.items():
        if shapes is not None:
            episode[key] = value.reshape(len(table), *shapes[key])
        else:
            flat = value.reshape(len(table), -1) if key in ("action", "proprio") else value
            episode[key] = flat.astype(STEP_DTYPES.get(key, flat.dtype), copy=False)
    return episode


def _span(path: Path, info: dict, name: str, row: dict, fps: float) -> np.ndarray:
    part = f"videos/{name}/"
    try:
        place = {"chunk_index": int(row[part + "chunk_index"]), "file_index": int(row[part + "file_index"])}
        relative = PurePosixPath(str(info["video_path"]).format(video_key=name, **place))
        start_s = float(row[part + "from_timestamp"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DemoError(
            f"{path}: no place of {name} in episode {row['episode_index']} ({type(error).__name__}: {error}); "
            "the set is not complete, download it again"
        ) from error
    if relative.is_absolute() or ".." in relative.parts:
        raise DemoError(f"{path / INFO}: video_path leads out of the set")
    return read_span(path / relative, start_s, fps, row["length"])


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"

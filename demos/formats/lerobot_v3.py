"""Import of LeRobotDataset v2.0, v2.1 and v3.0: Parquet tables of numbers, frames as pictures in them or in mp4 files.

The versions have the same features in other files, which lerobot_files.py finds. lerobot_cameras.py reads the frames.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from demos.errors import DemoError
from demos.formats import lerobot_files as files
from demos.formats import lerobot_parquet as tables
from demos.formats.lerobot_cameras import Cameras, camera
from demos.formats.lerobot_export import write
from demos.formats.lerobot_parquet import INFO, NAMES, OURS, SIDE
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
from toto_robot.ground.foreign import check_inside, read_json

__all__ = ["looks", "read", "write"]


def looks(path: Path) -> bool:
    """Whether `path` has the info file of a LeRobot set."""
    return (path / INFO).is_file()


def read(path: Path, options: Options) -> Imported:
    """The episodes of the set at `path`. An export of ours comes back with everything it had."""
    check_inside(path, DemoError)
    info, features, fps = _info(path)
    side = _json(path / SIDE) if (path / SIDE).is_file() else None
    kinds = {name: feature["dtype"] for name, feature in features.items()}
    rows = files.listed(path, info)
    if side and len(side["episodes"]) != len(rows):
        raise DemoError(
            f"{path}: meta/episodes lists {len(rows)} episodes, {SIDE} has the numbers of {len(side['episodes'])}; "
            "the set was changed since its export: delete the latter to import without"
        )
    metas = {row["episode_index"]: meta for row, meta in zip(rows, side["episodes"] if side else [{}] * len(rows))}
    source = Imported(dict(side["attrs"]) if side else {}, lambda images: iter(()))
    cameras = Cameras(path, info, features, source, options)
    every = {row["episode_index"] for row in rows}
    rows, missing = files.present(path, info, rows, cameras.videos)
    if missing:
        source.facts["missing"] = missing
    cameras.drop_unreadable(rows[0], source)
    absent = every - {row["episode_index"] for row in rows}
    widths = {name: int(np.prod(feature["shape"])) for name, feature in features.items()}
    observed = {
        name.removeprefix("observation."): widths[name]
        for name, kind in kinds.items()
        if name.startswith("observation.") and kind in tables.DTYPES
    }
    chosen = [key for key in ("state",) if key in observed] if side else choose_proprio(observed, options, str(path))
    keys = _keys(kinds, chosen, source)
    if not side:
        tasks = [str((row["tasks"] or [""])[0]) for row in rows]
        source.attrs = foreign_attributes(
            env=path.name,
            control_hz=need_hz(fps, Options(), str(path)),
            robot=str(info.get("robot_type") or ""),
            cameras={key_name(camera(name)): shape for name, shape in cameras.shapes.items()},
            meaning="as recorded",
            action_names=_names(features["action"], "action", widths["action"]),
            proprio_names=[n for key in chosen for n in _names(features[f"observation.{key}"], key, observed[key])],
            tasks=sorted(set(tasks)),
            episode_tasks=tasks,
        )

    def episodes(images: bool) -> Iterator[tuple[Episode, dict]]:
        wanted = [*keys.values(), *(f"observation.{key}" for key in chosen if "proprio" not in keys)]
        columns = ["episode_index", *wanted, *(cameras.pictures if images else ())]
        found = files.data(path, info, rows, columns, absent)
        for row in rows:
            where = f"{path}, episode {row['episode_index']}"
            index, table = next(found, (None, ()))
            if index != row["episode_index"] or len(table) != row["length"]:
                got = f"have {len(table)} of episode {index}" if len(table) else "end before it"
                raise DemoError(
                    f"{where}: expected {row['length']} steps, the data {got}; the set is damaged or not complete, "
                    "download it again"
                )
            episode = _episode(table, keys, chosen, (side or {}).get("shapes"), where)
            for name in cameras.shapes if images else ():
                short = camera(name) if side else key_name(camera(name))
                episode[CAMERA + short] = cameras.frames(name, row, table, fps)
            task = {"task": str(row["tasks"][0])} if row["tasks"] and source.attrs.get("tasks") else {}
            number = {files.NUMBER: row["episode_index"]} if files.by_episode(info) or absent else {}
            yield episode, {**metas[row["episode_index"]], **task, **number}
        if more := next(found, None):
            raise DemoError(
                f"{path}: meta/episodes lists {len(every)} episodes, the data go on with {len(more[1])} steps of "
                f"episode {more[0]}; the set is damaged or not complete, download it again"
            )

    source.read = episodes
    return source


def _info(path: Path) -> tuple[dict, dict[str, dict], float]:
    """(the info file, its features with their shapes as tuples, frames a second). DemoError if it is not one."""
    info = _json(path / INFO)
    try:
        version, fps = str(info["codebase_version"]), float(info["fps"])
        features = {name: dict(feature) for name, feature in info["features"].items()}
        for feature in features.values():  # a single number is a vector of one
            given = feature["shape"]
            feature["shape"] = tuple(int(n) for n in (given if isinstance(given, (list, tuple)) else [given]))
            feature["dtype"] = str(feature["dtype"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DemoError(f"{path / INFO} is not a LeRobot info file ({files.said(error)}); download it again") from error
    if not version.startswith(("v2.", "v3.")):
        raise DemoError(
            f"{path} is LeRobot {version}, expected v2.0, v2.1 or v3.0; convert it with lerobot's own scripts, or "
            "update toto_robot"
        )
    if "action" not in features:
        raise DemoError(f"{path}: expected a feature named action, it has {', '.join(features)}")
    return info, features, fps


def _json(path: Path) -> dict:
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise DemoError(f"{path} can't be read ({type(error).__name__}: {error}); download it again") from error


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


def _names(feature: dict, key: str, width: int) -> list[str]:
    """The names of a feature's columns, however they are nested; numbered ones if their count does not fit."""
    names = feature.get("names")
    if isinstance(names, dict) and names and all(isinstance(at, int) for at in names.values()):
        names = [name for name, _ in sorted(names.items(), key=lambda item: item[1])]
    flat = [str(name) for name in _flat(names)]
    return flat if len(flat) == width else indexed(key, width)


def _flat(names) -> list:
    """The names in lists and groups of lists, in order."""
    if isinstance(names, dict):
        names = list(names.values())
    if isinstance(names, (list, tuple)):
        return [name for part in names for name in _flat(part)]
    return [] if names is None else [names]


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

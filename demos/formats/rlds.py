"""Import of RLDS episodes as TensorFlow Datasets stores them (TFRecord shards), the format of the MVP and RPT sets.

TFDS flattens an episode into one tf.train.Example: `steps/action` holds all T·A numbers of an episode, an image
feature holds a list of T encoded pictures. features.json has the shapes, dataset_info.json the number of episodes in
each shard.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demos.errors import DemoError
from demos.formats.pictures import decode, decode_all
from demos.formats.source import (
    CAMERA,
    Episode,
    Imported,
    Options,
    check_steps,
    choose_proprio,
    foreign_attributes,
    indexed,
    key_name,
    left_out,
    need_hz,
)
from demos.formats.tfrecord import parse_example, read_records
from toto_robot.ground.foreign import check_inside, read_json

SHARD = re.compile(r"(?P<name>.+)-(?P<split>\w+)\.tfrecord-(?P<at>\d{5})-of-(?P<of>\d{5})")
OBSERVATION, ACTION, META = "steps/observation/", "steps/action", "episode_metadata/"
FOLLOWS = "follows from where the episode ends"
FLAGS = {
    "steps/is_first": FOLLOWS,
    "steps/is_last": FOLLOWS,
    "steps/is_terminal": FOLLOWS,
    "steps/discount": "no discount is kept with demonstrations",
    "steps/language_embedding": "can be computed from the instruction, which is kept as the task",
}


@dataclass(frozen=True)
class Known:
    """Facts about a published set that its files do not say."""

    hz: float
    deltas: int
    """Number of leading entries of an action that are increments of one step."""
    meaning: str
    units: tuple[str, ...]


MVP = "{} increments of the joints (rad, measured), then the next gripper state"
JOINTS = ("rad",) * 7 + ("1",)
KNOWN = {
    "berkeley_mvp": Known(5, 7, MVP.format(7), JOINTS),
    "mvp_dataset": Known(5, 7, MVP.format(7), JOINTS),
    "berkeley_rpt": Known(30, 7, MVP.format(7), JOINTS),
    "rpt_dataset": Known(30, 7, MVP.format(7), JOINTS),
    "bridge": Known(
        5,
        6,
        "increments of the hand (m, rad of roll, pitch, yaw), then the gripper",
        ("m",) * 3 + ("rad",) * 3 + ("1",),
    ),
}
"""Facts by the beginning of the TFDS name. MVP and RPT: from the source of their builders and the Open X-Embodiment
sheet."""


@dataclass(frozen=True)
class Feature:
    """One entry of features.json."""

    kind: str
    """tensor, image or text."""
    shape: tuple[int, ...] = ()


def looks(path: Path) -> bool:
    """Whether `path` is a TFRecord file, or a folder with such files."""
    return bool(_shards(path))


def read(path: Path, options: Options) -> Imported:
    """The episodes of all shards of a TFDS version folder, or of one shard."""
    check_inside(path, DemoError)
    files = _shards(path)
    folder = files[0].parent
    name, counts = _info(folder, files)
    if path.is_dir():
        _check_shards(folder, files)
    first = next(_examples(files, {}), None)
    if first is None:
        raise DemoError(f"{path} holds no episodes")
    features = _features(folder) or _inferred(first[1], first[0])
    known = next((k for prefix, k in KNOWN.items() if name.startswith(prefix)), None)
    low_dim = {
        key.removeprefix(OBSERVATION): int(np.prod(f.shape))
        for key, f in features.items()
        if key.startswith(OBSERVATION) and f.kind == "tensor"
    }
    chosen = choose_proprio(low_dim, options, str(path))
    actions = {
        key: int(np.prod(f.shape)) for key, f in features.items() if key == ACTION or key.startswith(ACTION + "/")
    }
    if not actions:
        raise DemoError(
            f"{path}: expected {ACTION}, it has {', '.join(features)}; this is no RLDS set of demonstrations"
        )
    cameras = {
        key.removeprefix(OBSERVATION): f.shape[:2]
        for key, f in features.items()
        if key.startswith(OBSERVATION) and f.kind == "image" and len(f.shape) == 3
    }
    source = Imported({}, lambda images: iter(()))
    for camera in [name for name in cameras if features[OBSERVATION + name].shape[2] == 1]:
        source.drop(OBSERVATION + camera, "pictures with 1 channel (depth, infrared); a camera has 3 here")
        del cameras[camera]
    gone = left_out(source, {name: key_name(name) for name in cameras}, options, str(path))
    cameras = {camera: shape for camera, shape in cameras.items() if camera not in gone}
    tasks, episode_tasks, blank, rewarded = _survey(files, counts, features, cameras, source)
    cameras = {camera: shape for camera, shape in cameras.items() if camera not in blank}
    names = [n for key, width in actions.items() for n in indexed(key.removeprefix("steps/").replace("/", "."), width)]
    source.attrs = foreign_attributes(
        env=name,
        control_hz=need_hz(known.hz if known else None, options, f"{path} (RLDS)"),
        action_names=names,
        cameras={key_name(camera): shape for camera, shape in sorted(cameras.items())},
        proprio_names=[n for key in chosen for n in indexed(key, low_dim[key])],
        meaning=known.meaning if known else "as recorded",
        tasks=tasks,
        episode_tasks=episode_tasks,
    )
    if known:
        source.attrs["action"] |= {"deltas": known.deltas, "padding": "last step", "gripper": known.deltas}
        source.attrs["action"] |= {"units": list(known.units)} if len(known.units) == len(names) else {}
    _note_dropped(source, features, chosen, cameras)

    def episodes(images: bool) -> Iterator[tuple[Episode, dict]]:
        for where, example in _examples(files, counts):
            episode = _episode(example, features, actions, chosen, cameras if images else {}, where)
            meta = {"task": _task(example)}
            yield episode, meta | ({"success": bool(episode["reward"][-1] > 0)} if rewarded else {})

    source.read = episodes
    return source


# ------------------------------------------------------------------------------------------ files


def _shards(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if ".tfrecord" in path.name else []
    here = sorted(p for p in path.glob("*.tfrecord*") if p.is_file())
    inner = [] if here else [p for p in path.glob("*/features.json")]
    if len(inner) > 1:
        raise DemoError(
            f"{path} holds {len(inner)} versions ({', '.join(sorted(p.parent.name for p in inner))}); "
            "give the folder of one"
        )
    return sorted(p for p in inner[0].parent.glob("*.tfrecord*")) if inner else here


def _check_shards(folder: Path, files: list[Path]) -> None:
    """DemoError unless every split has all its shards."""
    splits: dict[tuple, set[int]] = {}
    for shard in filter(None, (SHARD.fullmatch(file.name) for file in files)):
        splits.setdefault((shard["split"], int(shard["of"])), set()).add(int(shard["at"]))
    for (split, of), there in splits.items():
        if absent := sorted(set(range(of)) - there):
            raise DemoError(
                f"{folder} has {len(there)} of {of} shards of {split}, the first one missing is {absent[0]:05d}; "
                "download them all, or give one of the files"
            )


def _info(folder: Path, files: list[Path]) -> tuple[str, dict[str, int]]:
    """(name of the set, {file: number of its episodes}). Files that dataset_info.json does not name are left out."""
    matched = SHARD.fullmatch(files[0].name)
    name = matched["name"] if matched else files[0].name.split(".tfrecord")[0]
    counts: dict[str, int] = {}
    path = folder / "dataset_info.json"
    if not path.is_file():
        return name, counts
    try:
        info = read_json(path)
        name = str(info.get("name", name))
        splits = {
            str(split["name"]): [int(n) for n in split.get("shardLengths", [])] for split in info.get("splits", [])
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DemoError(
            f"{path} is not TFDS's description of a set ({type(error).__name__}: {error}); download it again, or "
            "remove it to read the shards without"
        ) from error
    for file in files:
        shard = SHARD.fullmatch(file.name)
        lengths = splits.get(shard["split"], []) if shard else []
        if shard and int(shard["at"]) < len(lengths) == int(shard["of"]):
            counts[file.name] = lengths[int(shard["at"])]
    return name, counts


def _features(folder: Path) -> dict[str, Feature]:
    """{flat name: feature} of features.json; {} if the file is missing."""
    path = folder / "features.json"
    if not path.is_file():
        return {}
    found: dict[str, Feature] = {}
    try:
        waiting = [("", read_json(path))]
        while waiting:
            name, node = waiting.pop(0)
            if "featuresDict" in node:
                waiting += [
                    (f"{name}/{key}".lstrip("/"), inner) for key, inner in node["featuresDict"]["features"].items()
                ]
            elif "sequence" in node and name == "steps":
                waiting.append((name, node["sequence"]["feature"]))
            elif "image" in node:
                found[name] = Feature("image", tuple(int(n) for n in node["image"]["shape"]["dimensions"]))
            elif "tensor" in node:
                found[name] = Feature("tensor", tuple(int(n) for n in node["tensor"]["shape"].get("dimensions", ())))
            else:
                found[name] = Feature("text" if "text" in node else str(node.get("pythonClassName", "?")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DemoError(
            f"{path} is not TFDS's list of features ({type(error).__name__}: {error}); download it again, or "
            "remove it to infer the shapes"
        ) from error
    return found


def _inferred(example: dict, where: str) -> dict[str, Feature]:
    """The features that the lists of an episode suggest, for shards without features.json."""
    length = next(
        (len(example[key]) for key in ("steps/is_first", "steps/is_last", "steps/reward") if key in example), 0
    )
    if not length:
        raise DemoError(
            f"{where}: no features.json beside it, and none of steps/is_first, is_last, reward to tell an "
            f"episode's length from; it has {', '.join(sorted(example)) or 'nothing'}"
        )
    found = {}
    for key, value in sorted(example.items()):
        if isinstance(value, list):
            picture = bool(value) and bytes(value[0][:4]) in (
                b"\xff\xd8\xff\xe0",
                b"\xff\xd8\xff\xe1",
                b"\xff\xd8\xff\xdb",
                b"\x89PNG",
            )
            found[key] = Feature("image", decode(value[0], where).shape) if picture else Feature("text")
        elif key.startswith("steps/") and len(value) % length == 0:
            found[key] = Feature("tensor", () if len(value) == length else (len(value) // length,))
        else:
            found[key] = Feature("tensor" if len(value) == 1 else "ragged")
    return found


def _examples(files: list[Path], counts: dict[str, int]) -> Iterator[tuple[str, dict]]:
    """(place, example) of every record; DemoError if one is damaged or missing."""
    for file in files:
        at = -1
        for at, record in enumerate(read_records(file)):
            where = f"{file}, episode {at}"
            try:
                yield where, parse_example(record)
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                if isinstance(error, DemoError):
                    raise
                raise DemoError(f"{where}: not a tf.train.Example ({error})") from error
        if counts.get(file.name, at + 1) != at + 1:
            raise DemoError(
                f"{file} holds {at + 1} episodes and dataset_info.json promises {counts[file.name]}; download it again"
            )


# ------------------------------------------------------------------------------------------ episodes


def _survey(files: list[Path], counts: dict, features: dict[str, Feature], cameras: dict, source: Imported):
    """Over all records: tasks, the task of each episode, cameras that show nothing, whether there are rewards."""
    episode_tasks, seen, rewarded = [], set(), False
    flags: dict[str, set[bool]] = {}
    for where, example in _examples(files, counts):
        episode_tasks.append(_task(example))
        rewarded |= bool(np.any(example.get("steps/reward", np.zeros(0)) > 0))
        for camera in cameras:
            pictures = example.get(OBSERVATION + camera, [])
            if camera not in seen and any(decode(p, where).std() > 0 for p in pictures[:: max(1, len(pictures) - 1)]):
                seen.add(camera)
            flag = example.get(f"{META}has_{camera}")
            flags.setdefault(camera, set()).update([] if flag is None else [bool(flag[0])])
    blank = set(cameras) - seen
    for camera in sorted(blank):
        source.drop(OBSERVATION + camera, "shows one colour in every episode: a dummy")
    if lying := [camera for camera in sorted(seen) if flags[camera] == {False}]:
        source.facts["flags"] = (
            f"has_{', has_'.join(lying)} are false in every episode, and those cameras show pictures: kept"
        )
    if not rewarded:
        source.facts["success"] = "no reward above 0 anywhere, so success is not known"
    return sorted(set(episode_tasks)), episode_tasks, blank, rewarded


def _task(example: dict) -> str:
    said = example.get("steps/language_instruction") or [b""]
    return bytes(said[0]).decode("utf-8", "replace") if isinstance(said, list) else ""


def _note_dropped(source: Imported, features: dict[str, Feature], chosen: list[str], cameras: dict) -> None:
    kept = {OBSERVATION + name for name in chosen} | {OBSERVATION + camera for camera in cameras}
    for key, feature in features.items():
        if (
            key in kept
            or key == ACTION
            or key.startswith(ACTION + "/")
            or key in ("steps/reward", "steps/language_instruction")
        ):
            continue
        if key in FLAGS:
            source.drop(key, FLAGS[key])
        elif key.startswith(META):
            source.drop(key, "about the recording, not the steps")
        elif key.startswith(OBSERVATION) and feature.kind == "tensor":
            source.drop(key, "not a name of a robot's own state; proprio= keeps it")
        else:
            source.drop(key, f"a {feature.kind} that has no place here")


def _episode(
    example: dict,
    features: dict[str, Feature],
    actions: dict[str, int],
    chosen: list[str],
    cameras: dict,
    where: str,
) -> Episode:
    state = {OBSERVATION + key: int(np.prod(features[OBSERVATION + key].shape)) for key in chosen}
    episode = {}
    for name, widths in (("action", actions), ("proprio", state)):
        columns = [_columns(example, key, width, where) for key, width in widths.items()]
        if len({len(column) for column in columns}) > 1:
            lengths = [len(column) for column in columns]
            raise DemoError(f"{where}: the parts of its {name} differ in length ({lengths}); the file is damaged")
        if columns:
            episode[name] = np.concatenate(columns, 1)
    if "steps/reward" in features:
        episode["reward"] = _columns(example, "steps/reward", 1, where)[:, 0]
    for camera, (height, width) in cameras.items():
        encoded = example.get(OBSERVATION + camera, [])
        if not isinstance(encoded, list) or not encoded:
            raise DemoError(f"{where}: expected pictures from {camera}, got none; the file is damaged")
        pictures = decode_all(encoded, where)
        if pictures.shape[1:] != (height, width, 3):
            raise DemoError(f"{where}: expected pictures {(height, width, 3)} from {camera}, got {pictures.shape[1:]}")
        episode[CAMERA + key_name(camera)] = pictures
    check_steps(episode, where)
    return episode


def _columns(example: dict, key: str, width: int, where: str) -> np.ndarray:
    """A numeric feature as float32 (T, width)."""
    value = example.get(key)
    if not isinstance(value, np.ndarray) or width < 1 or len(value) % width:
        got = "nothing" if value is None else f"{len(value)} values"
        raise DemoError(f"{where}: expected {key} as steps of {width} numbers, got {got}; the file is damaged")
    return value.reshape(-1, width).astype(np.float32)

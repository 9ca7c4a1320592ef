"""robomimic's HDF5: `data/demo_i` with actions, states, rewards, dones and obs/KEY (robomimic/docs/datasets/overview).

On export proprio becomes one obs/KEY for each group of its names. `joint_pos.0`, `joint_pos.1`, ... become
obs/joint_pos. Names without such numbers are grouped by their beginning: `q_joint1`, `q_joint2`, ... become obs/q.
Otherwise there is one obs/proprio. rgb_CAMERA becomes obs/CAMERA_image. Keys that robomimic has no name for go into the
group `toto_robot` of the demo, and our attributes into the data set /toto_robot/attrs. robomimic ignores both.
"""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from demos.errors import DemoError
from demos.formats.hdf5 import DAMAGED, check_file, column, create_file, h5py_module, open_file
from demos.formats.source import (
    CAMERA,
    SIDECAR,
    STEP_DTYPES,
    Episode,
    Imported,
    Options,
    Report,
    channels_last,
    check_keys,
    check_steps,
    choose_proprio,
    foreign_attributes,
    grouped,
    indexed,
    key_name,
    left_out,
    need_hz,
    picture_shape,
    suggested_hz,
)
from toto_robot.ground.foreign import check_inside, parse_json

SUFFIXES = (".hdf5", ".h5")
MAGIC = b"\x89HDF\r\n\x1a\n"
GYM = 2  # robomimic.envs.env_base.EnvType.GYM_TYPE
IMAGE = "_image"
MADE_UP = "made_up"
SAMPLE = 200_000  # most rows that are compared to find a copy or a placeholder
OTHERS = {
    "next_obs": "the observation of the next step",
    "dones": "follows from where the episode ends",
    "initial_state": "a tree of simulator states; the first observation tells the robot's",
}


def looks(path: Path) -> bool:
    """Whether `path` is an HDF5 file, or a folder with HDF5 files."""
    return bool(_files(path))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and p.is_file())
    if path.is_file():
        with open(path, "rb") as file:
            return [path] if file.read(len(MAGIC)) == MAGIC or path.suffix in SUFFIXES else []
    return []


def write(source: Imported, path: Path, options: Options) -> Report:
    """Write the set as the file `path`."""
    report, attrs, length = Report(), source.attrs, 0
    with create_file(path) as (file, check_disk):
        data = file.create_group("data")
        parts = _parts(attrs)
        for episode, meta in source.episodes():
            length = check_steps(episode, f"episode {report.episodes}")
            check_keys(episode, set(report.kept), report.episodes)
            demo = data.create_group(f"demo_{report.episodes}")
            demo.attrs["num_samples"] = length
            for key, value in meta.items():
                demo.attrs[key] = value
            report.kept = _write_demo(demo, episode, parts, length)
            check_disk()
            report.episodes, report.steps = report.episodes + 1, report.steps + length
            _note_range(report, episode["action"])
        if not report.episodes:
            raise DemoError("there is no episode to export")
        env = {
            "env_name": attrs["env"],
            "type": GYM,
            "env_version": str(attrs.get("environment_fingerprint") or ""),
            "env_kwargs": {**(attrs.get("env_options") or {}), "control_freq": attrs["control_hz"]},
        }
        data.attrs["total"], data.attrs["env_args"] = report.steps, json.dumps(env)
        file[f"{SIDECAR}/attrs"] = json.dumps(attrs)  # an attribute holds no more than 64 KiB
    return report


def _parts(attrs: dict) -> list[tuple[str, int]]:
    """The observations into which proprio is split, as (name, columns); 0 columns means all."""
    names = attrs.get("proprio_names") or []
    groups = grouped(names)
    if not groups:
        return [("proprio", 0)]
    if any(columns > 1 for _, columns in groups):
        return groups
    runs = [list(run) for _, run in itertools.groupby(names, key=_beginning)]
    merged = [(run[0] if len(run) == 1 else _beginning(run[0]), len(run)) for run in runs]
    called = {name for name, _ in merged}
    return merged if len(called) == len(merged) and all(called) else groups


def _beginning(name: str) -> str:
    """The common beginning of the entries of a group: q of q_panda_joint1."""
    return name.partition("_")[0]


def _write_demo(demo, episode: Episode, parts: list[tuple[str, int]], length: int) -> dict[str, str]:
    """Write one episode; returns {our key: its place in the demo}."""
    kept, names = {}, {"action": "actions", "reward": "rewards", "sim_state": "states"}
    for key, value in episode.items():
        if key.startswith(CAMERA):
            kept[key] = f"obs/{key.removeprefix(CAMERA)}{IMAGE}"
            demo.create_dataset(
                kept[key], data=value, chunks=(1, *value.shape[1:]), compression="gzip", compression_opts=1
            )
        elif key == "proprio" and value.ndim == 2:
            widths = [width or value.shape[1] for _, width in parts]
            if sum(widths) != value.shape[1]:
                raise DemoError(
                    f"proprio has {value.shape[1]} columns, and proprio_names {sum(widths)}; repair the names"
                )
            for (name, _), part in zip(parts, np.split(value, np.cumsum(widths)[:-1], axis=1)):
                demo[f"obs/{name}"] = part
            kept[key] = ", ".join(f"obs/{name}" for name, _ in parts)
        else:
            kept[key] = names.get(key, f"{SIDECAR}/{key}")
            demo[kept[key]] = value
    if "reward" not in episode:
        demo["rewards"] = np.zeros(length, np.float32)  # robomimic reads rewards even if they are unknown
        demo["rewards"].attrs[MADE_UP] = True
    demo["dones"] = (np.arange(length) == length - 1).astype(np.int64)
    return kept


def _note_range(report: Report, action: np.ndarray) -> None:
    if np.abs(action).max() > 1 and not report.changed:
        report.changed.append({"what": "action", "how": "kept as it is, though some lie outside robomimic's [-1, 1]"})


# ------------------------------------------------------------------------------------------ import


def read(path: Path, options: Options) -> Imported:
    """The demos of a file, or of all files of a folder, in the order of their numbers."""
    h5py = h5py_module()
    check_inside(path, DemoError)
    files, source = _files(path), Imported({}, lambda images: iter(()))
    for file in files:
        check_file(file)
    demos = [(file, name) for file in files for name in _demo_names(h5py, file)]
    if not demos:
        raise DemoError(
            f"{path}: expected data/demo_0 and so on, as robomimic writes them, in a {' or '.join(SUFFIXES)} file"
        )
    with open_file(files[0]) as file:
        first, side = file["data"][demos[0][1]], _side(h5py, file)
        env, shapes = _env_args(file), _shapes(h5py, first)
    source.attrs = side or {}
    pictures = {
        name: _camera(name) if side else key_name(_camera(name))
        for name, (shape, dtype) in shapes.items()
        if name.startswith("obs/") and _is_image(shape, dtype)
    }
    gone = left_out(source, pictures, options, str(path))
    shapes = {name: said for name, said in shapes.items() if name not in gone}
    if side:
        chosen = [name for name, _ in _parts(source.attrs)]
        chosen = chosen if all(f"obs/{name}" in shapes for name in chosen) else []
        singles = {"rewards": "reward", "states": "sim_state"}
    else:
        chosen, singles = _foreign(path, options, source, env, shapes, [(h5py, *demo) for demo in demos])

    def episodes(images: bool) -> Iterator[tuple[Episode, dict]]:
        for file, name in demos:
            with open_file(file) as opened:
                where, demo = f"{file}, {name}", opened["data"][name]
                try:
                    episode = _episode(demo, chosen, singles, shapes, images, whole=bool(side))
                    meta = {key: _plain(demo.attrs[key]) for key in ("seed", "success", "task") if key in demo.attrs}
                    if side:
                        meta = {key: _plain(value) for key, value in demo.attrs.items() if key != "num_samples"}
                except DemoError:
                    raise
                except DAMAGED as error:
                    raise DemoError(f"{where} can't be read ({error}); the file is damaged") from error
                if (steps := check_steps(episode, where)) != (promised := demo.attrs.get("num_samples", steps)):
                    raise DemoError(
                        f"{where}: expected {promised} steps (its num_samples), got {steps}; download it again"
                    )
            yield episode, meta

    source.read = episodes
    return source


def _demo_names(h5py, file: Path) -> list[str]:
    """The demos of a file in order; DemoError if the number of steps is not the one that the file promises."""
    with open_file(file) as opened:
        data = opened.get("data")
        names = [name for name in data if re.fullmatch(r"demo_\d+", name)] if isinstance(data, h5py.Group) else []
        counts, total = [data[name].attrs.get("num_samples") for name in names], names and data.attrs.get("total")
        if isinstance(total, np.integer) and None not in counts and total != sum(counts):
            raise DemoError(
                f"{file} promises {total} steps (its data's attribute total), its {len(names)} demos have "
                f"{sum(counts)}; download it again, or correct the attribute if demos were removed on purpose"
            )
        return sorted(names, key=lambda name: int(name.removeprefix("demo_")))


def _side(h5py, file) -> dict | None:
    """Our own attributes, if the file is an export of ours."""
    item = file.get(f"{SIDECAR}/attrs")
    if not isinstance(item, h5py.Dataset):
        return None
    try:
        return dict(parse_json(item[()], file.filename))
    except (ValueError, TypeError) as error:
        raise DemoError(
            f"{file.filename}: {SIDECAR}/attrs can't be read ({error}); delete it to import without"
        ) from error


def _env_args(file) -> dict:
    try:
        return dict(parse_json(file["data"].attrs.get("env_args", "{}"), file.filename))
    except (ValueError, TypeError):
        return {}


def _shapes(h5py, demo) -> dict[str, tuple]:
    """{name inside the demo: (shape of a step, dtype)} of every dataset."""
    found = {}
    demo.visititems(
        lambda name, item: (
            found.update({name: (item.shape[1:], item.dtype)}) if isinstance(item, h5py.Dataset) and item.ndim else None
        )
    )
    return found


def _foreign(path: Path, options: Options, source: Imported, env: dict, shapes: dict, demos: list) -> tuple[list, dict]:
    """Fill in the attributes of a foreign set; returns the observations of its proprio, and {dataset: our key}."""
    flat = {
        name.removeprefix("obs/"): int(np.prod(shape))  # one number a step is a vector of one
        for name, (shape, dtype) in shapes.items()
        if name.startswith("obs/") and len(shape) <= 1 and dtype.kind in "fiub"
    }
    if "actions" not in shapes:
        raise DemoError(f"{path}: expected actions in every demo, there are {', '.join(sorted(shapes)) or 'none'}")
    values = {name: _column(demos, f"obs/{name}") for name in flat}
    copies = {} if options.proprio else _copies(values, _column(demos, "actions"))
    chosen = [name for name in choose_proprio(flat, options, str(path)) if name not in copies]
    cameras = {
        key_name(_camera(name)): (picture_shape(shape) or (0, 0))[:2]
        for name, (shape, dtype) in shapes.items()
        if name.startswith("obs/") and _is_image(shape, dtype)
    }
    kwargs = env.get("env_kwargs") or {}
    robots = kwargs.get("robots") if isinstance(kwargs, dict) else None
    rate = kwargs.get("control_freq") if isinstance(kwargs, dict) else None
    source.attrs = foreign_attributes(
        env=str(env.get("env_name") or path.stem),
        robot=", ".join(robots) if isinstance(robots, list) else str(robots or ""),
        control_hz=need_hz(rate, options, f"{path} (robomimic)", _rate_hint(demos, shapes)),
        cameras=cameras,
        action_names=indexed("action", int(np.prod(shapes["actions"][0]))),
        meaning="as recorded",
        proprio_names=[n for name in chosen for n in indexed(name, flat[name])],
    )
    _note_dropped(source, shapes, chosen, copies, values)
    singles = {"rewards": "reward", "states": "sim_state", "obs/object": "task_state"}
    gone = {entry["what"] for entry in source.dropped} | {f"obs/{name}" for name in chosen}
    return chosen, {
        name: key
        for name, key in singles.items()
        if name in shapes and name not in gone and len(shapes[name][0]) == (name != "rewards")
    }


def _copies(values: dict[str, list[np.ndarray]], actions: list[np.ndarray]) -> dict[str, str]:
    """{observation: what it repeats in every step}: the actions, or an observation with a likelier name."""
    found, kept = {}, {"the demo's actions": actions}
    for name, value in sorted(values.items(), key=lambda item: ("gripper" in item[0], item[0])):
        twin = next(
            (
                other
                for other, seen in kept.items()
                if len(seen) == len(value) and all(np.array_equal(a, b) for a, b in zip(seen, value))
            ),
            None,
        )
        if twin:
            found[name] = twin
        else:
            kept[name] = value
    return found


def _note_dropped(source: Imported, shapes: dict, chosen: list[str], copies: dict, values: dict) -> None:
    for name, (shape, dtype) in sorted(shapes.items()):
        group, _, key = name.partition("/")
        if group == "obs" and (key in chosen or _is_image(shape, dtype)) or name in ("actions", "rewards"):
            continue
        if group == "obs" and key in copies:
            source.drop(name, f"the same as {copies[key]} in every step")
        elif group == "obs" and key in values and all((part == part[0]).all() for part in values[key]):
            source.drop(name, "the same numbers in all steps of a demo: a placeholder")
        elif name == "obs/object":
            source.facts[name] = "kept as task_state"
        elif group == "obs" and len(shape) > 1:
            source.drop(name, f"{dtype} {shape} a step, which is not a picture with 3 channels of uint8")
        elif group == "obs":
            source.drop(name, "not a name of a robot's own state; proprio= keeps it")
        elif name == "states" and len(shape) == 1:
            continue  # kept as sim_state
        elif group == "states":
            source.drop("states/*", "a tree of simulator states, which only the simulator that wrote it can set")
        else:
            source.drop(group if group in OTHERS else name, OTHERS.get(group, "has no place here"))


def _column(demos: list, name: str) -> list[np.ndarray]:
    """One dataset of the first demos, each (T, ...): enough of them to find a copy or a placeholder."""
    parts: list[np.ndarray] = []
    for h5py, file, demo in demos:
        with open_file(file) as opened:
            item = opened["data"][demo].get(name)
            if isinstance(item, h5py.Dataset) and len(item):
                parts.append(column(item))
        if sum(map(len, parts)) > SAMPLE:
            break
    return parts


def _rate_hint(demos: list, shapes: dict) -> str:
    """The control rate that the demos' joint positions and velocities suggest, in words."""
    ends = ("joint_pos", "joint_vel")
    names = [next((n for n in shapes if n.startswith("obs/") and n.endswith(end)), "") for end in ends]
    if not all(names) or shapes[names[0]][0] != shapes[names[1]][0]:
        return ""
    hz = suggested_hz(*(_column(demos, name) for name in names))
    return f" (its joint positions and velocities suggest {hz:.1f})" if hz else ""


def _camera(name: str) -> str:
    return name.removeprefix("obs/").removesuffix(IMAGE)


def _is_image(shape: tuple, dtype: np.dtype) -> bool:
    return dtype == np.uint8 and (picture_shape(shape) or (0, 0, 0))[2] == 3


def _episode(demo, chosen: list[str], singles: dict[str, str], shapes: dict, images: bool, whole: bool) -> Episode:
    episode = {"action": column(demo["actions"])}
    if not whole:
        episode["action"] = _vectors(episode["action"])
    if chosen:
        episode["proprio"] = np.concatenate([_vectors(column(demo[f"obs/{name}"])) for name in chosen], 1)
    for name, key in singles.items():
        if name in demo and MADE_UP not in demo[name].attrs:
            episode[key] = column(demo[name])
    if whole and SIDECAR in demo:
        episode |= {key: column(item) for key, item in demo[SIDECAR].items()}
    if not whole:
        episode = {key: value.astype(STEP_DTYPES[key], copy=False) for key, value in episode.items()}
    for name, (shape, dtype) in shapes.items():
        if images and name.startswith("obs/") and _is_image(shape, dtype):
            episode[CAMERA + (_camera(name) if whole else key_name(_camera(name)))] = channels_last(column(demo[name]))
    return episode


def _vectors(values: np.ndarray) -> np.ndarray:
    """(T, D) of (T, D) or (T,): one number a step is a vector of one."""
    return values.reshape(len(values), -1) if values.ndim == 1 else values


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value.decode() if isinstance(value, bytes) else value

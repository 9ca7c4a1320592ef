"""The one schema of a demonstration set: names, shapes, types, attributes. Names are those of Diffusion Policy.

    PATH/zarr.json              attributes of the set (`attributes`)
    PATH/data/<key>             every step of every episode, see KEYS; N is `meta/episode_ends[-1]`
    PATH/meta/episode_ends      int64 (E,), exclusive; written last: an episode exists once its end is here
    PATH/meta/episode_starts    int64 (E,); every episode begins at a shard of its own
    PATH/meta/<name>            one number for each episode: seed, success, length, ...

An episode begins at a multiple of `shard_steps`, so `episode_starts[i]` differs from `episode_ends[i - 1]`. The steps
between them are padding and belong to no episode. They cost nothing: a chunk without a step is not stored. This way a
file that holds a finished episode is never written again. Episodes packed end to end would rewrite the last shard each
time. The rename is atomic, but a reader fetches the index of a shard and its chunks in two reads, and would pair an old
index with new chunks.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import math
import platform
import re
from dataclasses import dataclass

import numpy as np

from demos.errors import DemoError
from envs.interface import Interface

FORMAT, SCHEMA = "toto_robot-demos", 1
CAMERA = "rgb_"
"""The pictures of the camera NAME are the key `rgb_NAME`."""
CHUNK_STEPS = {"rgb": 8}
"""Steps in a chunk (one read decompresses one chunk); 64 for all other arrays."""
SHARD_STEPS, SHARD_BYTES = 256, 64 * 2**20
"""Steps in a shard (one file); fewer if a shard of the largest key would have more bytes than this."""
META_CHUNK = 1024
"""Episodes in one file of `meta/<name>`."""
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Key:
    """One array of `data/`."""

    dtype: str
    ndim: int
    """Number of dimensions, the steps included."""
    what: str


KEYS = {
    "action": Key("float32", 2, "commanded action (N, A): what a policy should learn"),
    "action_applied": Key("float32", 2, "executed action (N, A): with the noise that recording added"),
    "proprio": Key("float32", 2, "proprioception (N, P) before the step"),
    "reward": Key("float32", 1, "reward of the step (N,)"),
    "success": Key("bool", 1, "whether the episode has succeeded after the step (N,)"),
    "timestamp_s": Key("float64", 1, "time of the observation since the episode's start (N,)"),
    "sim_state": Key("float64", 2, "MuJoCo's mjSTATE_INTEGRATION before the step (N, S)"),
    "protocol_state": Key("float64", 2, "state of the control protocol before the step (N, n)"),
    "task_state": Key("float64", 2, "state of the task's scoring before the step (N, n)"),
}
"""The arrays of the steps. `rgb_<camera>` uint8 (N, H, W, 3), before the step, comes beside them. Only `action` is
required. Other names with any numeric type may be added, for example `obs_object`."""

META = {"seed": "int64", "success": "bool", "length": "int64", "index": "int64", "look_seed": "int64"}
"""The numbers of each episode: the seed of the environment, success, steps, the place in the list of attempts of the
recording (two recordings with one seed are equal when they are sorted by it), and the seed of the look of the episode.
Others may be added."""


def expected(key: str) -> Key | None:
    """What the schema says about `key`; None for a name that the user chose."""
    return Key("uint8", 4, "pictures (N, H, W, 3)") if key.startswith(CAMERA) else KEYS.get(key)


def check_episode(data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`data` as arrays of the types of the schema; DemoError if a name, shape, type or length does not fit."""
    if "action" not in data:
        raise DemoError(f"an episode needs 'action'; it has {', '.join(sorted(data)) or 'nothing'}")
    data = {key: np.asarray(value) for key, value in data.items()}
    length = len(data["action"]) if data["action"].ndim else 0
    if length < 1:
        raise DemoError("an episode needs at least one step, got an empty 'action'")
    for key, value in data.items():
        want = expected(key)
        if not NAME.fullmatch(key):
            raise DemoError(f"data key {key!r}: expected lower-case letters, digits and _, a letter first")
        if value.ndim < 1 or len(value) != length:
            raise DemoError(f"{key} has shape {value.shape}, but the episode has {length} steps (by 'action')")
        if value.dtype.kind not in "biuf":
            raise DemoError(f"{key} is {value.dtype}; expected numbers or booleans (no objects, no text)")
        if want is None:
            continue
        if value.ndim != want.ndim or (want.ndim == 4 and value.shape[3] != 3):
            raise DemoError(f"{key} has shape {value.shape}; expected {want.what}")
        if value.dtype != want.dtype:
            if want.dtype in ("uint8", "bool") or value.dtype.kind not in "iuf":
                raise DemoError(f"{key} is {value.dtype}; expected {want.dtype}: {want.what}")
            data[key] = value.astype(want.dtype)
    return data


def shard_steps(episode: dict[str, np.ndarray]) -> int:
    """Steps in a shard for a set whose episodes are like `episode`: a power of two from 16 to 256."""
    largest = max(int(np.prod(v.shape[1:])) * v.dtype.itemsize for v in episode.values())
    steps = SHARD_STEPS
    while steps > 16 and steps * largest > SHARD_BYTES:
        steps //= 2
    return steps


def chunk_steps(key: str, shard: int) -> int:
    """Steps in a chunk of `key`; divides `shard`."""
    return min(CHUNK_STEPS.get(key.split("_")[0], 64), shard)


def intrinsics(width: int, height: int, fovy_deg: float) -> dict:
    """{width, height, fovy_deg, fx, fy, cx, cy} of a pinhole camera with square pixels; all but fovy_deg in pixels."""
    f = height / 2 / math.tan(math.radians(fovy_deg) / 2)
    return dict(width=width, height=height, fovy_deg=fovy_deg, fx=f, fy=f, cx=width / 2, cy=height / 2)


def attributes(
    *,
    control_hz: float,
    action: dict,
    env: str | None = None,
    env_options: dict | None = None,
    robot: str | None = None,
    cameras: dict | None = None,
    proprio_names=(),
    proprio_units: str = "",
    renderer: str | None = None,
    versions: dict | None = None,
    environment: dict | None = None,
    environment_fingerprint: str | None = None,
    interface: dict | None = None,
    notes=None,
) -> dict:
    """The attributes of a set.

    `action`: {names, meaning, low, high}. `cameras`: name → `intrinsics`, or a part of them if the rest is unknown.
    `environment`: what `envs.fingerprint.describe` says; None if the data come from elsewhere. `interface`: the meaning
    of the numbers (`envs.interface.Interface` in plain values); None if it is unknown. With an interface -1 and 1 are
    the ends of an action, whatever `low` and `high` are.
    """
    return dict(
        format=FORMAT,
        schema=SCHEMA,
        env=env,
        env_options=env_options or {},
        robot=robot,
        control_hz=float(control_hz),
        cameras=cameras or {},
        proprio_names=list(proprio_names),
        proprio_units=proprio_units,
        action=dict(action),
        renderer=renderer,
        versions=versions if versions is not None else installed(),
        environment=environment,
        environment_fingerprint=environment_fingerprint,
        interface=interface,
        notes=notes,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def current(attrs: dict) -> dict:
    """`attrs` with the format and schema that this version writes. A newer schema stays: the writer refuses it."""
    known = attrs.get("schema", SCHEMA)
    newer = isinstance(known, int) and known > SCHEMA
    return attrs if newer else attrs | {"format": FORMAT, "schema": SCHEMA}


def plain(interface: Interface) -> dict:
    """An interface in the plain values of JSON."""
    return json.loads(json.dumps(dataclasses.asdict(interface)))


def installed() -> dict[str, str]:
    """Versions of the packages that decide the content of a recording."""
    found = {"python": platform.python_version()}
    for package in ("toto_robot", "mujoco", "numpy", "zarr"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def check_attributes(attrs: dict, where) -> None:
    """DemoError unless `attrs` are the attributes of a set of this schema."""
    if attrs.get("format") != FORMAT:
        raise DemoError(
            f"{where} is a zarr group but not a demonstration set: expected the attribute format={FORMAT!r}, "
            f"got {attrs.get('format')!r}. Sets of other formats have to be converted first."
        )
    schema = attrs.get("schema")
    if schema != SCHEMA:
        older = isinstance(schema, int) and schema < SCHEMA
        raise DemoError(
            f"{where} has schema {schema!r}, this version reads schema {SCHEMA}. "
            + (
                "It was made by an older version: record or convert it again."
                if older
                else "Update toto_robot to read it."
            )
        )
    missing = [name for name in ("control_hz", "action", "cameras") if name not in attrs]
    if missing:
        raise DemoError(
            f"{where} lacks the attribute{'s' * (len(missing) > 1)} {', '.join(missing)}; it has "
            f"{', '.join(sorted(attrs))}. Its zarr.json was edited or cut short: restore or record it again."
        )
    hz = attrs["control_hz"]
    if not isinstance(hz, (int, float)) or isinstance(hz, bool) or not hz > 0:
        raise DemoError(f"{where}: expected control_hz to be a positive number, got {hz!r}; correct it in zarr.json")


DECIDING = ("env", "env_options", "robot", "control_hz", "cameras", "action", "environment_fingerprint", "renderer")
"""Attributes that must be equal for new episodes to join a set."""


def check_same(old: dict, new: dict, where) -> None:
    """DemoError that names the difference, unless episodes made under `new` may join a set made under `old`."""
    differ = [name for name in DECIDING if old.get(name) != new.get(name)]
    if differ:
        said = "; ".join(f"{name} is {old.get(name)!r} there and {new.get(name)!r} now" for name in differ)
        raise DemoError(
            f"{where} can't be continued: {said}. Record to another path, or with the settings of that set."
        )

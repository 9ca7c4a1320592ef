"""Sets of every format: which one lies at a path, its usual corrections, and reading it without a copy.

On the arrow: `demos.convert` writes what `prepared` gives. `train_bc` opens a set with `open_set`, so a LeRobot folder
can be cloned as it is.
"""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from demos.errors import DemoError
from demos.formats import actions
from demos.formats.finite import OWN_STATES, checked
from demos.formats.source import CAMERA, Episode, Imported, Options, guarded, reading, with_range
from demos.store.demo_set import DemoSet
from toto_robot.ground.errors import unknown

FORMATS = {
    "zarr": "native",
    "lerobot": "lerobot_v3",
    "robomimic": "robomimic_hdf5",
    "diffusion_policy": "diffusion_zarr",
    "rlds": "rlds",
}
"""{name: module of demos.formats}, in the order in which a source is tried."""


def module_of(name: str) -> ModuleType:
    """The module that reads a format."""
    return importlib.import_module(f"demos.formats.{FORMATS[name]}")


def detect(path: Path) -> str:
    """The name in FORMATS of what lies at `path`. DemoError says what was expected."""
    if not path.exists():
        raise DemoError(f"there is no {path}; give the folder or file of a set of demonstrations")
    for name in FORMATS:
        if module_of(name).looks(path):
            return name
    inside = sorted(p.name for p in path.iterdir())[:6] if path.is_dir() else []
    raise DemoError(
        f"{path} is none of {', '.join(FORMATS)}: expected zarr.json of our store, meta/info.json, .hdf5 files, "
        f".zgroup with data and meta, or .tfrecord shards; found {', '.join(inside) or 'nothing of the kind'}"
    )


def read_checked(path: Path, kind: str, options: Options, drop_bad: bool = False) -> Imported:
    """The set of format `kind` at `path`, whose numbers are all finite. A damaged one raises nothing but DemoError."""
    spared = OWN_STATES if kind == "zarr" else ()
    with reading(path):
        source = guarded(module_of(kind).read(path, options), path)
    return checked(source, str(path), drop_bad, spared)


def prepared(
    source: Imported,
    *,
    drop_padding: bool = True,
    align_gripper: bool = True,
    to_hz: float | None = None,
    deltas: int | None = None,
    robot: str | None = None,
    names: Sequence[str] = (),
    units: Sequence[str] = (),
) -> Imported:
    """The set with corrected actions of known range. The keys are those of `demos.convert`."""
    actions.check_increments(source)
    if drop_padding:
        source = actions.drop_padding(source)
    if align_gripper:
        source = actions.align_gripper(source)
    if to_hz is not None:
        source = actions.subsample(source, to_hz, deltas)
    return with_range(actions.described(source, robot, list(names), list(units)))


def open_set(path: str | Path) -> "DemoSet | ForeignSet":
    """The demonstrations at `path`: our own store, or a set of another format. DemoError names a fault."""
    path = Path(path)
    if not path.exists() or module_of("zarr").looks(path):
        return DemoSet(path)
    kinds = [name for name in FORMATS if module_of(name).looks(path)]
    return ForeignSet(path, kinds[0]) if kinds else DemoSet(path)


class ForeignSet:
    """A set of another format with the reading side of `DemoSet`, without a copy on disk.

    The numbers of all episodes are in memory. Pictures are decoded when an episode is asked for. This is fast if the
    episodes are asked for in order; each step back starts again at the first one.
    """

    def __init__(self, path: Path, kind: str):
        self.path = path
        try:
            self.source = prepared(read_checked(path, kind, Options()))
        except DemoError as error:
            raise DemoError(
                f"{error} (a set that needs keys such as hz= or cameras= is imported first: `python -m demos.convert "
                f"{path} OUT.zarr to=zarr`)"
            ) from error
        pairs = list(self.source.read(False))
        if not pairs:
            raise DemoError(f"{path} holds no episodes")
        self._numbers, self._metas = [episode for episode, _ in pairs], [meta for _, meta in pairs]
        self._stream: Iterator[tuple[Episode, dict]] = iter(())
        self._next = len(pairs)  # the next episode of the stream
        self._newest: tuple[int, Episode] = -1, {}  # the last one that was decoded
        self.attrs = self.source.attrs
        shared = set.intersection(*(set(episode) for episode in self._numbers))
        self.cameras = [CAMERA + name for name in self.attrs.get("cameras") or {}]
        self.keys = (*sorted(shared), *self.cameras)
        self.meta_names = tuple(sorted(set.intersection(*(set(meta) for meta in self._metas)) - {"task"}))
        self.episodes = len(pairs)
        self.lengths = np.array([len(episode["action"]) for episode in self._numbers])

    def meta(self, name: str) -> np.ndarray:
        """One number for each episode, (E,)."""
        return np.array([meta[name] for meta in self._metas])

    def episode(self, i: int, keys: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """The arrays (T, ...) of episode `i`, for `keys` or for all keys."""
        if not 0 <= i < self.episodes:
            raise DemoError(f"{self.path} has no episode {i}; there are: 0 to {self.episodes - 1}")
        keys = self.keys if keys is None else keys
        if wrong := [key for key in keys if key not in self.keys]:
            raise unknown(f"array of {self.path}:", wrong[0], self.keys, error=DemoError)
        pictures = self._decoded(i) if any(key in self.cameras for key in keys) else {}
        return {key: pictures[key] if key in self.cameras else self._numbers[i][key] for key in keys}

    def _decoded(self, i: int) -> Episode:
        if self._newest[0] == i:
            return self._newest[1]
        if self._next > i:
            self._stream, self._next = self.source.read(True), 0
        while self._next <= i:
            self._newest = self._next, next(self._stream)[0]
            self._next += 1
        return self._newest[1]

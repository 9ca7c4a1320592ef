"""The demonstration set: a zarr v3 group that one process writes and any number read while it grows.

`schema.py` says what it holds. An episode exists once its end is in `meta/episode_ends`: the zarr.json of that array is
renamed into place last of all. All other files of a new episode are either files of their own (no later episode touches
a shard) or lie beyond the old ends. Temporary files are forced to disk before they are renamed. A SIGKILL or a power
cut therefore loses only the episode that was being written, and `DemoWriter(resume=True)` removes its remains.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from demos.errors import DemoError
from demos.store import schema
from demos.store.disk import LOCK, TEMPORARY, Disk, Lock, sweep, write_file
from demos.store.reading import open_array, open_group, read
from toto_robot.ground.errors import unknown
from toto_robot.ground.foreign import check_inside

ENDS, STARTS = "episode_ends", "episode_starts"
WRITE_ALL = {"write_empty_chunks": True}  # chunks of zeros too: a shard that isn't there is always damage


class DemoSet:
    """Reads the set at `path`. Opening it checks all that needs no data; DemoError names a fault.

    Every chunk has a checksum, so a read returns what was written or raises DemoError. A pickled set is only its path:
    open it once in each process, because zarr's threads do not survive a fork.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        check_inside(self.path, DemoError)
        self._arrays: dict[str, Any] = {}
        self.keys: tuple[str, ...] = ()
        self.meta_names: tuple[str, ...] = ()
        self.refresh()

    def __reduce__(self):
        return DemoSet, (self.path,)

    def refresh(self) -> int:
        """Find the episodes that were finished since the last look; returns their number."""
        before = getattr(self, "episodes", 0)
        group = open_group(self.path)
        self.attrs = dict(group.attrs)
        schema.check_attributes(self.attrs, self.path)
        self._arrays, self.keys, self.meta_names = {}, (), ()
        self.episode_starts = self.episode_ends = np.zeros(0, np.int64)
        marker = self.path / "meta" / ENDS / "zarr.json"
        if marker.exists():
            try:
                ends = open_array(self.path, f"meta/{ENDS}")  # first: all that it promises is on disk already
            except DemoError:
                if marker.exists():
                    raise
                return self.refresh()  # a writer has just restarted a set without an episode
            if len(ends.shape) != 1 or ends.dtype != np.int64 or not {"keys", "meta", "shard_steps"} <= set(ends.attrs):
                raise DemoError(
                    f"{self.path}/meta/{ENDS} is not the commit marker of this format: expected int64 (E,) with the "
                    f"attributes keys, meta and shard_steps, got {ends.dtype} {ends.shape}. Record the set again."
                )
            if ends.shape[0]:
                self._open(ends)
        elif (self.path / "data").is_dir() and not marker.exists():  # a writer makes the marker before data/
            raise DemoError(
                f"{self.path} has data/ but no meta/{ENDS}, so the ends of the episodes are unknown. Restore meta/ "
                "from a copy, or record the set again."
            )
        self.episodes = len(self.episode_ends)
        self.lengths = self.episode_ends - self.episode_starts
        return self.episodes - before

    def _open(self, ends) -> None:
        self.shard_steps = int(ends.attrs["shard_steps"])
        promised = {
            f"{part}/{name}": dtype
            for part, names in (("data", "keys"), ("meta", "meta"))
            for name, dtype in ends.attrs[names].items()
        }
        self._arrays = {name: open_array(self.path, name, dtype) for name, dtype in promised.items()}
        episodes = ends.shape[0]
        stops = read(self.path, ends, slice(0, episodes), f"meta/{ENDS}")
        starts = read(self.path, open_array(self.path, f"meta/{STARTS}", "int64"), slice(0, episodes), f"meta/{STARTS}")
        before = np.concatenate([[0], stops[:-1]])
        if (
            len(starts) < episodes
            or (stops <= starts).any()
            or (starts < before).any()
            or (starts % self.shard_steps).any()
        ):
            raise DemoError(
                f"{self.path}: meta/{ENDS} and meta/{STARTS} contradict each other: expected rising, separate "
                f"spans that start at multiples of {self.shard_steps}. Restore meta/ or record the set again."
            )
        for name, array in self._arrays.items():
            want = int(stops[-1]) if name.startswith("data/") else episodes
            if array.shape[0] < want:
                what = "steps" if name.startswith("data/") else "episodes"
                raise DemoError(
                    f"{self.path}: meta/{ENDS} promises {want} {what} ({episodes} episodes), but {name} holds "
                    f"{array.shape[0]}. Restore {name} from a copy, or record the set again."
                )
        self.keys, self.meta_names = tuple(ends.attrs["keys"]), tuple(ends.attrs["meta"])
        self.episode_ends, self.episode_starts = stops, starts

    @property
    def steps(self) -> int:
        """Steps of all episodes."""
        return int(self.lengths.sum())

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of one step of `key`."""
        return tuple(self._find("data", key, self.keys).shape[1:])

    def dtype(self, key: str) -> np.dtype:
        """Type of the numbers of `key`."""
        return np.dtype(self._find("data", key, self.keys).dtype)

    def meta(self, name: str) -> np.ndarray:
        """`meta/<name>`, one number for each episode, (E,)."""
        if name in (ENDS, STARTS):
            return self.episode_ends if name == ENDS else self.episode_starts
        return read(self.path, self._find("meta", name, self.meta_names), slice(0, self.episodes), f"meta/{name}")

    def episode(self, i: int, keys=None) -> dict[str, np.ndarray]:
        """The arrays (T, ...) of episode `i`, for `keys` or for all keys."""
        self._check_index(i)
        return {key: self.slice(key, i, 0, int(self.lengths[i])) for key in (self.keys if keys is None else keys)}

    def slice(self, key: str, i: int, start: int, stop: int) -> np.ndarray:
        """Steps `start` to `stop` (exclusive) of `key` in episode `i`, (stop - start, ...). Reads no other chunk."""
        self._check_index(i)
        array = self._find("data", key, self.keys)
        if not 0 <= start <= stop <= self.lengths[i]:
            raise DemoError(f"steps {start} to {stop} of episode {i} don't exist; it has {self.lengths[i]}")
        first = int(self.episode_starts[i])
        return read(self.path, array, slice(first + start, first + stop), f"data/{key} (episode {i})")

    def _check_index(self, i: int) -> None:
        if not 0 <= i < self.episodes:
            there = f"0 to {self.episodes - 1}" if self.episodes else "none"
            raise DemoError(f"{self.path} has no episode {i}; there are: {there}")

    def _find(self, part: str, name: str, names):
        if name not in names:
            raise unknown(f"array of {part}/ in {self.path}:", name, names, error=DemoError)
        return self._arrays[f"{part}/{name}"]


class DemoWriter:
    """Adds episodes to the set at `path`.

    A new set is made, unless `path` holds one and `resume` is true. A set without an episode is started again. `attrs`:
    see `schema.attributes`. The first episode decides which arrays the set has. This is a context manager. A second
    writer of the same set raises DemoError as long as the process of the first lives.
    """

    def __init__(self, path: str | Path, attrs: dict, resume: bool = False):
        self.path = Path(path)
        schema.check_attributes(attrs, "attrs")
        there = (self.path / "zarr.json").exists()
        if there and not resume and (episodes := DemoSet(self.path).episodes):
            raise DemoError(
                f"{self.path} exists already ({episodes} episodes); add to it with resume=true, or write elsewhere"
            )
        if not there and self.path.exists() and not _only_begun(self.path):
            raise DemoError(f"{self.path} exists and is not a demonstration set; write to another path")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock: Lock | None = Lock(self.path)
        except OSError as error:
            raise DemoError(f"{self.path} can't be written ({error.strerror}); write to another path") from error
        self._meta: dict[str, np.ndarray] = {}
        self._broken = False
        self._threads = ThreadPoolExecutor(16)  # a file system forces many files to disk in the time of one
        try:
            self._store = Disk(self.path)
            if not (self.path / "zarr.json").exists():
                zarr.create_group(self._store, zarr_format=3, attributes=attrs)
            elif not DemoSet(self.path).episodes:  # a set without an episode may change its settings
                zarr.open_group(self._store, mode="r+", zarr_format=3).attrs.put(attrs)
            self._recover(attrs)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Let another writer in. A second call does nothing, and nothing is lost without the call."""
        if self._lock is not None:
            self._threads.shutdown()
            self._lock.release()
            self._lock = None

    @property
    def episodes(self) -> int:
        """Finished episodes in the set."""
        return len(self._meta[ENDS]) if self._meta else 0

    def append(self, episode: dict[str, np.ndarray], meta: dict | None = None) -> int:
        """Commit one episode (arrays (T, ...), see `schema.KEYS`) with its numbers `meta`; returns its index.

        `length` is filled in, and `success` where the data say it. When this returns, the episode is on disk.
        """
        if self._lock is None:
            raise DemoError(f"{self.path}: this writer is closed; open another")
        if self._broken:  # for example a full disk: start where the last finished episode ended
            self._recover(self._attrs)
        episode = schema.check_episode(episode)
        numbers = self._numbers(episode, meta or {})
        self._broken = True
        if not self._meta:
            self._create(episode, numbers)
        self._check_fits(episode, numbers)
        index, length = self.episodes, len(episode["action"])
        start = -(-(int(self._meta[ENDS][-1]) if index else 0) // self._shard) * self._shard
        # Write the steps and the numbers side by side: readers ignore them until the commit.
        running = [self._threads.submit(self._lay, key, start, value) for key, value in episode.items()]
        numbers |= {STARTS: np.asarray(start, np.int64)}
        running += [self._threads.submit(self._put, name, index, value) for name, value in numbers.items()]
        wait(running)
        for job in running:
            job.result()
        # Commit: from here on readers see the episode.
        self._put(ENDS, index, start + length)
        self._broken = False
        return index

    def _lay(self, key: str, start: int, value: np.ndarray) -> None:
        """Write the steps `value` of an episode that begins at step `start` of the set."""
        array = self._arrays[key]
        array.resize((start + len(value), *array.shape[1:]))
        array[start : start + len(value)] = value

    def _numbers(self, episode, meta) -> dict:
        if "success" in episode and "success" not in meta:
            meta = {**meta, "success": bool(episode["success"].any())}
        meta = {**meta, "length": len(episode["action"])}
        for name, value in meta.items():
            kind = np.asarray(value)
            if not schema.NAME.fullmatch(name) or name in (ENDS, STARTS) or kind.ndim or kind.dtype.kind not in "biuf":
                raise DemoError(f"meta {name}={value!r}: expected a lower-case name and one number or boolean")
        return {name: np.asarray(meta[name], _meta_dtype(name, meta[name])) for name in sorted(meta)}

    def _create(self, episode, numbers) -> None:
        """Make the empty arrays. The commit marker comes first, so that data without a marker is always damage."""
        self._shard = schema.shard_steps(episode)
        self._meta = {ENDS: np.zeros(0, np.int64)}
        self._make_meta(
            ENDS,
            np.dtype("int64"),
            {
                "keys": {key: value.dtype.name for key, value in episode.items()},
                "meta": {name: value.dtype.name for name, value in numbers.items()},
                "shard_steps": self._shard,
            },
        )
        for key, value in episode.items():
            rest = value.shape[1:]
            self._arrays[key] = zarr.create_array(
                self._store,
                name=f"data/{key}",
                shape=(0, *rest),
                dtype=value.dtype,
                fill_value=0,
                chunks=(schema.chunk_steps(key, self._shard), *rest),
                shards=(self._shard, *rest),
                compressors=ZstdCodec(level=3, checksum=True),
                chunk_key_encoding={"name": "default", "separator": "."},
                config=WRITE_ALL,
                zarr_format=3,
            )
        for name, value in (numbers | {STARTS: np.int64(0)}).items():
            self._make_meta(name, value.dtype, {})

    def _reopen(self, name: str):
        with zarr.config.set({f"array.{key}": value for key, value in WRITE_ALL.items()}):  # zarr drops config= here
            return zarr.open_array(self._store, path=name, mode="r+", zarr_format=3)

    def _make_meta(self, name, dtype, attributes) -> None:
        self._meta[name] = np.zeros(0, dtype)
        self._arrays[f"meta/{name}"] = zarr.create_array(
            self._store,
            name=f"meta/{name}",
            shape=(0,),
            dtype=dtype,
            chunks=(schema.META_CHUNK,),
            compressors=None,
            chunk_key_encoding={"name": "default", "separator": "."},
            attributes=attributes,
            zarr_format=3,
        )

    def _put(self, name: str, index: int, value) -> None:
        """Write entry `index` of a meta array: first the chunk, then the shape, each in one rename.

        zarr writes the shape first, so readers would see a number that is not there yet.
        """
        # The new value joins the values that are on disk already.
        values = np.append(self._meta[name], np.asarray(value, self._meta[name].dtype))
        # One file holds META_CHUNK values. Build the whole file that holds `index`, padded with zeros, little-endian.
        chunk = np.zeros(schema.META_CHUNK, values.dtype.newbyteorder("<"))
        part = values[index - index % schema.META_CHUNK :]
        chunk[: len(part)] = part
        # A chunk without compression is its plain bytes. Readers of the old shape do not look at the new entry.
        write_file(self.path / "meta" / name / f"c.{index // schema.META_CHUNK}", chunk.tobytes())
        # Now the entry is on disk: the longer shape shows it to readers.
        self._arrays[f"meta/{name}"].resize((index + 1,))
        self._meta[name] = values

    def _check_fits(self, episode, numbers) -> None:
        for what, new, old in (
            ("keys", set(episode), {k for k in self._arrays if not k.startswith("meta/")}),
            ("numbers", set(numbers), set(self._meta) - {ENDS, STARTS}),
        ):
            if new != old:
                raise DemoError(
                    f"{self.path}: every episode of a set has the same {what}: expected {', '.join(sorted(old))}; "
                    f"got {', '.join(sorted(new))}"
                )
        for key, value in episode.items():
            array = self._arrays[key]
            if value.shape[1:] != array.shape[1:] or value.dtype != array.dtype:
                raise DemoError(
                    f"{self.path}: a step of {key} is {array.dtype} {array.shape[1:]} in this set, got "
                    f"{value.dtype} {value.shape[1:]}"
                )

    def _recover(self, attrs: dict) -> None:
        """Open the set as its last finished episode left it, and remove what came after."""
        sweep(self.path)
        old = DemoSet(self.path)
        schema.check_same(old.attrs, attrs, self.path)
        self._attrs, self._arrays, self._meta, self._broken = attrs, {}, {}, False
        if not old.episodes:
            for part in ("data", "meta"):  # the marker goes last, see _create
                shutil.rmtree(self.path / part, ignore_errors=True)
            return
        self._shard = old.shard_steps
        end = int(old.episode_ends[-1])
        for key in old.keys:
            array = self._arrays[key] = self._reopen(f"data/{key}")
            array.resize((end, *array.shape[1:]))
            for file in (self.path / "data" / key).glob("c.*"):
                if int(file.name.split(".")[1]) >= -(-end // self._shard):
                    file.unlink()
        for name in (*old.meta_names, STARTS, ENDS):
            array = self._arrays[f"meta/{name}"] = self._reopen(f"meta/{name}")
            array.resize((old.episodes,))
            self._meta[name] = old.meta(name).copy()


def _only_begun(path: Path) -> bool:
    """Whether `path` is an empty folder, or holds only what a writer leaves that was killed at its first file."""
    return path.is_dir() and all(p.name == LOCK or p.name.startswith(TEMPORARY) for p in path.iterdir())


def _meta_dtype(name: str, value) -> str:
    kind = np.asarray(value).dtype.kind
    return schema.META.get(name) or {"b": "bool", "f": "float64"}.get(kind, "int64")

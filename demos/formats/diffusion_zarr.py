"""Diffusion Policy's replay buffer: zarr format 2, all episodes of a key in one array, and where each ends.

`data/KEY` (N, ...) and `meta/episode_ends` int64 (E,), exclusive (diffusion_policy/common/replay_buffer.py). Keys keep
our names, so the shape_meta of a task lists `rgb_wrist` and `proprio`. Our attributes go into the attribute
`toto_robot` of the group, and the numbers of the episodes into more arrays of `meta`. The replay buffer ignores both.
"""

import itertools
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numcodecs
import numpy as np
import zarr

from demos.errors import DemoError
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
    indexed,
    key_name,
    left_out,
    need_hz,
    picture_shape,
)
from toto_robot.ground.foreign import check_inside, check_shape, in_time, within_memory

PIECE = 1 << 26
"""Bytes that are read at once, if no chunk is larger."""
CHUNK_BYTES = 2 * 2**20
ENDS = "episode_ends"
PLAIN_FILTERS = ("delta", "fixedscaleoffset", "quantize", "shuffle", "astype", "bitround", "packbits")
ROW = 64  # steps that are read at once when pictures are checked


def looks(path: Path) -> bool:
    """Whether `path` is a zarr group of format 2 (a folder or a .zip) with data and meta."""
    return (
        (path / ".zgroup").is_file() and (path / "data").is_dir() or path.is_file() and path.name.endswith(".zarr.zip")
    )


# ------------------------------------------------------------------------------------------ export


def write(source: Imported, path: Path, options: Options) -> Report:
    """Write the set into the folder `path`."""
    report = Report()
    ends: list[int] = []
    metas: list[dict] = []
    root = zarr.create_group(path, zarr_format=2)
    data, meta = root.create_group("data"), root.create_group("meta")
    arrays: dict[str, zarr.Array] = {}
    for episode, about in source.episodes():
        length = check_steps(episode, f"episode {len(ends)}")
        check_keys(episode, set(arrays), len(ends))
        for key, value in episode.items():
            if key not in arrays:
                arrays[key] = _create(data, key, value)
            elif arrays[key].shape[1:] != value.shape[1:] or arrays[key].dtype != value.dtype:
                raise DemoError(
                    f"episode {len(ends)}: {key} is {value.dtype} {value.shape[1:]}, in episode 0 it is "
                    f"{arrays[key].dtype} {arrays[key].shape[1:]}"
                )
            arrays[key].resize((report.steps + length, *value.shape[1:]))
            arrays[key][report.steps :] = value
        report.steps += length
        ends.append(report.steps)
        metas.append(about)
    if not ends:
        raise DemoError("there is no episode to export")
    for name, values in {ENDS: np.array(ends, np.int64), **_meta_arrays(metas, report)}.items():
        meta.create_array(name, data=values, chunks=values.shape, compressors=None)
    root.attrs[SIDECAR] = source.attrs
    report.episodes, report.kept = len(ends), {key: f"data/{key}" for key in arrays}
    return report


def _create(data: zarr.Group, key: str, value: np.ndarray) -> zarr.Array:
    """An empty array for a key, chunked in time only; compressed by zstd with bit-shuffle, as in Diffusion Policy."""
    row = max(1, int(np.prod(value.shape[1:])) * value.itemsize)
    chunks = (max(1, CHUNK_BYTES // row), *(max(1, n) for n in value.shape[1:]))
    compressor = numcodecs.Blosc("zstd", clevel=5, shuffle=numcodecs.Blosc.BITSHUFFLE)
    return data.create_array(key, shape=(0, *value.shape[1:]), dtype=value.dtype, chunks=chunks, compressors=compressor)


def _meta_arrays(metas: list[dict], report: Report) -> dict[str, np.ndarray]:
    """The numbers that every episode has, as arrays (E,)."""
    names = sorted({name for meta in metas for name in meta} - {"task"})
    found = {}
    for name in names:
        values = [meta.get(name) for meta in metas]
        if all(isinstance(value, (bool, int, float)) for value in values):
            found[name] = np.array(values)
        else:
            report.dropped.append({"what": f"meta {name}", "why": "not a number in every episode"})
    return found


# ------------------------------------------------------------------------------------------ import


def read(path: Path, options: Options) -> Imported:
    """The episodes of a replay buffer in a folder or a .zarr.zip."""
    check_inside(path, DemoError)
    root, reader = _open(path), _Reader(path)
    arrays, ends = _arrays(root, path), _ends(root, path, reader)
    for key, array in arrays.items():
        if not array.shape or array.shape[0] != ends[-1]:
            steps = array.shape[0] if array.shape else 0
            raise DemoError(f"{path}: data/{key} has {steps} steps, meta/{ENDS} ends at {ends[-1]}; the set is damaged")
    if "action" not in arrays:
        raise DemoError(f"{path}: expected data/action, it has {', '.join(arrays)}")
    source, side = Imported({}, lambda images: iter(())), root.attrs.get(SIDECAR)
    metas = _read_metas(root, len(ends), reader)
    if side:
        source.attrs, chosen, cameras = dict(side), [], {}
        ours = {key: key.removeprefix(CAMERA) for key in arrays if key.startswith(CAMERA)}
        gone = left_out(source, ours, options, str(path))
        keys = {key: key for key in arrays if key not in gone}
        if tasks := source.attrs.get("episode_tasks"):
            if len(tasks) != len(ends):
                raise DemoError(
                    f"{path}: meta/{ENDS} lists {len(ends)} episodes, the attribute {SIDECAR} the tasks of "
                    f"{len(tasks)}; the set was changed since its export: delete the latter to import without"
                )
            metas = [meta | {"task": task} for meta, task in zip(metas, tasks)]
    else:
        keys, chosen, cameras = _foreign(path, options, source, arrays, reader)

    def episodes(images: bool) -> Iterator[tuple[Episode, dict]]:
        for start, stop, meta in zip([0, *ends[:-1]], ends, metas):
            try:
                episode = {
                    key: reader.span(arrays[name], start, stop)
                    for key, name in keys.items()
                    if images or not key.startswith(CAMERA)
                }
                if chosen:
                    parts = [reader.span(arrays[name], start, stop).reshape(stop - start, -1) for name in chosen]
                    episode["proprio"] = np.concatenate(parts, 1)
                if images:
                    episode |= {
                        CAMERA + camera: _as_bytes(reader.span(arrays[name], start, stop))
                        for camera, name in cameras.items()
                    }
            except DemoError:
                raise
            except Exception as error:  # zarr and its codecs raise anything on damaged bytes
                raise DemoError(f"{path}, steps {start} to {stop}: {str(error)[:160]}; the set is damaged") from error
            if not side:
                episode["action"] = episode["action"].reshape(stop - start, -1)
                episode = {
                    key: value.astype(STEP_DTYPES.get(key, value.dtype), copy=False) for key, value in episode.items()
                }
            check_steps(episode, f"{path}, steps {start} to {stop}")
            yield episode, meta

    source.read = episodes
    return source


def _open(path: Path) -> zarr.Group:
    try:
        store = zarr.storage.ZipStore(path, mode="r") if path.is_file() else path
        root = zarr.open_group(store, mode="r", zarr_format=2)
        if not isinstance(root.get("data"), zarr.Group) or not isinstance(root.get("meta"), zarr.Group):
            raise KeyError("no groups data and meta")
        return root
    except DemoError:
        raise
    except Exception as error:  # a damaged zip or JSON makes zarr raise anything
        raise DemoError(
            f"{path} is not a replay buffer of Diffusion Policy ({type(error).__name__}: {str(error)[:160]}); "
            f"expected zarr format 2 with data/ and meta/{ENDS}"
        ) from error


class _Reader:
    """Reads spans of a set's arrays, within its limits."""

    def __init__(self, path: Path):
        self.path = path
        self._zip = zipfile.ZipFile(path) if path.is_file() else None
        files = [path] if path.is_file() else path.rglob("*")
        self.bytes = sum(file.stat().st_size for file in files if file.is_file())

    def span(self, array: zarr.Array, start: int, stop: int) -> np.ndarray:
        """Steps `start` to `stop` of an array, in pieces of whole chunks."""
        where, shape = f"{self.path}: {array.path}", (stop - start, *array.shape[1:])
        count = check_shape(shape, array.dtype.itemsize, where, DemoError)
        chunk = check_shape(array.chunks, array.dtype.itemsize, f"{where} (a chunk)", DemoError)
        out = np.empty(shape, array.dtype)
        step = array.chunks[0] * max(1, PIECE // chunk) if chunk else stop - start
        cuts = [start, *range(start - start % step + step, stop, step), stop] if step else []

        def pieces() -> Iterator[None]:
            for low, high in itertools.pairwise(cuts):
                self._check_chunks(array, low, high, chunk)
                with within_memory(chunk + count):
                    out[low - start : high - start] = array[low:high]
                yield

        for _ in in_time(pieces(), self.bytes, where, DemoError):
            pass
        return out

    def _check_chunks(self, array: zarr.Array, low: int, high: int, chunk: int) -> None:
        """DemoError if a chunk of these steps has a wrong header: Blosc would read beyond its end."""
        if getattr(array.metadata.compressor, "codec_id", None) != "blosc":
            return
        grid = [range(low // array.chunks[0], -(-high // array.chunks[0]))]
        grid += [range(-(-n // c)) for n, c in zip(array.shape[1:], array.chunks[1:])]
        for at in itertools.product(*grid):
            key = f"{array.path}/{array.metadata.encode_chunk_key(at)}"
            data = self._bytes(key)
            if data is not None and not _blosc_fits(data, 8 * chunk):  # a filter may make a number wider
                raise DemoError(f"{self.path}: {key} is damaged (the header of a chunk is wrong); download it again")

    def _bytes(self, key: str) -> bytes | None:
        if self._zip is not None:
            return self._zip.read(key) if key in self._zip.NameToInfo else None
        return (self.path / key).read_bytes() if (self.path / key).is_file() else None


def _blosc_fits(data: bytes, most: int) -> bool:
    """Whether the header of a Blosc chunk (version 1) agrees with its length, and its blocks lie inside it."""
    if len(data) < 16:
        return False
    unpacked, block, packed = struct.unpack("<III", data[4:16])
    if data[0] not in (1, 2) or packed != len(data) or unpacked > most or data[3] == 0:
        return False
    if data[2] & 2:  # stored, not compressed
        return packed == unpacked + 16
    if not 0 < block <= max(unpacked, 1):
        return unpacked == 0
    blocks = -(-unpacked // block)
    if 16 + 4 * blocks > packed:
        return False
    starts = struct.unpack(f"<{blocks}I", data[16 : 16 + 4 * blocks])
    return all(16 + 4 * blocks <= start < packed for start in starts)


def _arrays(root: zarr.Group, path: Path) -> dict[str, zarr.Array]:
    """The arrays of data/. Arrays of objects are refused, because reading them would unpickle."""
    found = {}
    try:
        for key, array in root["data"].arrays():
            _refuse_objects(array, f"{path}: data/{key}")
            found[key] = array
    except DemoError:
        raise
    except Exception as error:
        raise DemoError(
            f"{path}: data/ can't be read ({type(error).__name__}: {str(error)[:200]}); pictures compressed with "
            "imagecodecs (jpeg2k) must be stored as plain arrays first"
        ) from error
    return found


def _refuse_objects(array: zarr.Array, where: str) -> None:
    filters = [getattr(f, "codec_id", type(f).__name__) for f in array.metadata.filters or ()]
    if array.dtype.kind not in "fiub" or any(name not in PLAIN_FILTERS for name in filters):
        raise DemoError(
            f"{where} holds {array.dtype} through {', '.join(filters) or 'no filter'}; only arrays of numbers are "
            "read, since objects could run code: store it as numbers, or delete it"
        )


def _ends(root: zarr.Group, path: Path, reader: _Reader) -> list[int]:
    try:
        array = root[f"meta/{ENDS}"]
        _refuse_objects(array, f"{path}: meta/{ENDS}")
        ends = [int(end) for end in reader.span(array, 0, array.shape[0])]
    except DemoError:
        raise
    except Exception as error:  # zarr and its codecs raise anything on damaged bytes
        raise DemoError(f"{path}: meta/{ENDS} can't be read ({str(error)[:160]}); the set is damaged") from error
    if not ends or any(b <= a for a, b in zip([0, *ends], ends)):
        raise DemoError(f"{path}: expected meta/{ENDS} to grow from above 0, got {ends[:5]}")
    return ends


def _read_metas(root: zarr.Group, count: int, reader: _Reader) -> list[dict]:
    """The numbers of each episode (seed, success, ...): arrays of meta/ with one number for each episode."""
    arrays = {
        name: reader.span(array, 0, count)
        for name, array in root["meta"].arrays()
        if name != ENDS and array.shape == (count,) and array.dtype.kind in "fiub"
    }
    return [{name: values[i].item() for name, values in arrays.items()} for i in range(count)]


def _foreign(path: Path, options: Options, source: Imported, arrays: dict[str, zarr.Array], reader: _Reader):
    """Fill in the attributes of a foreign set; returns ({our key: array}, arrays of proprio, {camera: array})."""
    cameras: dict[str, str] = {}
    pictures = {
        name: key_name(name.removeprefix(CAMERA))
        for name, array in arrays.items()
        if (picture_shape(array.shape[1:]) or (0, 0, 0))[2] == 3
    }
    gone = left_out(source, pictures, options, str(path))
    for name, array in arrays.items():
        picture = picture_shape(array.shape[1:])
        if picture is not None and picture[2] != 3:
            source.drop(f"data/{name}", f"pictures with {picture[2]} channels; a camera has 3 here")
        elif picture is not None and name not in gone:
            if array.dtype == np.uint8 or _holds_bytes(array, reader):
                cameras[key_name(name.removeprefix(CAMERA))] = name
                if array.dtype != np.uint8:
                    source.facts[name] = f"whole numbers of 0 to 255 stored as {array.dtype}, kept as uint8"
            else:
                source.drop(f"data/{name}", f"pictures in {array.dtype} that are no whole numbers of 0 to 255")
    flat = {
        name: int(np.prod(array.shape[1:]))  # one number a step is a vector of one
        for name, array in arrays.items()
        if array.ndim <= 2 and name not in ("action", "reward", "success", "timestamp_s")
    }
    chosen = choose_proprio(flat, options, str(path))
    keys = {"action": "action"} | {
        key: key for key in ("reward", "success", "timestamp_s") if key in arrays and arrays[key].ndim == 1
    }
    kept = {*keys.values(), *chosen, *cameras.values()}
    for name, array in arrays.items():
        if name not in kept | gone and not any(entry["what"] == f"data/{name}" for entry in source.dropped):
            source.drop(
                f"data/{name}",
                "not a name of a robot's own state; proprio= keeps it"
                if name in flat
                else f"{array.ndim - 1} dimensions a step, which has no place here",
            )
    source.attrs = foreign_attributes(
        env=path.name.split(".")[0],
        control_hz=need_hz(None, options, f"{path} (Diffusion Policy)"),
        cameras={camera: (picture_shape(arrays[name].shape[1:]) or (0, 0))[:2] for camera, name in cameras.items()},
        action_names=indexed("action", int(np.prod(arrays["action"].shape[1:]))),
        meaning="as recorded",
        proprio_names=[n for name in chosen for n in indexed(name, flat[name])],
    )
    return keys, chosen, cameras


def _holds_bytes(array: zarr.Array, reader: _Reader) -> bool:
    """Whether uint8 can hold every number."""
    stops = ((at, min(at + ROW, array.shape[0])) for at in range(0, array.shape[0], ROW))
    parts = (reader.span(array, at, stop) for at, stop in stops)
    return all(bool(((part >= 0) & (part <= 255) & (part == np.floor(part))).all()) for part in parts)


def _as_bytes(frames: np.ndarray) -> np.ndarray:
    return channels_last(frames.astype(np.uint8, copy=False))

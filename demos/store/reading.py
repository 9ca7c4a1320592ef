"""Reads a demonstration set from disk: its group, its arrays, and spans of steps. A DemoError names what is damaged.

On the arrow: `demos.store.demo_set` asks it for everything that it reads.

Sharded arrays are read here, not by zarr (3.1.6), whose selections go through an event loop in another thread: 3.7 ms
of processor time for a window of 16 numbers, where reading and unpacking them takes 0.1 ms. The layout is that of the
zarr v3 specification (sharding-indexed): chunks in any order, then the offset and the length in bytes of each chunk,
uint64 (both 2^64 - 1 for a chunk that is not stored), and the CRC-32C of these. zarr reads arrays of any other layout.
"""

import os
from pathlib import Path

import google_crc32c
import numpy as np
import zarr
from numcodecs import zstd

from demos.errors import DemoError
from demos.store import schema
from demos.store.disk import Disk
from toto_robot.ground.foreign import check_shape, within_memory

ABSENT = 2**64 - 1
CRC_BYTES, ENTRY_BYTES = 4, 16


def open_group(path: Path):
    """The zarr group at `path`, read-only; DemoError for anything else."""
    if not path.exists():
        near = (
            sorted(p.name for p in path.parent.glob("*") if (p / "zarr.json").exists()) if path.parent.is_dir() else []
        )
        raise DemoError(
            f"no demonstration set at {path}; sets beside it: {', '.join(near) or 'none'}. "
            "`python -m demos.record out=PATH` makes one."
        )
    if not (path / "zarr.json").exists():
        other = "a zarr v2 group" if (path / ".zgroup").exists() else "not a zarr v3 group"
        raise DemoError(
            f"{path} is {other}: expected a folder with a zarr.json. `python -m demos.record out=PATH` makes one, "
            f"`python -m demos.convert {path} PATH to=zarr` imports a set of another format."
        )
    try:
        return zarr.open_group(Disk(path, read_only=True), mode="r", zarr_format=3)
    except Exception as error:  # a damaged zarr.json makes zarr raise anything
        raise DemoError(
            f"{path}/zarr.json is damaged ({said(error)}); restore it from a copy, or record the set again"
        ) from error


def open_array(path: Path, name: str, dtype: str | None = None):
    """One array of the set at `path`; DemoError unless it is there, whole and of type `dtype`."""
    if not (path / name / "zarr.json").exists():
        raise DemoError(
            f"{path}: {name} is missing (no {name}/zarr.json), though the set was recorded with it; restore it "
            "from a copy, or record the set again"
        )
    try:
        array = zarr.open_array(Disk(path, read_only=True), path=name, mode="r", zarr_format=3)
    except Exception as error:  # a damaged zarr.json makes zarr raise anything
        raise DemoError(
            f"{path}/{name}/zarr.json is damaged ({said(error)}); restore it from a copy, or record the set again"
        ) from error
    want = schema.expected(name.removeprefix("data/")) if name.startswith("data/") else None
    wanted = {d for d in (dtype, want and want.dtype) if d}
    if wanted - {array.dtype.name}:
        raise DemoError(
            f"{path}: {name} has type {array.dtype}, expected {' or '.join(sorted(wanted))}. Its zarr.json was "
            "changed, or other software wrote it: restore it from a copy."
        )
    return array


def read(path: Path, array, span: slice, what: str) -> np.ndarray:
    """`array[span]` along time, (stop - start, ...), of the set at `path`; `what` is its name in errors."""
    if span.stop <= span.start:
        return np.zeros((0, *array.shape[1:]), array.dtype)
    length = (array.shards or array.chunks)[0]
    zeros = (0,) * (len(array.shape) - 1)
    files = [
        path / array.path / array.metadata.encode_chunk_key((i, *zeros))
        for i in range(span.start // length, -(-span.stop // length))
    ]
    for file in files:
        if not file.exists() or not file.stat().st_size:  # zarr would return zeros
            state = "empty" if file.exists() else "missing"
            raise DemoError(
                f"{path}: {what} can't be read: the file {file.relative_to(path)} is {state}. Restore it from a "
                "copy, or record the set again."
            )
    try:
        count = check_shape((span.stop - span.start, *array.shape[1:]), array.dtype.itemsize, what, error=DemoError)
        shard = check_shape(array.shards or array.chunks, array.dtype.itemsize, f"{what} (a shard)", error=DemoError)
        if _is_ours(array):
            return _steps(array, files, span)
        with within_memory(count + shard):
            return array[span]
    except DemoError:
        raise
    except Exception as error:  # zarr and its codecs raise anything on damaged bytes
        names = ", ".join(f"{f.relative_to(path)} ({f.stat().st_size} bytes)" for f in files)
        raise DemoError(
            f"{path}: {what} can't be read: {names} is damaged ({said(error)}). Restore it from a copy, or "
            "record the set again."
        ) from error


def said(error: Exception) -> str:
    """Kind and text of an error, on one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _is_ours(array) -> bool:
    """Whether its files are shards of whole steps in zstd chunks, little-endian, with the index last."""
    codec = array.metadata.codecs[0].to_dict()
    if (
        codec["name"] != "sharding_indexed"
        or array.chunks[1:] != array.shape[1:]
        or array.shards[1:] != array.shape[1:]
    ):
        return False
    config = codec["configuration"]
    codecs = [*config["codecs"], *config["index_codecs"]]
    endian = {c.get("configuration", {}).get("endian", "little") for c in codecs}
    return (
        [c["name"] for c in codecs] == ["bytes", "zstd", "bytes", "crc32c"]
        and endian == {"little"}
        and config["index_location"] == "end"
    )


def _steps(array, files: list[Path], span: slice) -> np.ndarray:
    """`array[span]`, which lies in `files`. One call reads a chunk, another unpacks it, in place if it fits whole."""
    chunk, shard, rest = array.chunks[0], array.shards[0], array.shape[1:]
    out, buffer = np.empty((span.stop - span.start, *rest), array.dtype), np.empty((chunk, *rest), array.dtype)
    for at, file in enumerate(files, span.start // shard):
        handle = os.open(file, os.O_RDONLY)
        try:
            places, whole = _index(handle, shard // chunk), os.fstat(handle).st_size
            first = at * shard  # step of the set at which this file begins
            # The chunks of this file that hold a step of the span.
            for i in range(max(span.start - first, 0) // chunk, -(-min(span.stop - first, shard) // chunk)):
                offset, size = (int(n) for n in places[i])
                if offset == ABSENT or offset + size > whole:
                    raise ValueError(f"chunk {i} is not there")
                packed = os.pread(handle, size, offset)
                # A whole chunk is unpacked into the result; of one at an edge only the steps of the span are copied.
                start = first + i * chunk - span.start  # in `out`
                if start >= 0 and start + chunk <= len(out):
                    zstd.decompress(packed, out[start : start + chunk])
                else:
                    zstd.decompress(packed, buffer)
                    low, high = max(start, 0), min(start + chunk, len(out))
                    out[low:high] = buffer[low - start : high - start]
        finally:
            os.close(handle)
    return out


def _index(handle: int, chunks: int) -> np.ndarray:
    """Offset and length of each chunk of a shard, uint64 (chunks, 2)."""
    size, whole = ENTRY_BYTES * chunks + CRC_BYTES, os.fstat(handle).st_size
    data = os.pread(handle, size, whole - size) if size <= whole else b""
    if len(data) < size or google_crc32c.value(data[:-CRC_BYTES]) != int.from_bytes(data[-CRC_BYTES:], "little"):
        raise ValueError("the checksum of its index is wrong")
    return np.frombuffer(data, "<u8", 2 * chunks).reshape(chunks, 2)

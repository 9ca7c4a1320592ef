"""Reads a span of steps out of a set's arrays; a part that can't be read raises a DemoError that names the file.

Sharded arrays are read here, not by zarr (3.1.6), whose selections go through an event loop in another thread: 3.7 ms
of processor time for a window of 16 numbers, where reading and unpacking them takes 0.1 ms. The layout is that of the
zarr v3 specification (sharding-indexed): chunks in any order, then the offset and the length in bytes of each chunk,
uint64 (both 2^64 - 1 for a chunk that is not stored), and the CRC-32C of these. zarr reads arrays of any other layout.
"""

import os
from pathlib import Path

import google_crc32c
import numpy as np
from numcodecs import zstd

from demos.errors import DemoError

ABSENT = 2**64 - 1
CRC_BYTES, ENTRY_BYTES = 4, 16


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
        return _steps(array, files, span) if _is_ours(array) else array[span]
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
            places = _index(handle, shard // chunk)
            first = at * shard  # step of the set at which this file begins
            # The chunks of this file that hold a step of the span.
            for i in range(max(span.start - first, 0) // chunk, -(-min(span.stop - first, shard) // chunk)):
                offset, size = (int(n) for n in places[i])
                if offset == ABSENT:
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
    size = ENTRY_BYTES * chunks + CRC_BYTES
    data = os.pread(handle, size, max(0, os.fstat(handle).st_size - size))
    if len(data) < size or google_crc32c.value(data[:-CRC_BYTES]) != int.from_bytes(data[-CRC_BYTES:], "little"):
        raise ValueError("the checksum of its index is wrong")
    return np.frombuffer(data, "<u8", 2 * chunks).reshape(chunks, 2)

"""TFRecord files and the tf.train.Example messages inside, without TensorFlow.

A record is its length (u64), a masked CRC-32C of that, the bytes, and a masked CRC-32C of these (little-endian;
tensorflow/core/lib/io/record_writer.h). An Example is a map from names to one list each of bytes, floats or int64
(tensorflow/core/example/{example,feature}.proto). All checksums are verified; nothing is ever executed.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import google_crc32c
import numpy as np

from demos.errors import DemoError
from toto_robot.ground.foreign import check_bytes
from toto_robot.ground.strict import check_regular

MOST_ITEMS = 1 << 20
"""Most parts of a feature that are stored one by one: pictures, for example one for each step."""
PIECE = 1 << 20
"""Bytes of packed whole numbers that are read at once."""
MASK = 0xA282EAD8
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = np.ndarray | list[memoryview]


def masked_crc(data: bytes) -> int:
    """CRC-32C (Castagnoli), rotated and offset as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + MASK) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file, each verified. DemoError names the record that is damaged."""
    size = check_regular(path)
    with open(path, "rb") as file:
        at = 0
        while head := file.read(12):
            where = f"{path}, record {at} at byte {file.tell() - len(head)}"
            if len(head) < 12:
                raise DemoError(f"{where}: the file ends inside a record's head; it is truncated, download it again")
            length, crc = struct.unpack("<QI", head)
            if masked_crc(head[:8]) != crc:
                raise DemoError(
                    f"{where}: the checksum of its length is wrong; this is not a TFRecord file, or it is damaged "
                    "(compressed ones must be unpacked first)"
                )
            if file.tell() + length + 4 > size:
                raise DemoError(f"{where}: it promises {length} bytes and the file ends before that; download it again")
            data = file.read(length)
            if masked_crc(data) != struct.unpack("<I", file.read(4))[0]:
                raise DemoError(f"{where}: the checksum of its data is wrong; the file is damaged, download it again")
            yield data
            at += 1


def write_records(path: Path, records: list[bytes]) -> None:
    """Write a TFRecord file, as `read_records` reads it."""
    with open(path, "wb") as file:
        for data in records:
            length = struct.pack("<Q", len(data))
            file.write(length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data)))


def parse_example(data: bytes) -> dict[str, Value]:
    """{name: float32 (n,), int64 (n,) or a list of byte strings}. ValueError if it is not a tf.train.Example."""
    found: dict[str, Value] = {}
    for number, features in _fields(memoryview(data)):
        if number == 2:
            raise ValueError("a tf.train.SequenceExample, where TFDS writes tf.train.Example")
        if number != 1:
            continue
        for entry_number, entry in _fields(_bytes(features)):
            if entry_number == 1:
                parts = dict(_fields(_bytes(entry)))
                found[bytes(_bytes(parts[1])).decode("utf-8")] = _feature(_bytes(parts.get(2, memoryview(b""))))
    return found


def _feature(message: memoryview) -> Value:
    value: Value = []
    for kind, body in _fields(message):
        items = [item for number, item in islice(_fields(_bytes(body)), MOST_ITEMS + 1) if number == 1]
        if len(items) > MOST_ITEMS:
            raise ValueError(f"a feature of more than {MOST_ITEMS:,} parts")
        if kind == 1:
            value = [_bytes(item) for item in items]
        elif kind == 2:  # packed, or one by one
            packed = b"".join(
                bytes(item) if isinstance(item, memoryview) else struct.pack("<I", item) for item in items
            )
            value = np.frombuffer(packed, "<f4").astype(np.float32)
        elif kind == 3:
            parts = [_varints(item) if isinstance(item, memoryview) else np.array([item], np.uint64) for item in items]
            value = np.concatenate(parts or [np.zeros(0, np.uint64)]).view(np.int64)
        else:
            raise ValueError(f"a feature of the unknown kind {kind}")
    return value


def _bytes(value: memoryview | int) -> memoryview:
    if not isinstance(value, memoryview):
        raise ValueError("a number where a message should be")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(field number, value) of a protobuf message: a slice for length-delimited fields, else an int."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == BYTES:
            size, at = _varint(message, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > end:
            raise ValueError("a field that reaches beyond its message")
        body, at = message[at : at + size], at + size
        yield number, body if wire == BYTES else int.from_bytes(body, "little")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number that does not end")
        byte = message[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at


def _varints(packed: memoryview) -> np.ndarray:
    """All varints of a packed field, uint64 (n,). It is read in pieces, because a byte becomes eight."""
    check_bytes(8 * len(packed), "a list of whole numbers")
    parts, at = [], 0
    while at < len(packed):
        end = min(at + PIECE, len(packed))
        stop = next((end - i for i in range(10) if packed[end - i - 1] < 0x80), at)  # the end of a number
        if stop <= at or (end == len(packed) and stop < end):
            raise ValueError("a number that does not end")
        parts.append(_some_varints(packed[at:stop]))
        at = stop
    return np.concatenate(parts or [np.zeros(0, np.uint64)])


def _some_varints(packed: memoryview) -> np.ndarray:
    data = np.frombuffer(packed, np.uint8)
    ends = np.flatnonzero(data < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() > 9:
        raise ValueError("a number of more than 64 bits")
    place = (np.arange(len(data)) - np.repeat(starts, ends - starts + 1)).astype(np.uint64)
    shifted = (data & 0x7F).astype(np.uint64) << (place * np.uint64(7))
    return np.bitwise_or.reduceat(shifted, starts)

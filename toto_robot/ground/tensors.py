"""The header of a safetensors file: its tensors' shapes, known and checked before any memory is taken for them."""

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import check_regular

MOST_HEADER = 1 << 22
"""Most bytes of a header. Ours have 10 kB."""
COUNTS = ("layers", "blocks", "num_res_blocks", "num_blocks", "depth")
"""Fields of a network's description that count parts with tensors of their own."""


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes in a safetensors file by name, read from its header alone.

    The header must account for every byte of the file. Raises UserError for any other file.
    """
    size = check_regular(path)
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MOST_HEADER):
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
            header = json.loads(file.read(length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        spans = sorted(_span(entry) for entry in entries.values())
        ends = [0, *(end for _, end in spans)]
        if [begin for begin, _ in spans] != ends[:-1] or ends[-1] != size - 8 - length:
            raise ValueError("the tensors do not cover the file one after the other")
        return {name: tuple(entry["shape"]) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} can't be read as weights: {reason}. Copy it again or train again.") from error


def check_numbers(config: Any, shapes: dict[str, tuple[int, ...]], where: str) -> None:
    """Raise UserError if a whole number in the dataclass `config` is larger than the tensors allow.

    This way a wrong description can't make a huge network. A file without any tensor is not checked.
    """
    if not shapes:
        return
    values, found = sum(map(math.prod, shapes.values())), dataclasses.asdict(config)
    for name, value in found.items():
        most = len(shapes) if name in COUNTS else values
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(number, int) and not isinstance(number, bool) and number > most:
                held = f"{values:,} numbers in {len(shapes)} tensors"
                raise UserError(f"{where}: {name}={number:,} is more than its weights hold ({held}).")


def _span(entry: dict) -> tuple[int, int]:
    """First and last byte of one tensor. Raises ValueError if their number does not fit its shape."""
    begin, end = entry["data_offsets"]
    bits = re.fullmatch(r"[A-Z]+?(\d+)(_E\d+M\d+\w*)?|BOOL", entry["dtype"])
    if bits is None or not all(type(n) is int and 0 <= n < 1 << 48 for n in (begin, end, *entry["shape"])):
        raise ValueError(f"a tensor of {str(entry)[:80]}")
    if math.prod(entry["shape"]) * int(bits[1] or 8) != 8 * (end - begin):
        raise ValueError(f"{end - begin} bytes for a tensor of shape {entry['shape']}")
    return begin, end

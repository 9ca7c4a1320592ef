"""Descriptions from foreign folders: YAML that can't run, hang or flood anything, and dataclasses with exact types.

`read_yaml` takes a regular file of bounded size without anchors, aliases, tags or deep nesting. `build` makes a
dataclass from its values, and refuses an unknown key, a missing key and a value of another type. Both raise UserError,
which names the place.
"""

import dataclasses
import math
import os
import stat
import types
import typing
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from toto_robot.ground.errors import UserError, expected, unknown

MOST_BYTES = 1 << 18
"""Largest size of a description: 256 KiB. Ours have 2 to 20 KiB."""
DEEPEST = 24
"""Most levels of lists and mappings inside each other."""
MOST_ITEMS = 1 << 12
"""Most entries of a list in a description."""
LONGEST_TEXT = 1 << 14
"""Most characters of a text in a description."""


def check_regular(path: str | Path) -> int:
    """The size in bytes of a regular file. Raises UserError for a device, a FIFO, a folder, and a missing file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is not a regular file, but {_kind(status.st_mode)}. Nothing is read from it.")
    return status.st_size


def read_bytes(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most `most` bytes."""
    size = check_regular(path)
    if size > most:
        raise UserError(f"{path} has {size:,} bytes; expected at most {most:,}.")
    try:
        with open(path, "rb") as file:
            data = file.read(size + 1)  # not `most`: Python takes the memory before it reads
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error
    if len(data) > size:
        raise UserError(f"{path} grows while it is read; expected {size:,} bytes.")
    return data


def read_yaml(path: str | Path, most: int = MOST_BYTES) -> Any:
    """The plain values of a YAML file. Raises UserError if it is too large, too deep, or more than plain values."""
    return parse_yaml(read_bytes(path, most), path)


def parse_yaml(data: bytes, where: str | Path) -> Any:
    """The plain values of YAML text in UTF-8, with the limits of `read_yaml`. `where` names the text in the error."""
    try:
        return yaml.load(data.decode("utf-8"), Loader=_Plain)
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not text in UTF-8 ({error.reason} at byte {error.start}).") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{where} is not plain YAML: {reason}.") from error


def dump_yaml(values: Any) -> str:
    """`values` as text that `parse_yaml` reads: without anchors, in the order of the keys."""
    return yaml.dump(values, Dumper=_WithoutAliases, sort_keys=False)


class _Plain(yaml.SafeLoader):
    """PyYAML's safe loader without references: with them, a few bytes can stand for billions of values."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.YAMLError(
                f"anchors and aliases are refused ({event.anchor!r}, line {event.start_mark.line + 1})"
            )
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"more than {DEEPEST} levels inside each other (line {event.start_mark.line + 1})")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) != len(node.value) or len(set(keys)) != len(keys):
            twice = next((key for key, count in Counter(keys).items() if count > 1), "a key that is not text")
            raise yaml.YAMLError(f"expected each key once, got {twice!r} again (line {node.start_mark.line + 1})")
        return super().construct_mapping(node, deep)


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def build(kind: type, values: Any, where: str) -> Any:
    """The dataclass `kind` made from plain values: exact types, no unknown key.

    An error of its `__post_init__` becomes a UserError with `where` in front.
    """
    if not isinstance(values, dict):
        raise expected(where, "the keys of a mapping", _short(values))
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    if foreign := [key for key in values if key not in fields]:
        raise unknown(f"key in {where}:", str(foreign[0])[:60], fields)
    needed = [name for name, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
    if missing := [name for name in needed if name not in values]:
        raise UserError(f"{where}: expected the key {missing[0]}; it has {', '.join(values) or 'none'}.")
    hints = typing.get_type_hints(kind)
    made = {key: check(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    try:
        return kind(**made)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UserError(f"{where}: {error}") from error


def check(kind: Any, value: Any, where: str) -> Any:
    """`value`, checked against the annotation `kind`.

    Raises UserError for another type, a number that is not finite, a list or a text that is too long.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return check(next(k for k in inner if k is not type(None)), value, where)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return build(kind, value, where)
    if origin in (list, tuple):
        return _items(origin, inner, value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53:
        value = float(value)
    if type(value) is not kind:
        raise expected(where, _NAMES.get(kind, str(kind)), _short(value))
    if kind is float and not math.isfinite(value):
        raise expected(where, "a finite number", value)
    if kind is str and len(value) > LONGEST_TEXT:
        raise expected(where, f"at most {LONGEST_TEXT} letters", len(value))
    return value


_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "a mapping"}


def _items(origin: type, inner: tuple, value: Any, where: str) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) > MOST_ITEMS:
        what = f"{len(value)} entries" if isinstance(value, (list, tuple)) else _short(value)
        raise expected(where, f"a list of at most {MOST_ITEMS} entries", what)
    fixed = origin is tuple and inner[-1] is not Ellipsis
    if fixed and len(value) != len(inner):
        raise expected(where, f"{len(inner)} entries", len(value))
    kinds = inner if fixed else (inner[0],) * len(value)
    return origin(check(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value)))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}… ({type(value).__name__})"


def _kind(mode: int) -> str:
    known = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for test, name in known if test(mode)), "something else")

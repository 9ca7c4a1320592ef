"""What a foreign file may ask for: nothing outside of its folder, and bytes, pixels and seconds within limits.

Every reader of foreign files calls this before it takes memory for a size that a file declares. A few bytes can declare
any size, and a link in a downloaded folder can lead to any file of the person who reads it.
"""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from toto_robot.ground.errors import UserError, expected
from toto_robot.ground.strict import check_regular, read_bytes

MOST_GB = 4.0
"""Most gigabytes of one column that is held in memory at once, by default (`max_gb=`)."""
_most_gb: ContextVar[float] = ContextVar("most_gb", default=MOST_GB)
MOST_SIDE_PX = 16_384
"""Most pixels on the side of a picture."""
MOST_PIXELS = 1 << 27
"""Most pixels of a picture: 134 million, 400 MB in RGB."""
MOST_JSON = 1 << 28
"""Most bytes of a JSON file: 256 MiB."""
SPARE = 1 << 30
"""Bytes that a reader may take beside the column that it reads."""
PATIENCE_S, BYTES_PER_S = 60.0, 10_000
"""A file may take a minute, and a second more for each 10 kB that it has."""

ALONE = {"protocol_whitelist": "none", "max_pixels": str(MOST_PIXELS)}
"""Options of `av.open`: a playlist that poses as a video opens no other file or host, and no picture is too large."""

Value = TypeVar("Value")


class Inside:
    """A folder of foreign files, and the links in it. `root` itself may be a link: the user named it.

    The links of a download in Hugging Face's cache (snapshots/… → blobs/…) stay in the cache and are allowed.
    """

    def __init__(self, root: str | Path, error: type[UserError] = UserError):
        self.root, self.error, self.real = root, error, os.path.realpath(root)
        caches = (p for path in (Path(os.path.abspath(root)), Path(self.real)) for p in (path, *path.parents))
        blobs = [os.path.realpath(p.parent / "blobs") for p in caches if p.name == "snapshots"]
        self._allowed = tuple(f"{folder}{os.sep}" for folder in (self.real, *blobs))

    def check(self, entry: os.DirEntry) -> None:
        """Raise UserError if `entry` is a link that leads out of the folder, or is neither a file nor a folder."""
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            if not f"{target}{os.sep}".startswith(self._allowed):
                raise self.error(
                    f"{entry.path} is a link to {target}, which lies outside of {self.root}. A set may not point "
                    "outside itself: put a copy of the file there if it belongs to the set."
                )
        if os.path.lexists(entry.path) and not (entry.is_file() or entry.is_dir() or entry.is_symlink()):
            raise self.error(f"{entry.path} is not a regular file or a folder. Remove it from {self.root}.")


def check_inside(root: str | Path, error: type[UserError] = UserError) -> None:
    """Raise UserError if something below `root` is a link that leads out of it, or is neither a file nor a folder."""
    inside = Inside(root, error)
    if os.path.isfile(inside.real):
        return
    if not os.path.isdir(inside.real):
        if os.path.lexists(inside.real):
            check_regular(root)
        return
    waiting = [inside.real]
    while waiting:
        for entry in _entries(waiting.pop(), error):
            inside.check(entry)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)


def _entries(folder: str, error: type[UserError]) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as problem:
        raise error(f"{folder} can't be read: {problem.strerror}.") from problem


@contextlib.contextmanager
def allowing(max_gb: float) -> Iterator[None]:
    """Inside, a column may have up to `max_gb` gigabytes."""
    token = _most_gb.set(max_gb)
    try:
        yield
    finally:
        _most_gb.reset(token)


def most_bytes() -> int:
    """Most bytes of one column."""
    return int(_most_gb.get() * 1e9)


def check_shape(shape: Iterable, itemsize: int, where: str, error: type[UserError] = UserError) -> int:
    """The bytes of an array of `shape`. Raises UserError if they are more than `max_gb`, before memory is taken."""
    sides = [int(n) for n in shape]
    if any(n < 0 for n in sides):
        raise error(f"{where}: the shape {tuple(sides)} is impossible. Download it again.")
    return check_bytes(math.prod(sides) * itemsize, where, error)


def check_bytes(count: int, where: str, error: type[UserError] = UserError) -> int:
    """`count`, unless it is more than `max_gb`."""
    if count > most_bytes():
        raise error(
            f"{where}: expected at most {_most_gb.get():g} GB of one column at once, its files declare "
            f"{min(count, 1e18) / 1e9:,.1f} GB. If that is right, `python -m demos.convert` reads it with "
            f"max_gb={math.ceil(min(count, 1e18) / 1e9)}."
        )
    return count


def check_picture(height: int, width: int, where: str, error: type[UserError] = UserError) -> None:
    """Raise UserError unless both sides are from 1 to MOST_SIDE_PX and the area is at most MOST_PIXELS."""
    if not (0 < height <= MOST_SIDE_PX and 0 < width <= MOST_SIDE_PX and height * width <= MOST_PIXELS):
        raise expected(
            where,
            f"a picture of at most {MOST_SIDE_PX} px a side and {MOST_PIXELS:,} in all",
            f"{width}×{height}",
            error=error,
        )


def in_time(items: Iterable[Value], size: int, where: str, error: type[UserError] = UserError) -> Iterator[Value]:
    """`items`, as long as making them takes no more processor time than a file of `size` bytes may take.

    Only the time inside of `items` counts, not what is done with them. Raises UserError.
    """
    most_s, spent_s, source = PATIENCE_S + size / BYTES_PER_S, 0.0, iter(items)
    while True:
        began_s = time.thread_time()
        try:
            item = next(source)
        except StopIteration:
            return
        finally:
            spent_s += time.thread_time() - began_s
        if spent_s > most_s:
            raise error(
                f"{where} takes more than {most_s:.0f} s of processor time, too much for its {size:,} bytes. It is "
                "damaged or made to hang a reader: store it again in the usual way."
            )
        yield item


def read_json(path: str | Path, most: int = MOST_JSON) -> Any:
    """The values in a JSON file. Raises UserError for a device, a FIFO, and a file that is too large or not JSON."""
    return parse_json(read_bytes(path, most), path)


def parse_json(text: str | bytes, where: object) -> Any:
    """The values in JSON text. Raises UserError if it is not JSON, or nested too deeply."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where} is not JSON ({' '.join(str(error).split())[:160]}). Restore it from a copy."
        ) from error


@contextlib.contextmanager
def within_memory(count: int) -> Iterator[None]:
    """Inside, this process may take `count` bytes and a spare gigabyte; what asks for more gets a MemoryError.

    It stops a codec that believes the size in a damaged header. Linux only; elsewhere nothing is limited.
    """
    try:
        import resource

        with open("/proc/self/statm", "rb") as file:
            held = int(file.read().split()[5]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    except (ImportError, OSError):
        yield
        return
    most = held + count + SPARE
    resource.setrlimit(resource.RLIMIT_DATA, (most if soft == resource.RLIM_INFINITY else min(soft, most), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

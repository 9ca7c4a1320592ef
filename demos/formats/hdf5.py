"""HDF5 files of other people, opened so that they reach no file outside themselves; and files of ours, on any disk.

On the arrow: `robomimic_hdf5` reads and writes through here. The sizes that a file declares are checked before anything
is read, and a column is read in pieces.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from demos.errors import DemoError
from toto_robot.ground.foreign import check_shape, in_time, within_memory
from toto_robot.ground.strict import check_regular

MOST_OBJECTS = 1_000_000
MOST_ATTRIBUTE = 1 << 24
"""Most bytes of an attribute: 16 MiB."""
PIECE = 1 << 26
"""Bytes of a column that are read at once: 64 MiB, or one chunk if it is larger."""
DAMAGED = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, OverflowError, MemoryError)
"""What h5py raises on a damaged file."""


def h5py_module() -> Any:
    """The module h5py. DemoError says what to install if it is missing."""
    try:
        import h5py
    except ImportError:
        raise DemoError("robomimic sets are HDF5 files: pip install h5py (or pip install -e '.[robomimic]')") from None
    return h5py


def open_file(file: Path) -> Any:
    """The file, open for reading. DemoError if it is not HDF5, or damaged."""
    check_regular(file)
    try:
        return h5py_module().File(file, "r")
    except DAMAGED as error:
        raise DemoError(
            f"{file} is not an HDF5 file, or a damaged one ({str(error)[:120]}); download it again"
        ) from error


def check_file(file: Path) -> None:
    """DemoError if something in `file` lies elsewhere, has two names, or declares more than the file can hold."""
    h5py = h5py_module()
    with open_file(file) as opened:
        seen, waiting = {_address(h5py, opened)}, [opened["/"]]
        try:
            while waiting:
                group = waiting.pop()
                _check_attributes(group, file)
                for name in group:
                    _check_name(name, file)
                    item = _item(h5py, group, name, file)
                    address = _address(h5py, item)
                    if address in seen or len(seen) >= MOST_OBJECTS:
                        what = "is the second name of one object" if address in seen else "is one object too many"
                        raise DemoError(f"{file}: {item.name} {what}. Copy the set again with h5repack.")
                    seen.add(address)
                    if isinstance(item, h5py.Group):
                        waiting.append(item)
                    elif isinstance(item, h5py.Dataset):
                        _check_dataset(item, file)
        except DemoError:
            raise
        except DAMAGED as error:
            raise DemoError(f"{file} is damaged ({' '.join(str(error).split())[:120]}); download it again") from error


def _item(h5py: Any, group: Any, name: str, file: Path) -> Any:
    """One member of a group. DemoError for a link that leads to another place."""
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.HardLink):
        return group[name]
    leads = f"the file {link.filename!r}" if isinstance(link, h5py.ExternalLink) else repr(getattr(link, "path", "?"))
    raise DemoError(
        f"{file}: {group.name}/{name} is a link to {leads}. A set may not point outside itself, so links are refused: "
        "copy the set with the data in their place (h5repack, or h5copy -f ref)."
    )


def _check_name(name: Any, file: Path) -> None:
    if not isinstance(name, str) or not name.isprintable():
        raise DemoError(f"{file}: a name in it is not text ({str(name)[:60]!r}); download it again")


def _address(h5py: Any, item: Any) -> Any:
    return h5py.h5o.get_info(item.id).addr


def _check_attributes(item: Any, file: Path) -> None:
    for name in item.attrs:
        _check_name(name, file)
        attribute = item.attrs.get_id(name)
        if int(np.prod(attribute.shape or (1,), dtype=object)) * attribute.dtype.itemsize > MOST_ATTRIBUTE:
            raise DemoError(
                f"{file}: the attribute {name[:60]!r} of {item.name} has more than {MOST_ATTRIBUTE:,} bytes."
            )


def _check_dataset(item: Any, file: Path) -> None:
    where = f"{file}: {item.name}"
    if item.is_virtual or item.external:
        raise DemoError(
            f"{where} lies in other files ({'a virtual dataset' if item.is_virtual else 'external storage'}). A set "
            "may not point outside itself: copy it with the data inside (h5repack)."
        )
    count = check_shape(item.shape or (), item.dtype.itemsize, where, DemoError)
    if item.chunks:
        check_shape(item.chunks, item.dtype.itemsize, f"{where} (a chunk)", DemoError)
    packed = item.id.get_create_plist().get_nfilters() > 0
    if not packed and item.shape and count > item.id.get_storage_size():
        raise DemoError(
            f"{where} declares {count:,} bytes, and the file holds {item.id.get_storage_size():,} for it; download it "
            "again"
        )


def column(item: Any) -> np.ndarray:
    """A dataset as an array, read in pieces along its first dimension."""
    if not item.ndim or not item.chunks:
        return item[()]
    row = max(1, int(np.prod(item.shape[1:])) * item.dtype.itemsize)
    step = max(1, PIECE // row // item.chunks[0]) * item.chunks[0]
    out = np.empty(item.shape, item.dtype)

    def pieces() -> Iterator[None]:
        for start in range(0, len(out), step):
            with within_memory(PIECE + row * item.chunks[0]):
                out[start : start + step] = item[start : start + step]
            yield

    for _ in in_time(pieces(), os.path.getsize(item.file.filename), f"{item.file.filename}: {item.name}", DemoError):
        pass
    return out


class _Patient:
    """A file for HDF5 to write to. It remembers the first error of the disk and goes on.

    HDF5 ends the process (a segmentation fault) if the disk is full while it closes a file.
    """

    def __init__(self, path: Path):
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115 (closed by `create_file`)
        self.error: OSError | None = None
        for name in ("seek", "tell", "readinto", "read"):
            setattr(self, name, getattr(self._file, name))

    def _tried(self, act: Any, *args: Any) -> Any:
        try:
            return act(*args)
        except OSError as error:
            self.error = self.error or error
            return None

    def write(self, data: Any) -> int:
        self._tried(self._write, data)
        return len(data)

    def _write(self, data: Any) -> None:
        left = memoryview(data).cast("B")
        while left:
            left = left[self._file.write(left) :]

    def truncate(self, size: int) -> int:
        self._tried(self._file.truncate, size)
        return size

    def flush(self) -> None:
        self._tried(self._file.flush)

    def close(self) -> None:
        self._tried(self._file.close)

    def check(self) -> None:
        """Raise the first error of the disk."""
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def create_file(path: Path) -> Iterator[tuple[Any, Any]]:
    """(the new file, a function that raises OSError if the disk did not take it so far). Checks it at the end too."""
    target = _Patient(path)
    try:
        with h5py_module().File(target, "w") as file:
            yield file, target.check
    except Exception:
        target.check()  # it explains what HDF5 says about a part that it could not read back
        raise
    finally:
        target.close()
    target.check()

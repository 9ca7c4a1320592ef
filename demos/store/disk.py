"""Files that are complete or absent, even after a SIGKILL or a power cut; and the lock for one writer at a time."""

import asyncio
import contextlib
import fcntl
import os
import uuid
from pathlib import Path

from zarr.storage import LocalStore

from demos.errors import DemoError

TEMPORARY = ".tmp-"
LOCK = ".writer.lock"


def write_file(path: Path, data) -> None:
    """Write `data` to `path`: a reader sees the old file or the new one. The data are on disk when this returns."""
    _make_folder(path.parent)
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _make_folder(path: Path) -> None:
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in `path` survive a power cut. Some file systems refuse; that does no harm."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Disk(LocalStore):
    """zarr's LocalStore, which renames whole files into place. This one also forces them to disk, and marks its
    temporary files so that `sweep` finds them."""

    async def set(self, key, value) -> None:
        self._check_writable()
        await asyncio.to_thread(write_file, self.root / key, value.as_buffer_like())

    async def set_if_not_exists(self, key, value) -> None:
        if not (self.root / key).exists():
            await self.set(key, value)

    def set_sync(self, key, value) -> None:
        self._check_writable()
        write_file(self.root / key, value.as_buffer_like())


def sweep(root: Path) -> int:
    """Delete the temporary files of a killed writer; returns their number. Only the holder of the lock may call it."""
    left = list(root.rglob(f"{TEMPORARY}*"))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


class Lock:
    """The right to write to a set. The kernel takes it back when its holder dies."""

    def __init__(self, root: Path):
        self._handle = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._handle, 32).decode(errors="replace").strip() or "?"
            os.close(self._handle)
            raise DemoError(
                f"{root} is being written by process {holder}; wait for it, end it, or record to another "
                "path and merge later. Reading needs no lock."
            ) from error
        os.truncate(self._handle, 0)
        os.write(self._handle, str(os.getpid()).encode())

    def release(self) -> None:
        os.close(self._handle)

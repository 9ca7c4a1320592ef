"""Files that are complete or absent, even after a SIGKILL or a power cut; and the lock for one writer at a time."""

import asyncio
import fcntl
import os
from pathlib import Path

from zarr.storage import LocalStore

from demos.errors import DemoError
from toto_robot.ground.atomic import atomic_write_bytes

TEMPORARY = ".tmp-"
LOCK = ".writer.lock"


def write_file(path: Path, data) -> None:
    """Write `data` to `path`, atomically, under a temporary name that `sweep` finds."""
    atomic_write_bytes(path, data, prefix=TEMPORARY)


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

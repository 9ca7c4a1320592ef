"""Writes that either happen completely or not at all, even when the process is killed half-way.

Everything is written under a temporary name beside its destination, forced to disk, and renamed.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`; a reader sees the old file or the new one, never a part. Makes parent folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, as `atomic_write_bytes` does."""
    atomic_write_bytes(path, text.encode("utf-8"))


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `path` when the block ends, and vanishes if it raises.

    A folder already at `path` is replaced: it is renamed aside, the new one takes its name, then the old one is
    deleted. (A kill between the two renames leaves the old folder beside it as `.NAME.*.old`: nothing is lost.)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        put_in_place(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def put_in_place(temporary: Path, path: Path) -> None:
    """Force a finished folder to disk and give it the name `path`, as `atomic_folder` does; both have one parent."""
    for folder, _, names in os.walk(temporary):
        for name in names:
            _sync_file(Path(folder) / name)
        _sync_folder(Path(folder))
    old = temporary.with_suffix(".old")
    replaced = path.exists()
    if replaced:
        os.rename(path, old)
    os.rename(temporary, path)
    _sync_folder(path.parent)
    if replaced:
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(path: Path) -> None:
    """Make a rename in `path` survive a power cut (some file systems refuse to sync a folder; that is harmless)."""
    with contextlib.suppress(OSError):
        _sync_file(path)

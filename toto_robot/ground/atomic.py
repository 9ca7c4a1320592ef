"""Writes that happen completely or not at all, even if the process is killed or the power fails half-way.

Everything is written under a temporary name beside its destination, forced to disk, and renamed.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from toto_robot.ground.errors import UserError

HIDDEN = "."
"""How temporary names begin."""


def atomic_write_bytes(path: str | Path, data: bytes | memoryview, prefix: str = HIDDEN) -> None:
    """Write `data` to `path`. A reader sees the old file or the new one, never a part. Makes parent folders.

    The file is on disk when the function returns. The temporary name begins with `prefix`.
    """
    with atomic_file(path, prefix) as temporary, open(temporary, "xb") as file:
        file.write(data)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, as `atomic_write_bytes` does."""
    atomic_write_bytes(path, text.encode("utf-8"))


@contextlib.contextmanager
def atomic_file(path: str | Path, prefix: str = HIDDEN) -> Iterator[Path]:
    """Yield the name of a temporary file, to be written by the block. It becomes `path` when the block ends.

    If the block raises, the temporary file is deleted and `path` stays as it was.
    """
    path = Path(path)
    _make_folder(path.parent)
    temporary = _beside(path, prefix)
    try:
        with named_as(temporary, path):
            yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder. It becomes `path` when the block ends, and is deleted if the block raises.

    A folder that exists at `path` is replaced: it is renamed, the new one takes its name, and the old one is deleted.
    A kill between the two renames leaves the old folder beside it as `.NAME.*.old`, so nothing is lost.
    """
    path = Path(path)
    _make_folder(path.parent)
    temporary = _beside(path, HIDDEN)
    temporary.mkdir()
    try:
        with named_as(temporary, path):
            yield temporary
        put_in_place(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def named_as(temporary: Path, path: Path) -> Iterator[None]:
    """Errors inside name `path` where they would name `temporary`, which nobody but the program knows."""
    try:
        yield
    except (UserError, OSError) as error:
        real = lambda said: said.replace(str(temporary), str(path)) if isinstance(said, str) else said
        error.args = tuple(real(said) for said in error.args)
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = real(os.fspath(error.filename))
        raise


def put_in_place(temporary: Path, path: Path) -> None:
    """Force a finished folder to disk and rename it to `path`, as `atomic_folder` does. Both have the same parent."""
    for folder, _, names in os.walk(temporary):
        for name in names:
            _sync(Path(folder) / name)
        sync_folder(Path(folder))
    old = temporary.with_suffix(".old")
    replaced = path.exists()
    if replaced:
        os.rename(path, old)
    os.rename(temporary, path)
    sync_folder(path.parent)
    if replaced:
        shutil.rmtree(old, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Make the names in `path` survive a power cut. Some file systems refuse to sync a folder, which is harmless."""
    with contextlib.suppress(OSError):
        _sync(path)


def _beside(path: Path, prefix: str) -> Path:
    return path.with_name(f"{prefix}{path.name}.{uuid.uuid4().hex}.tmp")


def _make_folder(path: Path) -> None:
    """Make `path` and its parents, each of them synced."""
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The items of a source of video: files that any process can open, in an order that never changes."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from toto_robot.ground.foreign import Inside

VIDEO_SUFFIXES = (".mp4", ".gif", ".webm", ".mov", ".mkv", ".avi", ".m4v")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True, slots=True)
class Item:
    """One video or picture: a file, a member of an uncompressed tar, or a span of a file that holds many."""

    name: str
    """Path-like, and unique in its source. The last part decides the side of the held-out split."""
    kind: str
    """video or image."""
    size: int
    """Size in bytes."""
    stamp: int
    """Time of the last change of the file on disk, in nanoseconds."""
    path: str
    """The file on disk that holds it."""
    offset: int | None = None
    """First byte in the tar, for a member of a tar."""
    span_s: tuple[float, float] | None = None
    """The part of the video, [from, to) in seconds, for a span of a file."""

    def open(self) -> BinaryIO:
        """Open it for reading. The bytes of a tar member are held in memory. Raises OSError."""
        status = os.stat(self.path)
        if not stat.S_ISREG(status.st_mode):  # a FIFO would block
            raise OSError("it is not a regular file")
        file = open(self.path, "rb")  # noqa: SIM115 (the caller closes it)
        if self.offset is None:
            return file
        with file:
            file.seek(self.offset)
            data = file.read(max(0, min(self.size, status.st_size - self.offset)))
        if len(data) < self.size:
            raise OSError(f"the tar ends {self.size - len(data)} bytes too early")
        return BytesIO(data)

    @property
    def bytes(self) -> int:
        """Size in bytes of the file on disk, or of the member of a tar."""
        return os.stat(self.path).st_size if self.offset is None else self.size

    @property
    def where(self) -> str:
        """The file, for messages; with the name of the item, if the file holds several."""
        return self.path if self.offset is None and self.span_s is None else f"{self.name} (in {self.path})"


@dataclass(frozen=True)
class Source:
    """The items of one data set, sorted by name, and the items that its lists name but the disk doesn't hold."""

    kind: str
    """A key of `sources.LAYOUTS`."""
    path: str
    items: list[Item]
    missing: list[dict]
    """For each missing item: source (its name) and reason."""

    @property
    def hash(self) -> str:
        """sha256 of name, kind, size and span of every item. It does not depend on the place of the folder."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(json.dumps([item.name, item.kind, item.size, item.span_s]).encode())
        return digest.hexdigest()


def kind_of(name: str) -> str | None:
    """video, image or None, by the suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    return "video" if suffix in VIDEO_SUFFIXES else "image" if suffix in IMAGE_SUFFIXES else None


def walk(root: Path) -> Iterator[os.DirEntry]:
    """Every file under `root` in a fixed order. Hidden files are left out. Linked folders are followed once.

    Raises UserError for a link that leads out of `root`: the pictures of another folder must not get into a new set.
    """
    inside, seen = Inside(root), set()

    def visit(folder: str) -> Iterator[os.DirEntry]:
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in seen:
            return
        seen.add((here.st_dev, here.st_ino))
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            inside.check(entry)
            if entry.is_dir():
                yield from visit(entry.path)
            elif entry.is_file() and not entry.name.startswith("."):
                yield entry

    return visit(str(root))


def media(root: Path, kinds: tuple[str, ...], below: Path | None = None) -> list[Item]:
    """The videos or pictures (`kinds`) in `below`, a folder in `root`: named relative to `root`, sorted by name."""
    found = []
    for entry in walk(below or root):
        kind = kind_of(entry.name)
        if kind in kinds:
            status = entry.stat()
            name = Path(entry.path).relative_to(root).as_posix()
            found.append(Item(name, kind, status.st_size, status.st_mtime_ns, entry.path))
    return sorted(found, key=lambda item: item.name)


def one_file(path: Path) -> Item:
    """A single file as an item. Raises OSError if there is none."""
    status = path.stat()
    return Item(path.name, kind_of(path.name) or "video", status.st_size, status.st_mtime_ns, str(path))

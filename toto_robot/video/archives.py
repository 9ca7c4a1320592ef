"""Videos and pictures inside WebDataset tars, read in place: nothing is extracted, and nothing is unpickled."""

import tarfile
from pathlib import Path

from toto_robot.ground.errors import UserError
from toto_robot.ground.foreign import check_inside
from toto_robot.video.items import Item, kind_of

TAR = "*.[tT][aA][rR]"
BLOCK = tarfile.BLOCKSIZE


class _Headers(tarfile.TarFile):
    """A tar whose list of members may be emptied: a tar of a million members must not stay in memory."""

    members: list[tarfile.TarInfo]


def looks(root: Path, names: list[str]) -> str | None:
    """A tar at the top of the folder."""
    return next((path.name for path in sorted(root.glob(TAR))), None)


def webdataset(root: Path, **_) -> tuple[list[Item], list[dict]]:
    """The media members of a .tar, or of every .tar in a folder. A tar that is cut short gives the members before.

    Members with other suffixes (.json, .cls, .pkl, .pyd, ...), links and sparse files are skipped unread. If several
    members have the same name, the last one counts, as in tar itself.
    """
    check_inside(root)
    tars = [root] if root.is_file() else sorted(root.glob(TAR))
    base = root.parent if root.is_file() else root
    items: dict[str, Item] = {}
    broken: list[dict] = []
    for path in tars:
        try:
            items.update(_members(path, path.relative_to(base).as_posix(), broken))
        except OSError as error:
            raise UserError(f"{path} can't be read ({error}). Check the file.") from error
    return [items[name] for name in sorted(items)], broken


def _members(path: Path, label: str, broken: list[dict]) -> dict[str, Item]:
    stat, found = path.stat(), {}
    try:
        with _Headers.open(path, "r:") as tar:
            for member in tar:
                kind = kind_of(member.name)
                if kind and member.isreg() and member.sparse is None:
                    name = f"{label}/{member.name}"
                    found[name] = Item(name, kind, member.size, stat.st_mtime_ns, str(path), offset=member.offset_data)
                tar.members = []
            file = tar.fileobj
            assert file is not None  # the tar is open
            file.seek(tar.offset)
            if any(file.read(BLOCK)):  # tarfile takes a header that it can't read for the end
                raise tarfile.ReadError(f"byte {tar.offset} is not a header")
    except tarfile.TarError as error:
        why = "compressed tars can't be read in place, unpack it with gunzip" if _packed(path) else "download it again"
        broken.append({"source": label, "reason": f"the tar is cut short or is not a tar ({error}); {why}"})
    return found


def _packed(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))

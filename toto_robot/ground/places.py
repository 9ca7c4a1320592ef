"""What a place on disk refuses: full, over quota, read-only, forbidden, gone. One sentence, whichever library met it.

On the arrow: `toto_robot.command` asks it about every error that ends a command, and worker processes about theirs.
"""

import errno
import os
import re
from collections.abc import Iterator

from toto_robot.ground.errors import UserError

FREE = "Free some space there, or choose another place."
ALLOW = "Choose a place that you may write to, or change its permissions."
MOUNT = "Check that the disk or the network share is still mounted."
REMEDIES = {
    errno.ENOSPC: FREE,
    errno.EDQUOT: FREE,
    errno.EFBIG: FREE,
    errno.EROFS: ALLOW,
    errno.EACCES: ALLOW,
    errno.EPERM: ALLOW,
    errno.ENOENT: MOUNT,
    errno.ENOTDIR: MOUNT,
    errno.EIO: MOUNT,
    errno.ESTALE: MOUNT,
    errno.ENOTCONN: MOUNT,
    errno.ENODEV: MOUNT,
    errno.ENXIO: MOUNT,
}
"""Error number of the system → what to do about it."""
IN_TEXT = re.compile(r"\bos error (\d+)\b|\[Errno (\d+)\]|\berrno = (\d+)|\bOs \{ code: (\d+)")
"""How libraries that are written in other languages quote the number."""


TEMPORARY = re.compile(r"\.(?:tmp-)?([^/]+?)\.[0-9a-z_]{8,}\.tmp")
"""A temporary name of `atomic`, with the name that it becomes."""


def place_error(error: BaseException, place: object = None) -> UserError | None:
    """One sentence about the place that caused `error`, or None if no place did.

    It names `place`, or else the file that the system names, and never a temporary name.
    """
    for cause in _causes(error):
        number = cause.errno if isinstance(cause, OSError) else None
        if number is None and (quoted := IN_TEXT.search(str(cause)[:5000])):
            number = int(next(filter(None, quoted.groups())))
        if number in REMEDIES:
            file = getattr(cause, "filename", None)
            named = place or (TEMPORARY.sub(r"\1", os.fsdecode(file)) if isinstance(file, (str, bytes)) else "")
            where = f"{named} can't be written or read" if named else "The disk refuses"
            return UserError(f"{where}: {os.strerror(number)}. {REMEDIES[number]} What was finished before is kept.")
    return None


def _causes(error: BaseException, depth: int = 8) -> Iterator[BaseException]:
    """`error`, and the errors inside and behind it."""
    yield error
    if depth:
        inner = [*getattr(error, "exceptions", ()), error.__cause__]
        for cause in inner:
            if isinstance(cause, BaseException):
                yield from _causes(cause, depth - 1)

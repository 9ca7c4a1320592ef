"""The part of policy.yaml about the look of the training pictures (`look`)."""

import re
from dataclasses import dataclass

from toto_robot.ground.errors import UserError

DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class LookFile:
    """The file look.safetensors beside policy.yaml."""

    sha256: str
    """The file's digest."""
    frames: int
    """How many pictures it was computed from."""
    episodes: int
    """How many episodes the pictures come from."""

    def __post_init__(self) -> None:
        if not DIGEST.fullmatch(self.sha256) or not 1 <= self.episodes <= self.frames:
            raise UserError(
                f"look: expected sha256 of 64 hexadecimal digits and 1 <= episodes <= frames, got "
                f"{self.sha256[:80]!r}, {self.episodes} and {self.frames}"
            )

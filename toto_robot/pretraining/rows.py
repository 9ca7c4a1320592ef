"""Codes to the rows of ids that Toto learns from (Sec. 3.1).

On the arrow: token store → rows. The row of a video is [video start] + 16·256 ids + [end]. A row of images is 16 times
([image start] + 256 ids), then [end]. Patches have no ids: a vector of zeros starts a video and each image, and there
is no end.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from toto_robot.tokens.patches import patch_values
from toto_robot.tokens.special import END, IMAGE, IMAGE_START, OFFSET, PAD, VIDEO_START


def full_rows(codes_BFS: Tensor, kinds_B: Tensor) -> list[Tensor]:
    """A row (T,) of ids for each item. The two kinds differ in length."""
    bodies = [_body(frames, kind) for frames, kind in zip(_ids(codes_BFS), kinds_B)]
    return bodies if codes_BFS.ndim == 4 else [torch.cat((body, body.new_tensor([END]))) for body in bodies]


def short_rows(codes_BFS: Tensor, kinds_B: Tensor, frames: int, step: int, first: int = 0) -> list[Tensor]:
    """One short row of `frames` frames from each item. The choice of frames changes with the step.

    A single frame is [image start] + S ids. Several frames of a video are [video start] + frames·S ids; several images
    are ([image start] + S ids) each. The clip does not end here, so there is no end token. `first` is the index of the
    first item in the step's whole batch, because other processes may hold parts of it.
    """
    B, F = codes_BFS.shape[:2]
    start = ((first + torch.arange(B)) * 5 + step * 7) % (F - frames + 1)
    some = codes_BFS[torch.arange(B)[:, None], start[:, None] + torch.arange(frames)]
    return [_body(part, IMAGE if frames == 1 else kind) for part, kind in zip(_ids(some), kinds_B)]


def longest(frames: int, tokens: int) -> int:
    """Number of tokens of the longest full row of `frames` frames, which is a row of images."""
    return frames * (tokens + 1) + 1


def micro_batches(rows: list[Tensor], tokens: int, length: int) -> list[Tensor]:
    """The rows in batches (b, T) with pads: as many as fit into `tokens` tokens at `length` each, and at least one.

    The number of batches depends on the number of rows and not on their kinds, so it is the same in every process.
    """
    at_once = max(1, tokens // length)
    parts = [rows[i : i + at_once] for i in range(0, len(rows), at_once)]
    return [torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=PAD) for part in parts]


def targets(rows: list[Tensor]) -> int:
    """Number of tokens that are predicted: all but the first of each row; of patches, all that are not a start."""
    return sum(len(row) - 1 if row.ndim == 1 else int((row != 0).any(dim=1).sum()) for row in rows)


def _ids(codes_BFS: Tensor) -> Tensor:
    return patch_values(codes_BFS) if codes_BFS.ndim == 4 else codes_BFS.long() + OFFSET


def _body(ids_FS: Tensor, kind: int) -> Tensor:
    if ids_FS.ndim == 3:
        if kind == IMAGE:
            return pad(ids_FS, (0, 0, 1, 0)).flatten(0, 1)
        return pad(ids_FS.flatten(0, 1), (0, 0, 1, 0))
    if kind == IMAGE:
        return pad(ids_FS, (1, 0), value=IMAGE_START).flatten()
    return torch.cat((ids_FS.new_tensor([VIDEO_START]), ids_FS.flatten()))

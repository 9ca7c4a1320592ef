"""Codes to the rows of ids that Toto learns from (Sec. 3.1).

A video's row is [video start] + 16·256 ids + [end]; a row of images 16 times ([image start] + 256 ids) + [end].
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from toto_robot.tokens.special import END, IMAGE, IMAGE_START, OFFSET, VIDEO_START


def full_rows(codes_BFS: Tensor, kinds_B: Tensor) -> list[Tensor]:
    """Rows (B', T) of ids, one tensor for each kind that occurs, as the two kinds differ in length."""
    ids = codes_BFS.long() + OFFSET
    is_image = kinds_B == IMAGE
    rows = []
    if (~is_image).any():
        video = ids[~is_image].flatten(1)
        rows.append(torch.cat((video.new_full((len(video), 1), VIDEO_START), video, _end(video)), dim=1))
    if is_image.any():
        images = ids[is_image]
        started = torch.cat((images.new_full((*images.shape[:2], 1), IMAGE_START), images), dim=2).flatten(1)
        rows.append(torch.cat((started, _end(started)), dim=1))
    return rows


def short_rows(codes_BFS: Tensor, kinds_B: Tensor, frames: int, step: int) -> list[Tensor]:
    """One short row of `frames` frames from each row; which of its frames changes with the step.

    A single frame is [image start] + S ids; several frames of a video are [video start] + frames·S ids, of
    images ([image start] + S ids) each. Nothing ends here, so there is no end token.
    """
    B, F, S = codes_BFS.shape
    first = (torch.arange(B) * 5 + step * 7) % (F - frames + 1)
    take = first[:, None] + torch.arange(frames)
    some = codes_BFS[torch.arange(B)[:, None], take]
    if frames == 1:
        kinds_B = torch.full_like(kinds_B, IMAGE)
    return [rows[:, :-1] for rows in full_rows(some, kinds_B)]


def micro_batches(rows: list[Tensor], tokens: int) -> Iterator[Tensor]:
    """The rows in parts of at most `tokens` tokens, and of at least one row."""
    for same_length in rows:
        yield from same_length.split(max(1, tokens // same_length.shape[1]))


def targets(rows: list[Tensor]) -> int:
    """Tokens that are predicted: all but each row's first."""
    return sum(part.shape[0] * (part.shape[1] - 1) for part in rows)


def _end(rows: Tensor) -> Tensor:
    return rows.new_full((len(rows), 1), END)

"""Token ids: 0 pad, 1 video start, 2 end, 3 image start; code c is id c + 4.

The paper does not fix this mapping (its ids 1, 2 and 3 have these meanings); the offset is ours.
"""
import torch

PAD, VIDEO_START, END, IMAGE_START, OFFSET = 0, 1, 2, 3, 4
VIDEO, IMAGE = 0, 1            # kinds of rows in a store
KINDS = ("video", "image")
_START_OF_KIND = torch.tensor([VIDEO_START, IMAGE_START])


def vocab_with_special(codes: int) -> int:
    """Rows of Toto's embedding for a tokenizer with `codes` codes."""
    return codes + OFFSET


def row_ids(codes: torch.Tensor, kinds: torch.Tensor | int = VIDEO) -> torch.Tensor:
    """Codes (B, F, S) and kinds (B,) to training rows int64 (B, 1 + F·S + 1): start, ids in order, end."""
    codes = torch.as_tensor(codes).long()
    B = codes.shape[0]
    start = _START_OF_KIND.to(codes.device)[torch.as_tensor(kinds, device=codes.device).long().expand(B)]
    end = torch.full((B, 1), END, device=codes.device)
    return torch.cat([start[:, None], codes.flatten(1) + OFFSET, end], dim=1)

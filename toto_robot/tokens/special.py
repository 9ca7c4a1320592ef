"""Token ids: 0 pad, 1 video start, 2 end, 3 image start; code c is id c + 4.

In the paper the ids 1, 2 and 3 have these meanings. It does not fix the mapping of the codes; the offset is ours.
"""

PAD, VIDEO_START, END, IMAGE_START, OFFSET = 0, 1, 2, 3, 4
VIDEO, IMAGE = 0, 1  # kinds of rows in a store
KINDS = ("video", "image")


def vocab_with_special(codes: int) -> int:
    """Rows of Toto's embedding for a tokenizer with `codes` codes."""
    return codes + OFFSET

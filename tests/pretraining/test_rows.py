import torch
from hypothesis import given
from hypothesis import strategies as st

from toto_robot.pretraining.rows import full_rows, longest, micro_batches, short_rows, targets
from toto_robot.tokens.special import IMAGE, PAD, VIDEO


def codes(B=3, F=16, S=4):
    return torch.arange(B * F * S).view(B, F, S)


def test_a_video_row_is_video_start_then_the_codes_then_end():
    rows = torch.stack(full_rows(codes(2), torch.tensor([VIDEO, VIDEO])))
    assert rows.shape == (2, 1 + 64 + 1)
    assert rows[:, 0].tolist() == [1, 1] and rows[:, -1].tolist() == [2, 2]
    assert torch.equal(rows[:, 1:-1], codes(2).flatten(1) + 4)


def test_an_image_row_starts_every_image_and_ends_once():
    rows = torch.stack(full_rows(codes(1), torch.tensor([IMAGE])))
    assert rows.shape == (1, 16 * 5 + 1) and rows[0, -1] == 2
    frames = rows[0, :-1].view(16, 5)
    assert (frames[:, 0] == 3).all() and torch.equal(frames[:, 1:], codes(1)[0] + 4)


def test_mixed_kinds_keep_their_order_and_the_longest_is_a_row_of_images():
    rows = full_rows(codes(3), torch.tensor([IMAGE, VIDEO, IMAGE]))
    assert [len(row) for row in rows] == [81, 66, 81] and longest(16, 4) == 81
    assert torch.equal(rows[1][1:-1], codes(3)[1].flatten() + 4)


def test_a_full_row_at_the_papers_size_is_4098_tokens():
    (row,) = full_rows(codes(1, 16, 256), torch.tensor([VIDEO]))
    assert row.shape == (4098,)


def test_a_short_row_of_one_frame_is_what_the_encoder_sees_for_a_single_frame():
    rows = torch.stack(short_rows(codes(2), torch.tensor([VIDEO, IMAGE]), frames=1, step=0))
    assert rows.shape == (2, 1 + 4) and (rows[:, 0] == 3).all()
    for row, clip in zip(rows, codes(2)):
        assert (clip + 4 == row[1:]).all(dim=1).sum() == 1


def test_short_rows_reach_every_frame_over_the_steps():
    seen = {int(short_rows(codes(1), torch.tensor([0]), 1, step)[0][1] - 4) // 4 for step in range(16)}
    assert seen == set(range(16))


@given(st.integers(1, 16), st.integers(0, 10**6))
def test_short_rows_are_consecutive_frames_and_a_function_of_the_step(frames, step):
    kinds = torch.zeros(3, dtype=torch.long)
    rows = torch.stack(short_rows(codes(3), kinds, frames, step))
    again = short_rows(codes(3)[:1], kinds[:1], frames, step) + short_rows(
        codes(3)[1:], kinds[1:], frames, step, first=1
    )
    assert torch.equal(rows, torch.stack(again))
    assert rows.shape == (3, 1 + 4 * frames) and (rows[:, 2:] - rows[:, 1:-1] == 1).all()


@given(st.integers(1, 400), st.lists(st.integers(0, 1), min_size=1, max_size=7))
def test_micro_batches_hold_every_row_once_and_their_number_does_not_depend_on_the_kinds(tokens, kinds):
    rows = full_rows(codes(len(kinds)), torch.tensor(kinds))
    parts = micro_batches(rows, tokens, longest(16, 4))
    assert sum(len(part) for part in parts) == len(kinds)
    assert all(part.numel() <= max(tokens, part.shape[1]) for part in parts)
    assert len(parts) == -(-len(kinds) // max(1, tokens // 81))
    unpadded = [row[row != PAD] for part in parts for row in part]
    assert all(torch.equal(a, b) for a, b in zip(unpadded, rows, strict=True))
    assert targets(rows) == sum(80 if kind == IMAGE else 65 for kind in kinds)

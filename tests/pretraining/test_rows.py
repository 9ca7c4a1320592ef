import torch
from hypothesis import given
from hypothesis import strategies as st

from toto_robot.pretraining.rows import full_rows, micro_batches, short_rows, targets
from toto_robot.tokens.special import IMAGE, VIDEO


def codes(B=3, F=16, S=4):
    return torch.arange(B * F * S).view(B, F, S)


def test_a_video_row_is_video_start_then_the_codes_then_end():
    (rows,) = full_rows(codes(2), torch.tensor([VIDEO, VIDEO]))
    assert rows.shape == (2, 1 + 64 + 1)
    assert rows[:, 0].tolist() == [1, 1] and rows[:, -1].tolist() == [2, 2]
    assert torch.equal(rows[:, 1:-1], codes(2).flatten(1) + 4)


def test_an_image_row_starts_every_image_and_ends_once():
    (rows,) = full_rows(codes(1), torch.tensor([IMAGE]))
    assert rows.shape == (1, 16 * 5 + 1) and rows[0, -1] == 2
    frames = rows[0, :-1].view(16, 5)
    assert (frames[:, 0] == 3).all() and torch.equal(frames[:, 1:], codes(1)[0] + 4)


def test_mixed_kinds_come_as_one_tensor_each_and_none_is_lost():
    video, images = full_rows(codes(3), torch.tensor([IMAGE, VIDEO, IMAGE]))
    assert video.shape == (1, 66) and images.shape == (2, 81)
    assert torch.equal(video[0, 1:-1], codes(3)[1].flatten() + 4)


def test_a_full_row_at_the_papers_size_is_4098_tokens():
    (rows,) = full_rows(codes(1, 16, 256), torch.tensor([VIDEO]))
    assert rows.shape == (1, 4098)


def test_a_short_row_of_one_frame_is_what_the_encoder_sees_for_a_single_frame():
    (rows,) = short_rows(codes(2), torch.tensor([VIDEO, IMAGE]), frames=1, step=0)
    assert rows.shape == (2, 1 + 4) and (rows[:, 0] == 3).all()
    for row, clip in zip(rows, codes(2)):
        assert (clip + 4 == row[1:]).all(dim=1).sum() == 1


def test_short_rows_reach_every_frame_over_the_steps():
    seen = {int(short_rows(codes(1), torch.tensor([0]), 1, step)[0][0, 1] - 4) // 4 for step in range(16)}
    assert seen == set(range(16))


@given(st.integers(1, 16), st.integers(0, 10**6))
def test_short_rows_are_consecutive_frames_and_a_function_of_the_step(frames, step):
    (rows,) = short_rows(codes(3), torch.zeros(3, dtype=torch.long), frames, step)
    assert torch.equal(rows, short_rows(codes(3), torch.zeros(3, dtype=torch.long), frames, step)[0])
    assert rows.shape == (3, 1 + 4 * frames) and (rows[:, 2:] - rows[:, 1:-1] == 1).all()


@given(st.integers(1, 400))
def test_micro_batches_hold_every_row_once_and_at_most_so_many_tokens(tokens):
    rows = full_rows(codes(5), torch.tensor([0, 1, 0, 1, 1]))
    parts = list(micro_batches(rows, tokens))
    assert sum(len(p) for p in parts) == 5
    assert all(p.numel() <= max(tokens, p.shape[1]) for p in parts)
    assert targets(rows) == sum(p.shape[0] * (p.shape[1] - 1) for p in parts) == 2 * 65 + 3 * 80

"""The measures of the looks table, on numbers whose answer is known."""

import numpy as np
import pytest
import torch

from toto_robot.evaluation.looks import PAIRS, States, bootstrap, codes_changed, moved, pairs_of_states, probe_errors


def test_codes_changed_counts_each_frame():
    codes = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    other = torch.tensor([[1, 2, 3, 9], [0, 0, 7, 0]])
    assert codes_changed(codes, other).tolist() == [0.25, 0.75]


def test_the_interval_is_over_episodes_not_frames():
    """A hundred copies of each value carry no more information than the value itself."""
    values, episodes = np.array([0.0, 1.0, 0.5, 0.25]), np.arange(4)
    once, often = bootstrap(values, episodes), bootstrap(values.repeat(100), episodes.repeat(100))
    assert once.mean == often.mean and once.low < once.mean < once.high
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_pairs_are_of_different_episodes_at_the_same_step():
    episode, step = np.repeat(np.arange(6), 2), np.tile([3, 9], 6)
    a, b = pairs_of_states(episode, step).T
    assert len(a) == PAIRS and (episode[a] != episode[b]).all() and (step[a] == step[b]).all()


def test_a_look_that_changes_nothing_moves_nothing_and_another_state_moves_by_one():
    features = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    pairs = pairs_of_states(np.arange(40), np.zeros(40))
    assert moved(features, features, pairs).max() == 0
    shuffled = moved(features, features.roll(1, 0), pairs).mean()
    assert 0.9 < shuffled < 1.1


def test_a_probe_reads_what_is_there_and_fails_under_a_look_that_hides_it():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(240, 6, generator=draw)
    y = x[:, :3] * 0.1
    tests = {"same": (x[:40], y[:40]), "hidden": (torch.zeros(40, 6), y[:40])}
    errors = probe_errors(x, y, np.arange(240) // 4, tests, seed=0)
    assert errors["same"].mean() < 1 < 100 < errors["hidden"].mean()


def test_states_of_different_length_are_refused():
    frames = {"nominal": np.zeros((4, 8, 8, 3), np.uint8), "light": np.zeros((3, 8, 8, 3), np.uint8)}
    with pytest.raises(ValueError, match="one row for each state"):
        States(frames, np.zeros((4, 3)), np.zeros(4), np.zeros(4))

import pytest
import torch

from policies.dagger.buffer import COLUMNS, Dataset, Shard


def shard(values, labelled=None, done=None, success=None):
    x = torch.tensor(values, dtype=torch.float32)
    one, no = x[:, None], torch.zeros(len(x), dtype=torch.bool)
    labelled = ~no if labelled is None else torch.tensor(labelled)
    done = no if done is None else torch.tensor(done)
    success = no if success is None else torch.tensor(success)
    return Shard(one.half(), one, one, one, one, no.byte(), no, labelled, x, x.int(), x.long(), done, success)


def test_the_oldest_samples_are_dropped_first_and_counted():
    data = Dataset((1,), 1, 1, expected=5)
    data.add(shard([0, 1, 2]))
    assert (len(data), data.dropped) == (3, 0)
    data.add(shard([3, 4, 5, 6]))
    assert (len(data), data.dropped) == (5, 2)
    features, proprio, labels = data.batch(torch.arange(5))
    assert sorted(labels.flatten().tolist()) == [2, 3, 4, 5, 6]
    assert torch.equal(features.float(), labels) and torch.equal(proprio, labels)


def test_a_shard_larger_than_the_memory_leaves_its_newest_samples():
    data = Dataset((1,), 1, 1, expected=3)
    data.add(shard(list(range(8))))
    assert sorted(data.batch(torch.arange(3))[2].flatten().tolist()) == [5, 6, 7]


def test_memory_stays_below_its_limit():
    data = Dataset((16, 100), 18, 8, expected=10**7, limit_gb=0.01)
    used = sum(data._columns[name].nbytes for name in COLUMNS)
    assert 0.9e7 < used <= 1e7


def test_only_labelled_steps_are_told_as_labelled_and_only_the_newest_of_them():
    data = Dataset((1,), 1, 1, expected=5)
    data.add(shard([0, 1, 2, 3], labelled=[True, False, True, False]))
    assert data.labelled().tolist() == [0, 2]
    data.add(shard([4, 5, 6], labelled=[True, True, False]))
    assert sorted(data.batch(data.labelled())[2].flatten().tolist()) == [2, 4, 5]


@pytest.mark.parametrize("capacity", [6, 8, 20])
def test_a_steps_outcome_is_discounted_from_the_end_of_its_episode(capacity):
    """Two slots: one succeeds at its third step and continues in a new episode, the other fails at its fourth."""
    data = Dataset((1,), 1, 1, expected=capacity, slots=2)
    data.add(shard([0, 1, 2, 3, 4, 5], done=[False] * 4 + [True, False], success=[False] * 4 + [True, False]))
    data.add(shard([6, 7, 8, 9], done=[False, True, False, False]))
    rows, values = data.outcomes(0.5)
    found = {int(data.column("proprio")[r, 0]): float(v) for r, v in zip(rows, values)}
    wanted = {0: 0.25, 2: 0.5, 4: 1.0, 1: 0.0, 3: 0.0, 5: 0.0, 7: 0.0}  # 6, 8, 9: episodes that have not ended
    assert found == {step: value for step, value in wanted.items() if step >= 10 - min(capacity, 10)}

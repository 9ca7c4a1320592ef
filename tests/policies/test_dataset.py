import torch

from policies.dataset import Dataset, Shard


def shard(values, by_expert=True):
    x = torch.tensor(values, dtype=torch.float32)
    return Shard(x[:, None].half(), x[:, None], x[:, None], x[:, None], torch.full((len(x),), by_expert))


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
    used = sum(t.nbytes for t in (data.features, data.proprio, data.expert))
    assert 0.9e7 < used <= 1e7

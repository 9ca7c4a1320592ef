import pytest
import torch
from toy_world import ToyEncoder

from policies.dataset import Dataset, Shard
from policies.features import EncoderConfig, EncoderFeatures
from policies.heads import HeadConfig
from policies.learner import Learner, LearnerConfig
from policies.policy import Policy
from toto_robot.errors import UserError


def new(config=None, rounds=3):
    torch.manual_seed(0)
    features = EncoderFeatures(EncoderConfig("toy", pooling="attention"), ToyEncoder())
    policy = Policy.create(features, "toy", 5, 4, HeadConfig(16, 16, [16], feature_dropout=0.1), (-1,))
    return Learner(policy, config or LearnerConfig(updates_per_round=15, batch_size=16), rounds, seed=1)


def data(n=64):
    generator = torch.Generator().manual_seed(0)
    out = Dataset((16, 3), 5, 4, n)
    proprio = torch.randn(n, 5, generator=generator)
    label = torch.tanh(proprio[:, :4])
    out.add(Shard(torch.randn(n, 16, 3, generator=generator).half(), proprio, label, label, torch.ones(n).bool()))
    return out


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_restored_learner_goes_on_to_the_same_bits():
    whole, cut = new(), new()
    whole.train(0, data())
    cut.train(0, data())
    again = new()
    torch.manual_seed(99)  # the global generator must not matter
    again.restore(cut.state())
    assert whole.train(1, data()) == again.train(1, data())
    assert equal(whole.state(), again.state())


def test_minibatches_are_a_function_of_seed_and_round():
    a, b = new(), new()
    b.seed = 2
    a.train(0, data()), b.train(0, data())
    assert not equal(a.state(), b.state())


def test_the_learning_rate_falls_over_all_rounds_to_its_final_share():
    learner = new(LearnerConfig(updates_per_round=100, warmup_updates=10, lr=1e-3, lr_final=0.1), rounds=5)
    rates = [learner.lr(u) for u in range(learner.total)]
    assert rates[9] == pytest.approx(1e-3, rel=0.01) and rates[-1] == pytest.approx(1e-4, rel=0.01)
    assert all(a > b for a, b in zip(rates[10:], rates[11:])) and rates[0] < rates[5]


@pytest.mark.parametrize("growth", [0.0, 0.5, 1.0])
def test_growing_rounds_keep_the_total_number_of_updates(growth):
    config = LearnerConfig(updates_per_round=100, updates_growth=growth)
    updates = [config.updates(r, 20) for r in range(20)]
    assert sum(updates) == pytest.approx(2000, rel=0.01) and updates == sorted(updates)


def test_statistics_are_frozen_after_their_rounds():
    learner = new(LearnerConfig(normalise_rounds=2))
    x = torch.randn(30, 16, 3), torch.randn(30, 5), torch.randn(30, 4)
    learner.normalise(1, *x)
    before = learner.policy.net.proprio.mean.clone()
    learner.normalise(2, *x)
    assert torch.equal(before, learner.policy.net.proprio.mean) and before.abs().max() > 0


def test_the_average_acts_and_is_saved_and_without_decay_it_is_the_newest():
    learner = new()
    learner.train(0, data())
    assert not equal(learner.head.state_dict(), learner.average.state_dict())
    average = {k: v.clone() for k, v in learner.average.state_dict().items()}
    assert equal(learner.finish().net.head.state_dict(), average)
    newest = new(LearnerConfig(updates_per_round=15, batch_size=16, ema_decay=0.0))
    newest.train(0, data())
    assert equal(newest.head.state_dict(), newest.average.state_dict())


def test_training_lowers_the_loss():
    learner = new(LearnerConfig(updates_per_round=150, batch_size=32, lr=3e-3), rounds=2)
    d = data()
    learner.normalise(0, d.features, d.proprio, d.expert)
    assert learner.train(1, d) < 0.5 * learner.train(0, d) or learner.train(1, d) < 0.2


@pytest.mark.parametrize("bad", [{"lr": 0.0}, {"ema_decay": 1.0}, {"batch_size": 0}, {"updates_growth": 2.0}])
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="learner"):
        LearnerConfig(**bad)

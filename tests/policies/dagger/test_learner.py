import pytest
import torch
from toy_world import ToyEncoder

from policies.dagger.buffer import Dataset, Shard
from policies.dagger.learner import Learner, LearnerConfig
from policies.features.features import EncoderConfig, EncoderFeatures
from policies.network.heads import HeadConfig
from policies.policy import Policy
from toto_robot.ground.errors import UserError


def new(config=None, rounds=3, pieces=None):
    torch.manual_seed(0)
    features = EncoderFeatures(EncoderConfig("toy", pooling="attention"), ToyEncoder())
    policy = Policy.create(features, "toy", 5, 4, HeadConfig(16, 16, [16], feature_dropout=0.1), (-1,))
    pieces = pieces or [[64]] * rounds
    return Learner(policy, config or LearnerConfig(updates_per_round=15, batch_size=16), pieces, seed=1)


def data(n=64, labelled=None):
    generator = torch.Generator().manual_seed(0)
    out = Dataset((16, 3), 5, 4, n)
    proprio = torch.randn(n, 5, generator=generator)
    label = torch.tanh(proprio[:, :4])
    yes, no = torch.ones(n).bool(), torch.zeros(n).bool()
    features = torch.randn(n, 16, 3, generator=generator).half()
    labelled = yes if labelled is None else labelled
    label = torch.where(labelled[:, None], label, torch.nan)
    out.add(
        Shard(features, proprio, label, label, label, no.byte(), no, labelled, no.float(), no.int(), no.long(), no, no)
    )
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
    learner.normalise(0, d.column("features"), d.column("proprio"), d.column("expert"))
    assert learner.train(1, d) < 0.5 * learner.train(0, d) or learner.train(1, d) < 0.2


def test_steps_without_a_label_are_never_learned_from():
    learner = new()
    learner.train(0, data(labelled=torch.arange(64) % 3 == 0))  # the labels of the others are NaN
    assert all(torch.isfinite(t).all() for t in learner.state().values() if t.is_floating_point())


def test_an_update_ratio_sets_the_updates_by_the_steps_of_each_piece():
    learner = new(LearnerConfig(update_ratio=0.5, batch_size=8), pieces=[[128], [64, 64, 32]])
    assert (
        learner.updates(0) == 64 and [learner.updates(1, p) for p in range(3)] == [32, 32, 16] and learner.total == 144
    )
    learner.train(1, data(), piece=2)
    assert learner.done == 16


def test_a_burst_of_updates_ends_where_the_loss_is_low():
    learner = new(LearnerConfig(updates_per_round=50, batch_size=8, stop_loss=1e9))
    learner.train(0, data())
    assert learner.done == 1


@pytest.mark.parametrize(
    "bad", [{"stop_loss": -1.0}, {"lr": 0.0}, {"ema_decay": 1.0}, {"batch_size": 0}, {"updates_growth": 2.0}]
)
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="learner"):
        LearnerConfig(**bad)

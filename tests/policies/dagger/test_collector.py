import numpy as np
import pytest
import torch
from scipy.stats import binom
from toy_world import ToyEncoder, ToyVec

from policies.cloning.augment import AugmentConfig
from policies.dagger.collector import Collector, DaggerConfig
from policies.dagger.gates import GateConfig, make_gate
from policies.features.features import EncoderConfig, EncoderFeatures
from policies.network.heads import HeadConfig
from policies.policy import Policy
from policies.seeds import training_seed
from toto_robot.ground.errors import UserError


def new_policy():
    torch.manual_seed(0)
    features = EncoderFeatures(EncoderConfig("toy", pooling="grid"), ToyEncoder())
    policy = Policy.create(features, "toy", 5, 4, HeadConfig(16, 16, [16]), (-1,))
    policy.net.head.action.weight.data.normal_()  # so that the student does something
    return policy


def collect(beta, rounds=1, noise=0.0, steps=320, slots=8, per="step", seed=0):
    """Rounds in which the expert acts with probability `beta`, from the second one on, for the first is all its own."""
    config = DaggerConfig(steps_per_round=steps, first_round_steps=steps, num_envs=slots, noise_std=noise)
    policy = new_policy()
    gate = make_gate(GateConfig(schedule="constant", decay=beta, per=per), policy, slots, seed)
    collector = Collector(ToyVec(slots), policy, config, gate, seed)
    out = [collector.collect(1 + r, policy.net.head) for r in range(rounds)]
    return out[0] if rounds == 1 else out, policy


def replay(act, steps, slots, seed=0):
    """The plainest loop there is: the proprioception and the actions that `act` leads to."""
    vec, started = ToyVec(slots), slots
    obs = vec.reset([training_seed(seed, i) for i in range(slots)])
    states, actions = [], []
    for _ in range(steps // slots):
        states.append(obs["proprio"])
        actions.append(act(obs))
        obs, _, terminated, truncated, _ = vec.step(actions[-1])
        over = np.flatnonzero(terminated | truncated)
        if len(over):
            obs = vec.reset([training_seed(seed, started + k) for k in range(len(over))], over)
            started += len(over)
    return np.concatenate(states), np.concatenate(actions)


def test_beta_one_is_a_rollout_of_the_expert():
    out, _ = collect(1.0)
    states, actions = replay(lambda obs: obs["expert"], 320, 8)
    assert out.shard.actor.all() and not out.alone
    assert np.array_equal(out.shard.proprio.numpy(), states) and np.array_equal(out.shard.executed.numpy(), actions)
    assert all(e.success for e in out.episodes) and len(out.episodes) >= 8


def test_beta_zero_is_a_rollout_of_the_policy_labelled_by_the_expert():
    out, policy = collect(0.0)
    states, actions = replay(policy.act, 320, 8)
    assert not out.shard.actor.any() and len(out.alone) == len(out.episodes)
    assert np.array_equal(out.shard.proprio.numpy(), states) and np.array_equal(out.shard.executed.numpy(), actions)
    assert not np.array_equal(out.shard.expert.numpy(), actions)


@pytest.mark.parametrize("beta", [0.2, 0.5, 0.9])
def test_the_experts_share_of_steps_is_binomial(beta):
    out, _ = collect(beta, steps=1600)
    low, high = binom.interval(0.999, 1600, beta)
    assert low <= out.shard.actor.sum() <= high


def test_per_episode_mixing_never_changes_the_driver_within_an_episode():
    out, _ = collect(0.5, steps=1600, per="episode")
    drivers = out.shard.actor.view(-1, 8)
    changes = (drivers[1:] != drivers[:-1]).sum().item()
    assert 0 < changes <= len(out.episodes)


def test_noise_moves_the_executed_action_but_never_the_label_nor_the_switch():
    out, _ = collect(1.0, noise=0.3)
    executed, label = out.shard.executed, out.shard.expert
    assert torch.equal(executed[:, 3], label[:, 3])
    assert (executed[:, :3] != label[:, :3]).float().mean() > 0.5 and executed.abs().max() <= 1


def test_episodes_go_on_across_rounds():
    two, _ = collect(1.0, rounds=2, steps=80)
    one, _ = collect(1.0, steps=160)
    joined = torch.cat([r.shard.proprio for r in two])
    assert torch.equal(joined, one.shard.proprio)


def test_the_steps_of_a_run_are_what_its_rounds_add_up_to():
    config = DaggerConfig(rounds=3, steps_per_round=64, first_round_steps=128, num_envs=32)
    assert config.total_steps == 128 + 2 * 64 == sum(config.steps(r) for r in range(3))


@pytest.mark.parametrize(
    "bad",
    [
        {"steps_per_round": 2050},
        {"learn_every": 30},
        {"rounds": 0},
        {"buffer_steps": -1},
        {"noise_std": -1},
    ],
)
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="dagger"):
        DaggerConfig(**bad)


def test_a_step_says_who_acted_what_each_would_have_done_and_where_it_stands():
    out, policy = collect(0.5, steps=640)
    s = out.shard
    by_expert = s.actor == 1
    assert torch.equal(s.executed[by_expert], s.expert[by_expert]) and torch.equal(
        s.executed[~by_expert], s.policy[~by_expert]
    )
    assert torch.equal(s.intervention, by_expert) and s.labelled.all() and (s.round == 1).all()
    assert torch.equal(s.gate_score, torch.full((640,), 0.5))
    assert {e.seed for e in out.episodes} <= set(s.seed.tolist()) and s.done.sum() == len(out.episodes)
    assert s.success.sum() == sum(e.success for e in out.episodes)


def test_queries_expert_steps_and_takeovers_are_counted():
    out, _ = collect(0.5, steps=640)
    taken = out.shard.intervention.view(-1, 8)
    begins = torch.cat([torch.zeros(1, 8, dtype=torch.bool), out.shard.done.view(-1, 8)[:-1]])
    before = torch.cat([torch.zeros(1, 8, dtype=torch.bool), taken[:-1]]) & ~begins
    assert out.queries == 640 and out.expert_steps == out.shard.actor.sum()
    assert out.interventions == (taken & ~before).sum()


def test_pieces_cut_every_round_but_the_experts():
    config = DaggerConfig(steps_per_round=640, first_round_steps=1280, learn_every=256, num_envs=32)
    assert config.pieces(0) == [1280] and config.pieces(1) == [256, 256, 128]
    assert DaggerConfig(steps_per_round=640).pieces(3) == [640]


@pytest.mark.parametrize("looks", [{"also": ["wide", "random"]}, {"appearance": "cluttered"}, {"also": ["photo"]}])
def test_looks_that_an_evaluation_may_draw_are_not_for_training(looks):
    with pytest.raises(UserError, match="What exists: .*near_nominal"):
        DaggerConfig(**looks)


class ManyLooks(ToyVec):
    """Adds two further looks of each state: darker, and inverted."""

    def _obs(self):
        obs = super()._obs()
        rgb = obs["rgb"]
        return obs | {"rgb_also": np.stack([rgb // 2, 255 - rgb], axis=1)}


def looks(vec, **config):
    config = DaggerConfig(steps_per_round=64, first_round_steps=64, num_envs=8, noise_std=0.0, **config)
    policy = new_policy()
    gate = make_gate(GateConfig(), policy, 8, 0)
    return Collector(vec, policy, config, gate, 0).collect(0, policy.net.head).shard, config


def test_every_further_look_of_a_state_is_a_sample_with_the_same_label():
    one, _ = looks(ToyVec(8))
    many, config = looks(ManyLooks(8), also=["near_nominal", "wide"])
    assert (len(one), len(many), config.looks) == (64, 192, 3)
    by_look = lambda column: column.unflatten(0, (8, 3, 8)).transpose(0, 1).flatten(1, 2)
    for name in ("expert", "proprio", "executed", "done", "seed"):
        for look in by_look(getattr(many, name)):
            assert torch.equal(look, getattr(one, name)), name
    plain, darker, inverted = by_look(many.features)
    assert torch.equal(plain, one.features)
    assert not torch.equal(darker, plain) and not torch.equal(inverted, plain)


def test_augmented_copies_are_samples_that_depend_on_the_step_and_not_on_the_past():
    augment = AugmentConfig(jitter=1.0, copies=2)
    one, _ = looks(ToyVec(8))
    first, config = looks(ToyVec(8), augment=augment)
    again, _ = looks(ToyVec(8), augment=augment)
    assert config.looks == 3 and torch.equal(first.features, again.features)
    plain, changed, other = first.features.unflatten(0, (8, 3, 8)).transpose(0, 1).flatten(1, 2)
    assert torch.equal(plain, one.features)
    assert not torch.equal(changed, plain) and not torch.equal(changed, other)

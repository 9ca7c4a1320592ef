import numpy as np
import pytest
import torch
from scipy.stats import binom
from toy_world import ToyEncoder, ToyVec

from policies.dagger import Collector, DaggerConfig, student_success
from policies.features import EncoderConfig, EncoderFeatures
from policies.heads import HeadConfig
from policies.policy import Policy
from policies.seeds import training_seed
from toto_robot.errors import UserError


def new_policy():
    torch.manual_seed(0)
    features = EncoderFeatures(EncoderConfig("toy", pooling="grid"), ToyEncoder())
    policy = Policy.create(features, "toy", 5, 4, HeadConfig(16, 16, [16]), (-1,))
    policy.net.head.action.weight.data.normal_()  # so that the student does something
    return policy


def collect(beta, rounds=1, noise=0.0, steps=320, slots=8, per="step", seed=0):
    config = DaggerConfig(
        steps_per_round=steps, first_round_steps=steps, num_envs=slots, noise_std=noise, beta_per=per, beta_rounds=1
    )
    policy = new_policy()
    collector = Collector(ToyVec(slots), policy, config, seed)
    out = [collector.collect(r, beta, policy.net.head) for r in range(rounds)]
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
    assert out.shard.by_expert.all() and not any(out.by_student)
    assert np.array_equal(out.shard.proprio.numpy(), states) and np.array_equal(out.shard.executed.numpy(), actions)
    assert all(e.success for e in out.episodes) and len(out.episodes) >= 8


def test_beta_zero_is_a_rollout_of_the_policy_labelled_by_the_expert():
    out, policy = collect(0.0)
    states, actions = replay(policy.act, 320, 8)
    assert not out.shard.by_expert.any() and all(out.by_student)
    assert np.array_equal(out.shard.proprio.numpy(), states) and np.array_equal(out.shard.executed.numpy(), actions)
    assert not np.array_equal(out.shard.expert.numpy(), actions)


@pytest.mark.parametrize("beta", [0.2, 0.5, 0.9])
def test_the_experts_share_of_steps_is_binomial(beta):
    out, _ = collect(beta, steps=1600)
    low, high = binom.interval(0.999, 1600, beta)
    assert low <= out.shard.by_expert.sum() <= high


def test_per_episode_mixing_never_changes_the_driver_within_an_episode():
    out, _ = collect(0.5, steps=1600, per="episode")
    drivers = out.shard.by_expert.view(-1, 8)
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


def test_beta_schedules():
    linear = DaggerConfig(beta_schedule="linear", beta_rounds=4)
    assert [linear.beta(r) for r in range(6)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    exponential = DaggerConfig(beta_schedule="exponential", beta_decay=0.5)
    assert [exponential.beta(r) for r in range(3)] == [1.0, 0.5, 0.25]
    constant = DaggerConfig(beta_schedule="constant", beta_decay=0.3)
    assert [constant.beta(r) for r in range(3)] == [1.0, 0.3, 0.3]


def test_the_steps_of_a_run_are_what_its_rounds_add_up_to():
    config = DaggerConfig(rounds=3, steps_per_round=64, first_round_steps=128, num_envs=32)
    assert config.total_steps == 128 + 2 * 64 == sum(config.steps(r) for r in range(3))


@pytest.mark.parametrize(
    "bad",
    [
        {"steps_per_round": 2050},
        {"beta_schedule": "cubic"},
        {"beta_per": "day"},
        {"rounds": 0},
        {"beta_decay": 1.5},
        {"noise_std": -1},
    ],
)
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="dagger"):
        DaggerConfig(**bad)


def test_success_so_far_counts_the_newest_episodes_only():
    assert student_success([]) is None
    assert student_success([False] * 50 + [True] * 100) == 1.0

import numpy as np
import pytest
import torch
from toy_world import ToyEncoder, ToyVec

import policies
from policies.features.features import EncoderConfig, EncoderFeatures
from policies.memory import Memory
from policies.network.heads import HeadConfig
from policies.network.transformer import TransformerConfig, TransformerHead
from policies.policy import Policy
from policies.scoring.rollout import evaluate
from policies.seeds import evaluation_seeds
from toto_robot.ground.errors import UserError


def new(**changes):
    torch.manual_seed(0)
    head = HeadConfig(
        transformer=TransformerConfig(**{"width": 16, "blocks": 1, "heads": 2, "context": 4, "chunk": 3} | changes)
    )
    policy = Policy.create(EncoderFeatures(EncoderConfig("toy"), ToyEncoder()), "toy", 5, 4, head, (-1,))
    policy.net.proprio.update(torch.randn(40, 5))
    policy.net.action.update(torch.randn(40, 4))
    torch.nn.init.normal_(policy.net.head.out.weight)
    return policy


def head_inputs(T=4, B=2):
    torch.manual_seed(1)
    return torch.randn(B, T, 16, 3), torch.randn(B, T, 5), torch.randn(B, T, 4), torch.ones(B, T, dtype=torch.bool)


def test_the_published_sizes_give_about_a_million_parameters():
    head = TransformerHead(TransformerConfig(), torch.nn.Linear(768, 192), 18, 9, "mse")
    assert 1.0e6 < sum(p.numel() for p in head.parameters()) < 1.5e6
    config = TransformerConfig()
    assert (config.context, config.chunk, config.blocks, config.heads, config.mlp_ratio) == (16, 16, 4, 4, 2.0)


def test_steps_before_the_episodes_start_and_the_present_action_are_never_read():
    head = new().net.head.eval()
    features, proprio, past, valid = head_inputs()
    valid[:, :2] = False
    expected = head(features, proprio, past, valid)
    assert expected.shape == (2, 3, 4)
    for x in (features, proprio, past):
        x[:, :2] = 99.0
    past[:, -1] = 99.0
    assert torch.equal(head(features, proprio, past, valid), expected)
    past[:, 2] += 1.0
    assert not torch.equal(head(features, proprio, past, valid), expected)


def test_without_past_actions_none_is_read():
    head = new(past_actions=False).net.head.eval()
    features, proprio, past, valid = head_inputs()
    assert torch.equal(head(features, proprio, past, valid), head(features, proprio, past + 1, valid))


@pytest.mark.parametrize("execute", ["ensemble", "open_loop", "newest"])
def test_what_a_slot_does_depends_on_its_own_episode_alone(execute):
    seeds = evaluation_seeds(3, 5)
    runs = []
    for slots in (1, 2, 5):
        vec, policy, seen = ToyVec(slots, labelled=False), new(execute=execute), {}
        step = vec.step

        def noted(actions, active, vec=vec, seen=seen, step=step):
            running = dict(vec.log)
            for slot in np.flatnonzero(active):
                seen.setdefault(running[slot], []).append(actions[slot].copy())
            return step(actions, active)

        vec.step = noted
        evaluate(vec, policy.act, seeds)
        runs.append(seen)
    for other in runs[1:]:
        for seed in seeds:
            assert np.allclose(runs[0][seed], other[seed], atol=1e-5)


def memory(execute, m=0.5):
    """A memory whose t-th prediction is 10·t + k for the k-th action of the chunk."""
    config = TransformerConfig(width=2, heads=1, context=4, chunk=3, execute=execute, ensemble_m=m)
    mem, asked, now = Memory(config, 1), [], [0]

    def predict(window):
        asked.append(now[0])
        return np.array([[[10.0 * now[0] + k] for k in range(3)]] * len(window.valid))

    def act():
        action = mem.act(predict, torch.zeros(1, 2), torch.zeros(1, 2), [0], [now[0] == 0])
        now[0] += 1
        return float(action[0, 0])

    return act, asked


def test_an_ensemble_weighs_every_chunk_that_reaches_the_step_the_oldest_most():
    act, _ = memory("ensemble")
    got = [act() for _ in range(4)]
    w = np.exp(-0.5 * np.arange(3))
    said = [[0], [1, 10], [2, 11, 20], [12, 21, 30]]
    assert got == pytest.approx([np.dot(w[: len(s)], s) / w[: len(s)].sum() for s in said])


def test_open_loop_asks_when_a_chunk_is_done_and_newest_takes_each_first_action():
    act, asked = memory("open_loop")
    assert [act() for _ in range(7)] == [0, 1, 2, 30, 31, 32, 60] and asked == [0, 3, 6]
    act, asked = memory("newest")
    assert [act() for _ in range(4)] == [0, 10, 20, 30] and asked == [0, 1, 2, 3]


def test_an_episodes_first_step_forgets_the_one_before():
    policy, vec = new(), ToyVec(2, labelled=False)
    obs = vec.reset([1, 2])
    both = obs | {"slot": np.arange(2)}
    first = policy.act(both | {"step": np.zeros(2, int)})
    later = policy.act(both | {"step": np.array([1, 1])})
    assert not np.allclose(later, first)
    mixed = policy.act(both | {"step": np.array([0, 2])})
    assert np.allclose(mixed[0], first[0], atol=1e-6) and not np.allclose(mixed[1], first[1])
    policy.reset()
    assert np.allclose(policy.act(obs), first, atol=1e-6)  # without slot and step, as for a single environment


def test_a_saved_transformer_acts_the_same_after_loading(tmp_path):
    policy = new()
    policy.save(tmp_path / "p")
    loaded = policies.load(tmp_path / "p", encoder=ToyEncoder())
    obs = ToyVec(3).reset([4, 5, 6])
    for _ in range(3):
        assert np.array_equal(policy.act(obs), loaded.act(obs))
    assert loaded.head_config == policy.head_config


@pytest.mark.parametrize("bad", [{"execute": "closed"}, {"heads": 5}, {"chunk": 0}, {"ensemble_m": -1.0}])
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="policy.transformer"):
        TransformerConfig(**bad)

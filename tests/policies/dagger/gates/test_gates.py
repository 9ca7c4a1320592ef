"""Properties of every gate, and the decisions of each of them, on the toy world."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_world import ToyEncoder, ToyVec, small_config, toy_vec

from policies.bookkeeping.run_folder import RunFolder
from policies.dagger.collector import Collector, DaggerConfig
from policies.dagger.gates import GateConfig, View, make_gate
from policies.dagger.gates.gate import discrepancy
from policies.dagger.train import train
from policies.features.features import EncoderConfig, EncoderFeatures
from policies.network.heads import HeadConfig
from policies.policy import Policy
from toto_robot.ground.errors import UserError

SPARING = ("safe", "lazy", "ensemble", "thrifty", "hg")


class Killed(BaseException):
    pass


def gate_of(name, slots=4, **options):
    torch.manual_seed(0)
    features = EncoderFeatures(EncoderConfig("toy", pooling="grid"), ToyEncoder())
    policy = Policy.create(features, "toy", 5, 4, HeadConfig(16, 16, [16]), (-1,))
    return make_gate(GateConfig(name=name, updates=5, **options), policy, slots, seed=0)


def view(gate, off, slots=4, dice=0.5):
    """States in which the student is `off` (N,) from the expert, who stands still; and what was asked."""
    student, asked = np.repeat(np.asarray(off, np.float32)[:, None], 4, 1), []

    def ask(mask):
        asked.append(mask.copy())
        return np.where(mask[:, None], np.zeros((slots, 4), np.float32), np.nan)

    return View(torch.rand(slots, 16, 3), torch.rand(slots, 5), student, np.full(slots, dice), ask), asked


@pytest.mark.parametrize("name", SPARING)
def test_a_run_with_any_gate_resumes_to_the_same_bits(name):
    gate = {"name": name, "members": 2, "threshold": 0.2, "back": 0.1}
    whole = train(small_config(run="whole", gate=gate, dagger={"keep_data": True}), toy_vec, ToyEncoder())

    def cut(cfg):
        vec, count = ToyVec(8), [0]
        step = vec.step

        def counted(actions, active=None):
            count[0] += 1
            if count[0] > 16 + 8 + 3:  # in the third round
                raise Killed
            return step(actions, active)

        vec.step = counted
        return vec

    with pytest.raises(Killed):
        train(small_config(run="cut", gate=gate, dagger={"keep_data": True}), cut, ToyEncoder())
    assert RunFolder(Path("runs/cut")).rounds() == 2
    again = train(small_config(run="cut", gate=gate, resume=True, dagger={"keep_data": True}), toy_vec, ToyEncoder())
    assert again.result["expert_queries"] == whole.result["expert_queries"]
    for file in ("policy/policy.safetensors", "checkpoints/round_0003/data.safetensors"):
        ours, theirs = (hashlib.sha256((Path("runs") / run / file).read_bytes()).digest() for run in ("whole", "cut"))
        assert ours == theirs, file


@pytest.mark.parametrize("name", SPARING)
def test_an_expert_that_was_not_asked_tells_nothing_and_what_is_labelled_was_asked(name):
    gate = gate_of(name, 8, threshold=0.2, back=0.1, members=2, rule="doubt", doubt=0.01)
    config = DaggerConfig(rounds=2, steps_per_round=320, first_round_steps=64, num_envs=8)
    out = Collector(ToyVec(8), gate.policy, config, gate, seed=0).collect(1, gate.policy.net.head)
    told = torch.isfinite(out.shard.expert).all(1)
    assert out.queries == told.sum() and out.expert_steps == (out.shard.actor > 0).sum()
    assert told[out.shard.labelled].all() and (out.shard.labelled | (out.shard.actor == 0)).all()
    assert torch.isfinite(out.shard.executed).all() and torch.isfinite(out.shard.policy).all()


def test_safe_lets_the_expert_act_and_label_where_the_classifier_warns_and_audits_the_rest(monkeypatch):
    gate = gate_of("safe", audit=0.3)
    monkeypatch.setattr(gate, "risk", lambda view: np.array([0.9, 0.1, 0.6, 0.4], np.float32))
    seen, asked = view(gate, [0, 0, 0, 0])
    choice = gate.choose(1, seen)
    assert (
        choice.by_expert.tolist() == [True, False, True, False] and choice.label.tolist() == choice.by_expert.tolist()
    )
    assert not asked
    assert gate.choose(1, view(gate, [0] * 4, dice=0.2)[0]).label.all()


def test_lazy_keeps_the_arm_until_the_student_agrees_and_asks_only_where_it_has_it(monkeypatch):
    gate = gate_of("lazy", threshold=0.3, back=0.1)
    risk = np.array([0.9, 0.1, 0.9, 0.1], np.float32)
    monkeypatch.setattr(gate, "risk", lambda view: risk)
    assert gate.choose(1, view(gate, [0.2] * 4)[0]).by_expert.tolist() == [True, False, True, False]
    risk[:] = 0.0
    seen, asked = view(gate, [0.2, 0.2, 0.05, 0.2])
    assert gate.choose(1, seen).by_expert.tolist() == [True, False, False, False]
    assert [mask.tolist() for mask in asked] == [[True, False, True, False]]
    gate.start(np.array([0]), np.zeros(1), 1)
    assert not gate.choose(1, view(gate, [0.2] * 4)[0]).by_expert.any()


def test_the_ensemble_asks_everywhere_for_the_discrepancy_and_nowhere_for_its_doubt(monkeypatch):
    doubts = np.array([0.5, 0.0, 0.0, 0.5], np.float32)
    for rule, acts, queries in (("both", [True, True, False, True], 1), ("doubt", [True, False, False, True], 0)):
        gate = gate_of("ensemble", members=2, rule=rule, threshold=0.3, doubt=0.2)
        monkeypatch.setattr(gate.ensemble, "doubt", lambda features, proprio: doubts)
        seen, asked = view(gate, [0.0, 0.5, 0.1, 0.0])
        assert gate.choose(1, seen).by_expert.tolist() == acts and len(asked) == queries


def test_members_agree_on_what_they_learned_and_differ_where_they_have_not_been():
    gate = gate_of("ensemble", 16, members=3)
    gate.config.updates = 150
    config = DaggerConfig(rounds=2, steps_per_round=16, first_round_steps=1280, num_envs=16, noise_std=0.0)
    collector = Collector(ToyVec(16), gate.policy, config, gate, seed=0)
    shard = collector.collect(0, gate.policy.net.head).shard
    data = _data(shard, 16)
    net = gate.policy.net
    net.features.update(shard.features), net.proprio.update(shard.proprio), net.action.update(shard.expert)
    gate.learn(0, data, net.head)
    known = gate.ensemble.doubt(shard.features, shard.proprio).mean()
    far = gate.ensemble.doubt(shard.features, shard.proprio + 2.0).mean()
    assert far > 2 * known


def test_thrifty_calls_for_about_its_budget_of_the_students_states():
    gate = gate_of("thrifty", 16, members=2, budget=0.2)
    gate.config.updates = 40
    config = DaggerConfig(rounds=3, steps_per_round=1280, first_round_steps=640, num_envs=16)
    collector = Collector(ToyVec(16), gate.policy, config, gate, seed=0)
    shard = collector.collect(0, gate.policy.net.head).shard
    data = _data(shard, 16, expected=1920)
    gate.policy.net.proprio.update(shard.proprio)
    gate.learn(0, data, gate.policy.net.head)
    with torch.no_grad():
        doubt = gate.ensemble.doubt(shard.features, shard.proprio)
        chance = gate.chance(shard.features, shard.proprio, shard.policy)
    called = ((doubt > gate.thresholds["new"]) | (chance < gate.thresholds["lost"])).mean()
    assert 0.1 <= called <= 0.2 + 1e-6
    assert gate.thresholds["lost"] < gate.thresholds["well"]


def test_thrifty_gives_the_arm_back_where_the_student_is_near_and_does_well():
    gate = gate_of("thrifty", members=2, back=0.1)
    gate.chance = lambda features, proprio, actions: np.array([0.9, 0.9, 0.2, 0.9])
    gate.thresholds = {"new": np.inf, "lost": -np.inf, "well": 0.5}
    gate.expert_mode[:] = True
    seen, asked = view(gate, [0.05, 0.3, 0.05, 0.05])
    assert gate.choose(1, seen).by_expert.tolist() == [False, True, True, False] and asked[0].all()


def test_thrifty_sets_its_thresholds_on_as_many_of_the_students_states_as_a_round_has():
    gate = gate_of("thrifty", 16, members=2, budget=0.2)
    config = DaggerConfig(rounds=3, steps_per_round=160, first_round_steps=160, num_envs=16)
    shard = Collector(ToyVec(16), gate.policy, config, gate, seed=0).collect(0, gate.policy.net.head).shard
    data, drove = _data(shard, 16, expected=480), torch.zeros(160, dtype=torch.uint8)
    for round_, students in ((1, 100), (2, 30)):  # the student drove the last 30 of the newest round
        drove[:] = 1
        drove[-students:] = 0
        data.add(dataclasses.replace(shard, actor=drove.clone(), round=torch.full((160,), round_, dtype=torch.int32)))
    asked = []
    gate.chance = lambda features, proprio, actions: (asked.append(len(features)), np.linspace(0, 1, len(features)))[1]
    gate.learn(2, data, gate.policy.net.head)
    assert asked == [130]


def test_the_critic_sees_success_coming():
    gate = gate_of("thrifty", 16, members=2, gamma=0.9)
    gate.config.updates = 200
    config = DaggerConfig(rounds=2, steps_per_round=16, first_round_steps=1280, num_envs=16, noise_std=0.0)
    shard = Collector(ToyVec(16), gate.policy, config, gate, seed=0).collect(0, gate.policy.net.head).shard
    gate.policy.net.features.update(shard.features), gate.policy.net.proprio.update(shard.proprio)
    gate._learn_chances(0, _data(shard, 16))
    chance = torch.from_numpy(gate.chance(shard.features, shard.proprio, shard.executed))
    last = shard.success
    first = torch.cat([torch.ones(16, dtype=torch.bool), shard.done[:-16]])
    assert chance[last].mean() > chance[first].mean() + 0.2


def test_a_scripted_person_reacts_after_a_while_and_lets_go_after_a_while():
    gate = gate_of("hg", 1, threshold=0.3, back=0.1, patience=2)
    off = [0.5, 0.5, 0.5, 0.05, 0.05, 0.05]
    held = [bool(gate.choose(1, view(gate, [x], slots=1)[0]).by_expert[0]) for x in off]
    assert held == [False, True, True, True, False, False]
    assert gate.watches and not gate_of("safe").watches


def test_beta_schedules():
    linear = GateConfig(schedule="linear", rounds=4)
    assert [linear.beta(r) for r in range(6)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    exponential = GateConfig(schedule="exponential", decay=0.5)
    assert [exponential.beta(r) for r in range(3)] == [1.0, 0.5, 0.25]
    constant = GateConfig(schedule="constant", decay=0.3)
    assert [constant.beta(r) for r in range(3)] == [1.0, 0.3, 0.3]
    assert [GateConfig(name="safe").beta(r) for r in range(3)] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "brave"},
        {"schedule": "cubic"},
        {"per": "day"},
        {"decay": 1.5},
        {"budget": 0.0},
        {"threshold": 0.1, "back": 0.2},
        {"name": "ensemble", "members": 1},
        {"person": "boss"},
    ],
)
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="gate"):
        GateConfig(**bad)


def test_discrepancy_is_a_root_mean_square():
    assert discrepancy(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == pytest.approx([1.0])


def _data(shard, slots, expected=None):
    from policies.dagger.buffer import Dataset

    data = Dataset((16, 3), 5, 4, expected or len(shard), dtype=shard.features.dtype, slots=slots)
    data.add(shard)
    return data

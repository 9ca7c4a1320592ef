"""The frames that a policy sees beside the newest one: which, in training and in acting, as a clip and as a stack."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import killed_at
from toy_demos import ToyDemos, small_bc
from toy_demos import toy_vec as bc_vec
from toy_world import ToyEncoder, ToyVec, small_config, toy_vec, weights_hash

import policies
from policies.cloning import train as bc
from policies.cloning.augment import AugmentConfig
from policies.cloning.demonstrations import load_demonstrations
from policies.cloning.episodes import DataConfig, read_episodes
from policies.dagger import train as dagger
from policies.features.features import EncoderConfig, EncoderFeatures
from policies.fit.folder import read_about
from policies.history import History, HistoryConfig, Past, Recall
from policies.network.heads import HeadConfig
from policies.policy import Policy
from toto_robot.ground.errors import UserError


class ClipEncoder(ToyEncoder):
    """A toy that reads clips: the feature of the newest frame, and a tenth of the frames before, which fade."""

    reads_clips = True

    def tokens(self, frames):
        return super().__call__(frames).mul(255).round().to(torch.uint8)  # (B, 16, 3), as patches

    def newest(self, clips):
        clips = clips.float() / 255
        weights = 0.1 ** torch.arange(clips.shape[1] - 1, -1, -1)
        return torch.einsum("bf...,f->b...", clips, weights)


def features(encoder=None):
    return EncoderFeatures(EncoderConfig("toy"), encoder or ClipEncoder())


def test_a_history_holds_the_newest_frames_and_the_episodes_first():
    assert History(3, 2).steps(np.array([0, 1, 3, 9])).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 3], [5, 7, 9]]
    assert History(2, 1, first=2).steps(np.array([0, 1, 5])).tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 4, 5]]
    assert History(1, 4, first=3).steps(np.array([6, 20])).tolist() == [[0, 4, 6, 6], [0, 4, 8, 20]]


def test_a_shuffled_history_has_the_same_frames_with_the_newest_last():
    plain, mixed = (History(6, 1, shuffle=shuffle).steps(np.arange(40)) for shuffle in (False, True))
    assert (np.sort(mixed, 1) == plain).all() and (mixed[:, -1] == plain[:, -1]).all()
    assert (mixed != plain).any(1).mean() > 0.5 and (History(6, 1, shuffle=True).steps(np.arange(40)) == mixed).all()


@pytest.mark.parametrize("history", [History(3, 2), History(2, 3, first=2), History(1, 1, first=1), History(16, 1)])
def test_what_is_remembered_is_what_the_history_asks_for(history):
    past, frame = Past(history), lambda slot, step: torch.tensor([slot, step])
    for step in range(50):
        seen = past.see(torch.stack([frame(slot, step) for slot in (4, 7)]), [4, 7])
        for row, slot in zip(seen, (4, 7)):
            assert row.tolist() == [[slot, wanted] for wanted in history.steps(np.array([step]))[0]]
        assert max(map(len, past.slots.values())) <= history.every * (history.length + 1) + 2
    again = Past(history)
    again.restore(past.state())
    new = torch.stack([frame(4, 50)])
    assert torch.equal(past.see(new, [4], [50]), again.see(new, [4]))


def test_an_episode_begins_with_its_first_frame_whatever_was_before_and_a_missed_step_repeats_the_one_before():
    past, see = Past(History(3, 1)), lambda step: past.see(torch.tensor([[step]]), [0], [step])[0, :, 0].tolist()
    assert [see(0), see(1), see(4), see(5)] == [[0, 0, 0], [0, 0, 1], [1, 1, 4], [1, 4, 5]]
    assert see(0) == [0, 0, 0]
    past.see(torch.tensor([[9]]), [0], [9])
    assert see(2) == [2, 2, 2] and see(3) == [2, 2, 3]  # an episode whose first steps were missed
    past.forget([0])
    assert see(7) == [7, 7, 7]


@pytest.mark.parametrize("form", ["clip", "stack"])
def test_recorded_steps_have_the_features_that_acting_has(form):
    demos, history = ToyDemos(3), History(3, 2, first=1, form=form, shuffle=True)
    config = DataConfig(augment=AugmentConfig(jitter=1.0, copies=1))
    recorded = read_episodes(demos, config, "rgb", "toy")
    data = load_demonstrations(demos, recorded, config, features(), "cache", history=history)
    again = load_demonstrations(demos, recorded, config, features(), "cache", history=history)
    steps = torch.arange(len(data))
    assert data.copies == 2
    for look in (0, 1):
        cached = again.seen(steps, torch.full_like(steps, look))
        assert torch.equal(cached, data.seen(steps, torch.full_like(steps, look)))
    recall, at = Recall(features(), history), 0
    for episode in demos.data:
        for t, frame in enumerate(episode["rgb_wrist"]):
            live = recall({"rgb": frame[None]}, [0], [t])
            assert torch.equal(live, data.seen(steps[at : at + 1], torch.zeros(1, dtype=torch.long)))
            at += 1
    assert tuple(live.shape[1:]) == history.shape(features()) == {"clip": (16, 3), "stack": (64, 3)}[form]


def test_a_stack_goes_back_in_time_over_steps_that_the_static_filter_drops():
    demos, config = ToyDemos(1), DataConfig(static_filter=True, static_rad=0.05)
    recorded = read_episodes(demos, config, "rgb", "toy")
    joints = lambda attrs, proprio: proprio[:, :2]
    load = lambda form: load_demonstrations(
        demos, recorded, config, features(), None, joints_rad=joints, history=History(2, 1, form=form)
    )
    stack, kept = load("stack"), load("stack").kept[0][1]
    assert 1 < len(kept) < len(demos.data[0]["action"]) and len(load("clip")) == len(stack) == len(kept)
    frames = features()({"rgb": demos.data[0]["rgb_wrist"]})
    for row, step in enumerate(kept):
        want = torch.cat([frames[max(0, step - 1)], frames[step]])
        assert torch.equal(stack.seen(torch.tensor([row]), torch.zeros(1, dtype=torch.long))[0], want)


def run_dagger(name, form, rounds=3, **more):
    history = HistoryConfig(2, 0.1, first=1, form=form)
    augment = AugmentConfig(jitter=0.5, copies=1)
    config = small_config(run=name, history=history, dagger={"rounds": rounds, "augment": augment}, **more)
    return dagger.train(config, toy_vec, ClipEncoder())


@pytest.mark.parametrize("form", ["clip", "stack"])
def test_dagger_with_a_history_resumes_to_the_same_bits_and_its_folder_acts_the_same(form):
    whole = run_dagger("whole", form)
    with killed_at(dagger.Collector, "collect", 2):
        run_dagger("cut", form)
    assert weights_hash(run_dagger("cut", form, resume=True).folder) == weights_hash(whole.folder)
    loaded = policies.load("whole", encoder=ClipEncoder())
    assert loaded.history == History(2, 2, first=1, form=form)
    vec, policy = ToyVec(3), whole.policy
    obs = vec.reset([1, 2, 3])
    for step in range(6):
        asked = obs | {"slot": np.arange(3), "step": np.full(3, step)}
        action = loaded.act(asked)
        assert np.array_equal(action, policy.act(asked))
        obs, *_ = vec.step(action)
    alone = {key: value[1:2] for key, value in asked.items()}
    loaded.reset(), policy.reset()
    assert np.array_equal(loaded.act(alone | {"slot": np.array([5])}), policy.act(alone))


@pytest.mark.parametrize(("form", "transformer"), [("stack", None), ("clip", {})], ids=["mlp", "transformer"])
def test_a_clone_with_a_history_is_scored_and_resumes_to_the_same_bits(form, transformer):
    def run(name, **more):
        config = small_bc(run=name, transformer=transformer, history=HistoryConfig(3, form=form), **more)
        return bc.train(config, bc_vec, ClipEncoder(), demos=ToyDemos(3))

    whole = run("whole", episodes=2)
    with killed_at(bc.Cloner, "train", 2):
        run("cut", episodes=2)
    assert weights_hash(run("cut", episodes=2, resume=True).folder) == weights_hash(whole.folder)
    assert whole.policy.look.frames > 20 and whole.result["episodes"] == 2


def test_the_memory_of_slots_does_not_mix_episodes_that_run_side_by_side():
    torch.manual_seed(0)
    policy = Policy.create(features(), "toy", 5, 4, HeadConfig(16, 16, [16]), history=History(4, 1, form="stack"))
    policy.net.head.action.weight.data.normal_()
    rng, actions = np.random.default_rng(0), {}
    frames = rng.integers(0, 256, (3, 6, 32, 32, 3), dtype=np.uint8)
    for order in ([0, 1, 2], [2, 0, 1]):
        policy.reset()
        for step in range(6):
            obs = {"rgb": frames[order, step], "proprio": np.zeros((3, 5), np.float32)}
            out = policy.act(obs | {"slot": np.array(order), "step": np.full(3, step)})
            for row, slot in enumerate(order):
                assert np.allclose(actions.setdefault((slot, step), out[row]), out[row], atol=1e-6)


def test_without_a_history_the_folder_says_nothing_of_it_and_a_wrong_one_is_refused(tmp_path):
    torch.manual_seed(0)
    make = lambda history: Policy.create(features(), "toy", 5, 4, HeadConfig(16, 16, [16]), history=history)
    plain = make(None).save(tmp_path / "plain")
    assert "history" not in (plain / "policy.yaml").read_text() and read_about(plain).history is None
    with_one = make(History(2, 5)).save(tmp_path / "clip")
    text = (with_one / "policy.yaml").read_text()
    with pytest.raises(UserError, match="reads single frames only. Give history.form=stack"):
        policies.load(with_one, encoder=ToyEncoder())
    for old, new, words in (("frames: 2", "frames: 17", "at most 16"), ("every: 5", "every: 0", "expected 1 to")):
        (with_one / "policy.yaml").write_text(text.replace(old, new))
        with pytest.raises(UserError, match=words):
            policies.load(with_one, encoder=ClipEncoder())
    (with_one / "policy.yaml").write_text(text.replace("form: clip", "form: stack"))
    with pytest.raises(UserError, match="features"):
        policies.load(with_one, encoder=ClipEncoder())


@pytest.mark.parametrize(
    "bad",
    [{"frames": 0}, {"first": -1}, {"frames": 12, "first": 5}, {"every_s": 0.0}, {"form": "film"}],
)
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="history") as error:
        HistoryConfig(**bad)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("name", ["none", "privileged", "resnet"])
def test_an_encoder_without_frozen_features_has_no_history(name):
    with pytest.raises(UserError, match=f"encoder={name} gives no frozen features"):
        small_config(encoder=EncoderConfig(name), history=HistoryConfig(2))
    assert small_config(encoder=EncoderConfig(name)).history.at(20.0, features()) is None


def test_an_encoder_of_single_frames_refuses_clips_before_a_run_begins():
    config = small_config(run="r", history=HistoryConfig(2))
    with pytest.raises(UserError, match="history.form=stack"):
        dagger.train(config, toy_vec, ToyEncoder())
    assert not Path("runs").exists()
    trained = dagger.train(replace(config, history=HistoryConfig(2, form="stack")), toy_vec, ToyEncoder())
    assert json.loads((trained.folder / "result.json").read_text())["env_steps"] > 0


def test_seconds_become_the_nearest_number_of_control_periods():
    every = [HistoryConfig(2, s).at(20.0, features()).every for s in (None, 0.01, 0.05, 0.12, 0.5)]
    assert every == [1, 1, 1, 2, 10] and HistoryConfig().at(20.0, features()) is None

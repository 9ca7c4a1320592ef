"""Recorded states in further looks: `data.also` of train_bc."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from killing import killed_at
from states_set import StatesSet
from toy_demos import ToyDemos, small_bc, toy_vec
from toy_world import ToyEncoder, weights_hash

from policies.cloning import train as bc
from policies.cloning.augment import AugmentConfig
from policies.cloning.demonstrations import load_demonstrations
from policies.cloning.episodes import DataConfig, read_episodes
from policies.cloning.redrawing import Redrawing
from policies.cloning.train import train
from policies.features.features import EncoderConfig, EncoderFeatures
from toto_robot.ground.errors import UserError

ALSO = ["near_nominal", "wide"]


@pytest.fixture(scope="module")
def states():
    return StatesSet()


def load(demos, encoder=None, **config):
    config = DataConfig(**config)
    redrawing = Redrawing(demos, config, "set") if config.also else None
    features = EncoderFeatures(EncoderConfig("toy"), encoder or ToyEncoder())
    recorded = read_episodes(demos, config, "rgb", "set")
    return load_demonstrations(demos, recorded, config, features, "cache", redrawing=redrawing)


def all_in(data, look):
    steps = torch.arange(len(data))
    return data.batch(steps, torch.full_like(steps, look))


def test_a_state_in_its_own_look_is_the_recorded_picture(states):
    drawn = Redrawing(states, DataConfig(also=["nominal"]), "set")(1)
    assert drawn.shape == (6, 1, 32, 32, 3) and (drawn[:, 0] == states.data[1]["rgb_wrist"]).all()


def test_every_step_and_look_is_drawn_anew_and_another_process_draws_the_same(states):
    draw = Redrawing(states, DataConfig(also=["wide", "wide"]), "set")
    once, part = draw(0), draw(0, [3, 1])
    assert len({frame.tobytes() for frame in once.reshape(-1, 32, 32, 3)}) == 12
    again = Redrawing(states, DataConfig(also=["wide", "wide"]), "set")
    assert (again(0) == once).all() and (part == once[[3, 1]]).all()
    other = Redrawing(states, DataConfig(also=["wide", "wide"], look_seed=1), "set")
    assert (other(0) != once).any() and other.name(0) != draw.name(0) == again.name(0) != draw.name(1)


def test_each_look_of_a_step_is_a_sample_with_its_label(states):
    plain, many = load(states), load(states, also=ALSO)
    assert (plain.copies, many.copies, len(many)) == (1, 3, 24) and many.fingerprint == plain.fingerprint
    for look in range(3):
        features, proprio, action = all_in(many, look)
        assert torch.equal(proprio, plain.proprio) and torch.equal(action, plain.action)
        assert torch.equal(features, all_in(plain, 0)[0]) == (look == 0)


def test_augmentation_changes_the_drawn_looks_and_not_the_recorded_frames(states):
    plain = load(states, also=ALSO)
    changed = load(states, also=ALSO, augment=AugmentConfig(jitter=1.0, copies=4))
    assert changed.copies == 3
    same = [torch.equal(all_in(plain, look)[0], all_in(changed, look)[0]) for look in range(3)]
    assert same == [True, False, False]


def test_looks_are_encoded_once_and_other_looks_have_features_of_their_own(states):
    encoder = ToyEncoder()
    first = load(states, encoder, also=ALSO)
    assert encoder.frames == 72
    assert torch.equal(all_in(load(states, encoder, also=ALSO), 2)[0], all_in(first, 2)[0]) and encoder.frames == 72
    assert not torch.equal(all_in(load(states, encoder, also=ALSO, look_seed=1), 2)[0], all_in(first, 2)[0])
    assert encoder.frames == 120
    load(states, encoder, also=ALSO[::-1])
    assert encoder.frames == 168


def test_a_run_in_many_looks_resumes_to_the_same_bits_and_knows_these_looks(states):
    def run(name, also=ALSO, **more):
        config = small_bc(run=name, **more)
        config = replace(config, data=replace(config.data, also=also), cache="")
        return train(config, toy_vec, ToyEncoder(), demos=states)

    whole, plain = run("whole"), run("plain", also=[])
    assert whole.policy.look.frames == 24 and weights_hash(whole.folder) != weights_hash(plain.folder)
    spread = lambda trained: trained.policy.look.tensors["usual"][1] - trained.policy.look.tensors["usual"][0]
    assert (spread(whole) > spread(plain)).sum() > (spread(whole) < spread(plain)).sum()
    with killed_at(bc.Cloner, "train", 2):
        run("cut")
    assert weights_hash(run("cut", resume=True).folder) == weights_hash(whole.folder)


def test_a_set_whose_states_can_not_be_drawn_says_why(states):
    foreign = ToyDemos(1)
    without = StatesSet(1, 1)
    without.keys = tuple(key for key in without.keys if key != "task_state")
    side = StatesSet(1, 1)
    side.keys = ("rgb_side", *side.keys)
    changed = StatesSet(1, 1, environment_fingerprint="other")
    for demos, config, words in (
        (foreign, {}, "of 'toy', which is not an environment of ours"),
        (without, {}, "has no task_state, so its states can't be drawn again"),
        (side, {"camera": "side"}, "draws the wrist camera only"),
        (changed, {}, "recorded in another version of franka_reach.*leave data.also out"),
    ):
        with pytest.raises(UserError, match=words) as error:
            Redrawing(demos, DataConfig(also=ALSO, **config), "set")
        assert error.value.exit_code == 2


def test_a_look_that_is_not_for_training_and_an_encoder_without_pictures_are_refused():
    with pytest.raises(UserError, match="Unknown look in data.also 'held_out'.*near_nominal"):
        DataConfig(also=["held_out"])
    with pytest.raises(UserError, match="encoder=none sees no pictures"):
        small_bc(encoder=EncoderConfig("none"), data=DataConfig(also=ALSO))
    assert not Path("runs").exists()

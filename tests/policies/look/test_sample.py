"""Which pictures are kept: as many as asked for, only those that are wanted, and the same ones after a resumption."""

import numpy as np
import torch
from looks import CodeEncoder, encoder_features, pictures, rows

import envs
from policies.cloning.augment import AugmentConfig
from policies.cloning.demonstrations import load_demonstrations
from policies.cloning.episodes import DataConfig, read_episodes
from policies.experts.choose import make_labeller
from policies.features.features import EncoderConfig, NoFeatures, make_features
from policies.look import TrainingLook
from policies.look import sample as sampling
from policies.look.sample import LookSample, look_of_demonstrations, look_of_environment

STEPS, SLOTS = 24, 8


def drawn(pieces=((0, 96), (96, 192)), wanted=lambda t: np.ones(SLOTS, bool), stop=None):
    features, frames = encoder_features(), pictures(SLOTS, seed=5)
    sample = LookSample(features, pieces[-1][1], seed=3)
    for k, (start, end) in enumerate(pieces):
        if k == stop:  # another process continues
            sample, before = LookSample(features, pieces[-1][1], seed=3), sample.state()
            sample.restore(before)
        sample.piece(start, end, k)
        for t in range((end - start) // SLOTS):
            sample.offer(frames, features({"rgb": frames}), wanted(t), np.arange(SLOTS) + 100 * k)
        sample.end()
    return sample


def test_each_piece_gives_its_share_of_the_sample(monkeypatch):
    monkeypatch.setattr(sampling, "SIZE", 40)
    parts = drawn(((0, 64), (64, 192))).parts
    assert [len(part) for part in parts] == [13, 27]
    assert parts[0].pooled.shape == (13, 3) and parts[0].codes.shape == (13, 16) and parts[1].episode.min() >= 100


def test_only_steps_that_the_student_learns_from_are_drawn(monkeypatch):
    monkeypatch.setattr(sampling, "SIZE", 40)
    even = np.arange(SLOTS) % 2 == 0
    episodes = np.concatenate([part.episode for part in drawn(wanted=lambda t: even).parts])
    assert len(episodes) == 40 and not (episodes % 2).any()
    assert sum(map(len, drawn(wanted=lambda t: even & (t == 0)).parts)) == 8  # fewer than asked for are all taken


def test_a_sample_that_is_resumed_is_the_same(monkeypatch):
    monkeypatch.setattr(sampling, "SIZE", 60)
    whole, again = drawn(), drawn(stop=1)
    assert all(torch.equal(a, b) for a, b in zip(whole.state().values(), again.state().values()))
    look, other = whole.look(), again.look()
    assert all(torch.equal(look.tensors[name], other.tensors[name]) for name in look.tensors)


def test_a_policy_without_pictures_has_none():
    sample = LookSample(NoFeatures(EncoderConfig("none")), 8, seed=0)
    sample.piece(0, 8, 0)
    sample.offer(None, torch.zeros(8, 0), np.ones(8, bool), np.arange(8))
    sample.end()
    assert sample.look() is None and sample.state() == {}


class Demos:
    """A set of still scenes."""

    keys, meta_names, attrs = ("rgb_wrist", "proprio", "action"), (), {"action": {}}
    episodes, lengths = 6, np.full(6, 10)

    def episode(self, i, keys):
        moving = (
            np.maximum(np.arange(10, dtype=np.float32) - 4, 0)[:, None].repeat(2, 1) / 10 + i / 1000
        )  # still until step 4
        data = {"rgb_wrist": pictures(10, seed=i), "proprio": moving, "action": moving}
        return {key: data[key] for key in keys}


def look_of(tmp_path, augment=AugmentConfig(), **config):
    features, config, demos = encoder_features(), DataConfig(augment=augment, **config), Demos()
    recorded = read_episodes(demos, config, "rgb", "set")
    data = load_demonstrations(demos, recorded, config, features, tmp_path, joints_rad=lambda attrs, proprio: proprio)
    return look_of_demonstrations(Demos(), "wrist", data, features, augment, seed=0)


def test_demonstrations_give_the_same_look_when_their_features_come_from_the_cache(tmp_path):
    fresh, cached = look_of(tmp_path), look_of(tmp_path)
    assert fresh.frames == 60 and fresh.episodes == 6
    assert all(torch.equal(fresh.tensors[name], cached.tensors[name]) for name in fresh.tensors)


def test_only_the_steps_that_are_kept_count_and_each_with_its_own_frame(tmp_path):
    filtered = look_of(tmp_path, static_filter=True)
    kept = np.concatenate([pictures(10, seed=i)[[0, 5, 6, 7, 8, 9]] for i in range(6)])
    expected = TrainingLook.fit(rows(kept, per_episode=6))
    assert filtered.frames == 36 and filtered.episodes == 6
    assert all(torch.allclose(filtered.tensors[name], expected.tensors[name]) for name in expected.tensors)


def test_pictures_are_changed_at_random_as_in_training(tmp_path):
    plain, wide = look_of(tmp_path / "a"), look_of(tmp_path / "b", AugmentConfig(jitter=1.0, copies=2))
    low, high = plain.tensors["usual"], wide.tensors["usual"]
    assert (high[1] - high[0])[:3].min() > 2 * (low[1] - low[0])[:3].min()


def test_an_environment_gives_the_look_of_its_experts_episodes():
    env = envs.make("franka_cube", image_size=32)
    features = make_features(EncoderConfig("toy"), encoder=CodeEncoder())
    look = look_of_environment(env, make_labeller("scripted", "franka_cube").label, features, 2, seed=0)
    assert look.episodes == 2 and look.frames > 20 and set(look.units) >= {"features", "codes"}

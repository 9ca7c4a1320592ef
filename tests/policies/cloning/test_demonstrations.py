import numpy as np
import pytest
import torch
from toy_demos import ToyDemos
from toy_world import ToyEncoder

from policies.cloning.augment import AugmentConfig
from policies.cloning.demonstrations import load_demonstrations
from policies.cloning.episodes import DataConfig, read_episodes
from policies.features.features import EncoderConfig, EncoderFeatures, NoFeatures
from toto_robot.ground.errors import UserError


def load(demos, encoder=None, cache="cache", **config):
    features = EncoderFeatures(EncoderConfig("toy"), encoder or ToyEncoder())
    config = DataConfig(**config)
    return load_demonstrations(demos, read_episodes(demos, config, "rgb", "toy"), config, features, cache)


def features_of(data, look=0):
    steps = torch.arange(len(data))
    return data.seen(steps, torch.full_like(steps, look))


def test_features_are_computed_once_and_frames_are_not_read_again():
    encoder, demos = ToyEncoder(), ToyDemos(4)
    first = load(demos, encoder)
    assert encoder.frames == demos.lengths.sum() == len(first)
    demos.read.clear()
    again = load(demos, encoder)
    assert encoder.frames == demos.lengths.sum() and not any(key == "rgb_wrist" for _, key in demos.read)
    assert torch.equal(features_of(first), features_of(again))


def test_a_part_of_a_set_and_a_longer_set_find_what_was_encoded():
    encoder = ToyEncoder()
    load(ToyDemos(6), encoder, use=3)
    three = encoder.frames
    assert len(load(ToyDemos(6), encoder)) == encoder.frames > three
    assert load(ToyDemos(6), encoder).episodes == 6 and encoder.frames == ToyDemos(6).lengths.sum()


def test_another_encoder_another_crop_and_another_set_have_features_of_their_own():
    class Other(ToyEncoder):
        fingerprint = "toy-encoder-2"

    load(ToyDemos(2))
    for encoder, demos in (
        (Other(), ToyDemos(2)),
        (ToyEncoder(), ToyDemos(2, attrs={"env_options": {"shift": "light"}})),
    ):
        load(demos, encoder)
        assert encoder.frames == demos.lengths.sum()


def test_a_damaged_cache_is_made_again(tmp_path):
    encoder = ToyEncoder()
    whole = load(ToyDemos(3), encoder)
    for i, path in enumerate(sorted((tmp_path / "cache").rglob("*.safetensors"))):
        path.write_bytes(path.read_bytes()[: 20 * i])
    assert torch.equal(features_of(load(ToyDemos(3), encoder)), features_of(whole))
    assert encoder.frames == 2 * ToyDemos(3).lengths.sum()


def test_a_cache_that_can_not_be_written_says_what_to_give(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give cache=ANOTHER_FOLDER"):
        load(ToyDemos(1), cache=tmp_path / "file")


def test_episodes_are_used_in_the_order_of_their_attempts_and_failures_left_out():
    demos = ToyDemos(5, fail=(1,))
    demos.data.reverse()
    for values in demos._meta.values():
        values.reverse()
    used = load(demos, use=3)
    lengths = [len(e["action"]) for e in reversed(demos.data)]
    ends = np.cumsum([lengths[0], lengths[2], lengths[3]])
    assert used.last.unique().tolist() == (ends - 1).tolist()
    assert load(demos, successes_only=False).episodes == 5
    with pytest.raises(UserError, match="5 episodes, 4 of them successful"):
        load(demos, use=5)


def test_a_window_never_leaves_its_episode_and_holds_what_was_done_before():
    data = load(ToyDemos(3))
    steps, features = torch.arange(len(data)), features_of(data)
    window, labels, there = data.windows(steps, torch.zeros_like(steps), 5, 4)
    for s in steps.tolist():
        first, last = int(data.first[s]), int(data.last[s])
        for j in range(5):
            at = s - 4 + j
            assert bool(window.valid[s, j]) == (at >= first)
            if at >= first:
                assert torch.equal(window.proprio[s, j], data.proprio[at])
                assert torch.equal(window.features[s, j], features[at])
                assert torch.equal(window.past[s, j], data.applied[at] if at < s else torch.zeros(4))
        for k in range(4):
            assert bool(there[s, k]) == (s + k <= last)
            if s + k <= last:
                assert torch.equal(labels[s, k], data.action[s + k])


def test_augmented_looks_stand_beside_the_frames_as_they_are():
    plain, looks = load(ToyDemos(2)), load(ToyDemos(2), augment=AugmentConfig(jitter=1.0, shift_px=3, copies=2))
    assert looks.copies == 3 and len(looks) == len(plain)
    assert torch.equal(features_of(looks), features_of(plain))
    one, two = features_of(looks, 1), features_of(looks, 2)
    assert not torch.equal(one, features_of(plain)) and not torch.equal(one, two)
    again = load(ToyDemos(2), augment=AugmentConfig(jitter=1.0, shift_px=3, copies=2))
    assert torch.equal(features_of(again, 2), two)


def test_a_policy_without_frames_reads_none():
    demos = ToyDemos(2)
    recorded = read_episodes(demos, DataConfig(), None, "toy")
    data = load_demonstrations(demos, recorded, DataConfig(), NoFeatures(EncoderConfig("none")), None)
    assert features_of(data).shape == (len(data), 0) and not any(key == "rgb_wrist" for _, key in demos.read)

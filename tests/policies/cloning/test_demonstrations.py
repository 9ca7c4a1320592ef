import numpy as np
import pytest
import torch
from toy_demos import ToyDemos
from toy_world import ToyEncoder

from policies.cloning.augment import AugmentConfig
from policies.cloning.demonstrations import load_demonstrations
from policies.cloning.episodes import DataConfig, bounds, moving, read_episodes, scaled
from policies.features.features import EncoderConfig, EncoderFeatures, NoFeatures
from toto_robot.ground.errors import UserError


def load(demos, encoder=None, cache="cache", **config):
    features = EncoderFeatures(EncoderConfig("toy"), encoder or ToyEncoder())
    config = DataConfig(**config)
    return load_demonstrations(demos, read_episodes(demos, config, "rgb", "toy"), config, features, cache)


def test_features_are_computed_once_and_frames_are_not_read_again():
    encoder, demos = ToyEncoder(), ToyDemos(4)
    first = load(demos, encoder)
    assert encoder.frames == demos.lengths.sum() == len(first)
    demos.read.clear()
    again = load(demos, encoder)
    assert encoder.frames == demos.lengths.sum() and not any(key == "rgb_wrist" for _, key in demos.read)
    assert torch.equal(first.features, again.features)


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
    assert torch.equal(load(ToyDemos(3), encoder).features, whole.features)
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
    steps = torch.arange(len(data))
    window, labels, there = data.windows(steps, torch.zeros_like(steps), 5, 4)
    for s in steps.tolist():
        first, last = int(data.first[s]), int(data.last[s])
        for j in range(5):
            at = s - 4 + j
            assert bool(window.valid[s, j]) == (at >= first)
            if at >= first:
                assert torch.equal(window.proprio[s, j], data.proprio[at])
                assert torch.equal(window.features[s, j], data.features[at])
                assert torch.equal(window.past[s, j], data.applied[at] if at < s else torch.zeros(4))
        for k in range(4):
            assert bool(there[s, k]) == (s + k <= last)
            if s + k <= last:
                assert torch.equal(labels[s, k], data.action[s + k])


def test_augmented_looks_stand_beside_the_frames_as_they_are():
    plain, looks = load(ToyDemos(2)), load(ToyDemos(2), augment=AugmentConfig(jitter=1.0, shift_px=3, copies=2))
    assert looks.copies == 3 and len(looks) == len(plain)
    steps = torch.arange(len(plain))
    assert torch.equal(looks.batch(steps, torch.zeros_like(steps))[0], plain.features)
    one, two = (looks.batch(steps, torch.full_like(steps, i))[0] for i in (1, 2))
    assert not torch.equal(one, plain.features) and not torch.equal(one, two)
    assert torch.equal(
        load(ToyDemos(2), augment=AugmentConfig(jitter=1.0, shift_px=3, copies=2)).features, looks.features
    )


def test_the_static_filter_keeps_steps_that_move_or_close_the_gripper():
    joints = np.array([[0.0], [0.003], [0.005], [0.006], [0.006], [0.02]])
    gripper = np.array([[1.0], [1.0], [1.0], [1.0], [-1.0], [-0.5]])
    assert moving(joints, gripper, 0.004).tolist() == [0, 2, 4, 5]
    assert moving(joints, gripper[:, :0], 0.004).tolist() == [0, 2, 5]


def test_actions_are_scaled_by_the_bounds_of_the_set():
    attrs = {"action": {"low": [0.0, -2.0], "high": [1.0, 2.0]}}
    assert scaled(attrs, np.array([[0.5, 2.0]]), "set").tolist() == [[0.0, 1.0]]
    with pytest.raises(UserError, match="low <= high"):
        scaled({"action": {"low": [0.0], "high": [float("inf")]}}, np.zeros((1, 1)), "set")


def test_an_action_that_never_changes_is_in_the_middle_and_stays_what_it_was():
    attrs = {"action": {"low": [-1.0, -2.0], "high": [-1.0, 2.0]}}
    assert scaled(attrs, np.array([[-1.0, 2.0]]), "set").tolist() == [[0.0, 1.0]]
    low, high = bounds(attrs, "set")
    assert low[0] == pytest.approx(-1.001, abs=1e-4) and high[0] == pytest.approx(-0.999, abs=1e-4)
    noise = {"action": {"low": 1.0, "high": 1.0000001}}
    assert np.abs(scaled(noise, np.array([[1.0], [1.0000001]]), "set")).max() < 1e-3


def test_a_number_that_is_not_finite_is_named_with_a_way_round_it():
    demos = ToyDemos(5, attrs={"proprio_names": ["x", "y", "vx", "vy", "lean"]})
    demos.data[1]["proprio"][3, 4] = np.nan
    demos.data[4]["action"][2, 0] = np.inf
    with pytest.raises(UserError, match=r"episode 1, step 3: proprio lean is nan; .*data.skip=\[1,4\]"):
        load(demos)
    with pytest.raises(UserError, match=r"episode 4, step 2: action x is inf; .*data.skip=\[1,4\]"):
        load(demos, skip=[1])
    assert load(demos, skip=[1, 4]).episodes == load(demos, use=1).episodes + 2
    with pytest.raises(UserError, match=r"data.skip=\[5\]: toy has 5 episodes, 0 to 4"):
        load(demos, skip=[5])


def test_the_only_camera_needs_no_name_and_several_need_one():
    assert len(load(_renamed("front"))) == len(load(_renamed("front"), camera="front")) > 0
    with pytest.raises(
        UserError, match="no camera named wrist. Its cameras: front, side. Choose one by data.camera=NAME"
    ):
        load(_renamed("front", "side"))


def _renamed(*cameras):
    demos = ToyDemos(2)
    demos.keys = tuple(k for k in demos.keys if k != "rgb_wrist") + tuple(f"rgb_{camera}" for camera in cameras)
    for data in demos.data:
        frames = data.pop("rgb_wrist")
        data |= {f"rgb_{camera}": frames for camera in cameras}
    return demos


@pytest.mark.parametrize("bad", [{"held_out": 1.0}, {"held_out": -0.1}, {"skip": [-1]}, {"use": -1}])
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="data"):
        DataConfig(**bad)


def test_a_camera_that_is_not_there_lists_those_that_are():
    with pytest.raises(UserError, match="Its cameras: wrist"):
        load(ToyDemos(2), camera="side")


def test_a_policy_without_frames_reads_none():
    demos = ToyDemos(2)
    recorded = read_episodes(demos, DataConfig(), None, "toy")
    data = load_demonstrations(demos, recorded, DataConfig(), NoFeatures(EncoderConfig("none")), None)
    assert data.features.shape == (len(data), 0) and not any(key == "rgb_wrist" for _, key in demos.read)

import contextlib
import io

import numpy as np
import pytest
from foreign_sets import SHARED, example, write_rpt
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from demos.errors import DemoError
from demos.formats import actions, rlds
from demos.formats.source import Options
from demos.formats.tfrecord import masked_crc, parse_example, read_records, write_records


def rpt_episode(seed, length=10, task="pick yellow cube", opens=0.0, image=True):
    """Joints that move every step, a gripper that closes half-way; `opens` is the value that means open."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (length, 6, 8, 3), dtype=np.uint8) if image else np.zeros((length, 6, 8, 3), np.uint8)
    pngs = []
    for frame in frames:
        Image.fromarray(frame).save(buffer := io.BytesIO(), "PNG")
        pngs.append(buffer.getvalue())
    grip = np.where(np.arange(length) < length // 2, opens, 1 - opens)
    return {
        "q": np.cumsum(rng.uniform(0.01, 0.1, (length, 7)), 0),
        "grip": grip,
        "task": task,
        "image": pngs,
        "frames": frames,
        "size": (6, 8),
    }


def first(source):
    return next(source.episodes())[0]


# ------------------------------------------------------------------------------------------ TFRecord


values = st.one_of(
    st.lists(st.binary(max_size=9), max_size=4),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9).map(lambda v: np.array(v, np.float32)),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9).map(lambda v: np.array(v, np.int64)),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=9), values, max_size=5), st.booleans())
def test_an_example_reads_back_whether_its_numbers_are_packed_or_not(features, packed):
    found = parse_example(example(features, packed))
    assert set(found) == set(features)
    for name, value in features.items():
        if isinstance(value, list):
            assert [bytes(v) for v in found[name]] == value
        else:
            assert found[name].dtype == value.dtype
            np.testing.assert_array_equal(found[name], value)


def test_the_checksum_is_that_of_the_tfrecord_format():
    assert masked_crc(b"123456789") == (((0xE3069283 >> 15) | (0xE3069283 << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_changed_byte_and_any_cut_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "one.tfrecord"
    write_records(path, [b"first record", b"second"])
    whole = path.read_bytes()
    assert list(read_records(path)) == [b"first record", b"second"]
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    elif at in (0, 12 + 12 + 4):  # a cut between records leaves a shorter file, which the counts tell
        return
    else:
        path.write_bytes(whole[:at])
    with pytest.raises(DemoError, match="record [01] at byte"):
        list(read_records(path))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_bytes_that_are_no_example_are_a_value_error(data):
    with contextlib.suppress(ValueError, KeyError, UnicodeDecodeError):
        parse_example(data)


# ------------------------------------------------------------------------------------------ episodes


def test_the_published_layout_gives_joints_pictures_actions_and_tasks(tmp_path):
    made = [rpt_episode(0), rpt_episode(1, 7, "stack cube")]
    source = rlds.read(write_rpt(tmp_path / "1.0.0", made), Options())
    assert source.attrs["control_hz"] == 30 and source.attrs["action"]["deltas"] == 7
    assert source.attrs["proprio_names"] == [*(f"joint_pos.{i}" for i in range(7)), "gripper"]
    assert source.attrs["episode_tasks"] == ["pick yellow cube", "stack cube"]
    for (episode, meta), want in zip(source.episodes(), made, strict=True):
        np.testing.assert_array_equal(episode["rgb_hand_image"], want["frames"])
        np.testing.assert_array_equal(episode["proprio"][:, :7], want["q"].astype(np.float32))
        assert meta == {"task": want["task"], "success": True}
    assert {entry["what"] for entry in source.dropped} == {
        "steps/is_first",
        "steps/is_last",
        "steps/is_terminal",
        "steps/discount",
        "episode_metadata/file_path",
    }
    actions.check_increments(source)
    assert source.facts["increments"].startswith("actions and recorded joints differ by at most")
    assert float(source.facts["increments"].split()[-2]) < 1e-6


def test_the_static_filter_finds_the_joints_of_the_published_layout(tmp_path):
    from policies.cloning.episodes import moving
    from toto_robot.train_bc import joints_rad

    q = np.cumsum(np.full((12, 7), 0.003), 0)  # two steps pass MVP's 0.004 rad
    data = rpt_episode(0, 12) | {"q": q, "grip": np.ones(12)}
    source = rlds.read(write_rpt(tmp_path / "1.0.0", [data]), Options())
    episode = first(source)
    joints = joints_rad(source.attrs, episode["proprio"])
    np.testing.assert_array_equal(joints, q.astype(np.float32))
    assert moving(joints, episode["action"][:, 7:], 0.004).tolist() == [0, 2, 4, 6, 8, 10]


def test_without_features_json_the_shapes_follow_from_the_episodes(tmp_path):
    made = [rpt_episode(0), rpt_episode(1, 7)]
    with_it = rlds.read(write_rpt(tmp_path / "a", made), Options())
    without = rlds.read(write_rpt(tmp_path / "b", made, features=False), Options())
    for (a, _), (b, _) in zip(with_it.episodes(), without.episodes(), strict=True):
        assert set(a) == set(b)
        np.testing.assert_array_equal(a["action"], b["action"])
        np.testing.assert_array_equal(a["rgb_hand_image"], b["rgb_hand_image"])


def test_padding_goes_and_its_reward_stays(tmp_path):
    source = rlds.read(write_rpt(tmp_path / "set", [rpt_episode(0), rpt_episode(1)]), Options())
    cut = actions.drop_padding(source)
    for (episode, _), (whole, _) in zip(cut.episodes(), source.episodes()):
        assert len(episode["action"]) == 9 and not whole["action"][-1, :7].any()
        assert episode["reward"][-1] == 1 and episode["reward"].sum() == 1
    assert cut.facts["padding"].endswith("in 2 of 2 episodes")
    assert [len(e["action"]) for e, _ in actions.drop_padding(cut).episodes()] == [9, 9], "it is dropped once"


def test_subsampling_sums_increments_and_takes_the_last_gripper(tmp_path):
    data = rpt_episode(3, 14)
    source = actions.drop_padding(rlds.read(write_rpt(tmp_path / "set", [data]), Options()))
    slow = actions.subsample(source, 10)
    episode, q = first(slow), data["q"].astype(np.float32)
    assert slow.attrs["control_hz"] == 10 and len(episode["action"]) == 4
    np.testing.assert_array_equal(episode["proprio"][:, :7], q[:12:3])
    np.testing.assert_allclose(episode["action"][:, :7], q[3:13:3] - q[:12:3], atol=1e-6)
    np.testing.assert_array_equal(episode["action"][:, 7], data["grip"][3:13:3])
    assert episode["reward"].tolist() == [0, 0, 0, 1]
    assert "1 steps at the ends" in slow.facts["subsampled"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6))
def test_summed_increments_lead_where_the_single_ones_did(length, k):
    from foreign_sets import make

    rng = np.random.default_rng(length)
    made = make([{"action": rng.normal(size=(length, 3)).astype(np.float32)}])
    slow = list(actions.subsample(made, 20 / k, deltas=2).episodes())
    if length < k:
        assert slow == []
        return
    episode, used = slow[0][0], length // k * k
    whole = next(made.episodes())[0]["action"]
    np.testing.assert_allclose(episode["action"][:, :2].sum(0), whole[:used, :2].sum(0), atol=1e-4)
    np.testing.assert_array_equal(episode["action"][:, 2], whole[k - 1 : used : k, 2])


def test_rates_that_do_not_divide_and_unknown_increments_are_refused():
    from foreign_sets import make

    made = make([{"action": np.zeros((6, 3), np.float32)}])
    with pytest.raises(DemoError, match="to_hz=7 is not a whole fraction of the source's 20 Hz"):
        actions.subsample(made, 7)
    with pytest.raises(DemoError, match="expected deltas= from 0 to 3"):
        actions.subsample(made, 10)


def test_our_own_sets_name_their_increments():
    import dataclasses

    from foreign_sets import make

    made = make([{"action": np.arange(18, dtype=np.float32).reshape(6, 3)}])
    action = made.attrs["action"] | {"names": ["d_joint1", "d_joint2", "gripper"]}
    slow = actions.subsample(dataclasses.replace(made, attrs=made.attrs | {"action": action}), 10)
    assert first(slow)["action"].tolist() == [[3, 5, 5], [15, 17, 11], [27, 29, 17]]


@pytest.mark.parametrize("opens", [0.0, 1.0])
def test_the_gripper_is_turned_so_that_one_is_open_whichever_way_it_was(tmp_path, opens):
    source = rlds.read(write_rpt(tmp_path / "set", [rpt_episode(i, opens=opens) for i in range(4)]), Options())
    turned = actions.align_gripper(source)
    episode = first(turned)
    assert episode["action"][0, 7] == 1 and episode["action"][-1, 7] == -1
    assert episode["proprio"][0, 7] == 1 and episode["proprio"][-1, 7] == -1
    assert turned.facts["gripper"]["command"]["tasks"]["pick yellow cube"]["open_was"] == opens
    again = actions.align_gripper(turned)
    np.testing.assert_array_equal(first(again)["action"], episode["action"])


def test_tasks_may_have_opposite_grippers_and_an_undecided_one_follows_the_others(tmp_path):
    made = [rpt_episode(i, task="stack", opens=1.0) for i in range(3)] + [rpt_episode(i, task="pick") for i in range(5)]
    made += [rpt_episode(0, task="odd"), rpt_episode(1, task="odd", opens=1.0)]
    turned = actions.align_gripper(rlds.read(write_rpt(tmp_path / "set", made), Options()))
    starts = [episode["action"][0, 7] for episode, _ in turned.episodes()]
    assert starts == [1.0] * 8 + [1.0, -1.0]
    assert turned.facts["gripper"]["command"]["tasks"]["odd"]["undecided"]


def test_a_gripper_that_never_moves_is_left_alone(tmp_path):
    made = [rpt_episode(i) | {"grip": np.ones(10)} for i in range(2)]
    source = rlds.read(write_rpt(tmp_path / "set", made), Options())
    turned = actions.align_gripper(source)
    assert "never moves" in turned.facts["gripper"]["command"]["kept"]
    np.testing.assert_array_equal(first(turned)["action"], first(source)["action"])


def test_a_camera_of_one_colour_is_a_dummy(tmp_path):
    source = rlds.read(write_rpt(tmp_path / "set", [rpt_episode(0, image=False)]), Options())
    assert source.attrs["cameras"] == {} and "rgb_hand_image" not in first(source)
    assert {
        "what": "steps/observation/hand_image",
        "why": "shows one colour in every episode: a dummy",
    } in source.dropped


def test_damage_is_told_in_one_sentence(tmp_path):
    folder = write_rpt(tmp_path / "set", [rpt_episode(0)], counted=2)
    with pytest.raises(DemoError, match="holds 1 episodes and dataset_info.json promises 2"):
        rlds.read(folder, Options())
    folder = write_rpt(tmp_path / "unknown", [rpt_episode(0)], name="their_set")
    with pytest.raises(DemoError, match="does not say its control rate.*hz=RATE"):
        rlds.read(folder, Options())
    assert rlds.read(folder, Options(hz=12)).attrs["control_hz"] == 12
    with pytest.raises(DemoError, match="proprio=joints: .* has joint_pos, gripper"):
        rlds.read(folder, Options(hz=12, proprio=("joints",)))
    (folder / "features.json").write_text("{")
    with pytest.raises(DemoError, match="features.json is not TFDS's list"):
        rlds.read(folder, Options(hz=12))
    broken = rpt_episode(0)
    broken["image"][3] = broken["image"][3][:40]
    with pytest.raises(DemoError, match="episode 0: a picture does not decode"):
        list(rlds.read(write_rpt(tmp_path / "picture", [broken]), Options()).episodes())


def test_a_split_that_lacks_a_shard_is_refused_and_a_single_one_is_read(tmp_path):
    folder = write_rpt(tmp_path / "set", [rpt_episode(0)])
    shard = folder / "rpt_dataset-train.tfrecord-00000-of-00003"
    (folder / "rpt_dataset-train.tfrecord-00000-of-00001").rename(shard)
    with pytest.raises(DemoError, match="has 1 of 3 shards of train, the first one missing is 00001"):
        rlds.read(folder, Options())
    assert len(list(rlds.read(shard, Options()).episodes())) == 1


@pytest.mark.skipif(not (SHARED / "octo_bridge").is_dir(), reason="no ../shared/data/robot/octo_bridge")
def test_a_real_bridge_shard_imports():
    source = rlds.read(SHARED / "octo_bridge", Options())
    episodes = list(actions.align_gripper(source).episodes())
    assert len(episodes) == 25 and all(len(e["action"]) == 10 for e, _ in episodes)
    assert sorted(source.attrs["cameras"]) == ["image_0", "image_1", "image_2"], "image_3 is black throughout"
    assert all(e["action"][0, 6] == 1 for e, _ in episodes)
    assert len(source.attrs["tasks"]) == 4 and "pictures: kept" in source.facts["flags"]

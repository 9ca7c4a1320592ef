import json
import sys

import numpy as np
import pytest
from foreign_sets import assert_same, episode, make, sets
from hypothesis import HealthCheck, given, settings

from demos.errors import DemoError
from demos.formats import lerobot_parquet, lerobot_v3
from demos.formats.source import Options
from demos.formats.video import psnr_db

pa = pytest.importorskip("pyarrow", reason="pyarrow is an extra: pip install pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
DATA, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"


def exported(tmp_path, lengths=(4, 6, 5), images="png", metas=None, **how):
    rng = np.random.default_rng(0)
    made = make([episode(rng, n, smooth=True, cameras={"wrist": (32, 48)}, **how) for n in lengths], metas=metas)
    (tmp_path / "set").mkdir()
    return made, lerobot_v3.write(made, tmp_path / "set", Options(images=images)), tmp_path / "set"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(sets())
def test_a_round_trip_with_png_loses_nothing(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("set")
    report = lerobot_v3.write(made, path, Options())
    assert not report.dropped and not report.changed
    assert_same(lerobot_v3.read(path, Options()), made)


@pytest.mark.parametrize(("images", "least_db"), [("h264", 36), ("av1", 32)])
def test_a_round_trip_with_video_changes_only_the_pictures_and_says_by_how_much(tmp_path, images, least_db):
    made, report, path = exported(tmp_path, images=images)
    back = lerobot_v3.read(path, Options())
    assert_same(back, made, close={"rgb_wrist"})
    found = [psnr_db(a["rgb_wrist"], b["rgb_wrist"]) for (a, _), (b, _) in zip(back.episodes(), made.episodes())]
    assert min(found) > least_db
    (said,) = report.changed
    assert said["what"] == "rgb_wrist" and said["psnr_db"] == pytest.approx(found[0], abs=0.01)
    feature = json.loads((path / "meta/info.json").read_text())["features"]["observation.images.wrist"]
    assert feature["dtype"] == "video" and feature["info"]["video.codec"] == images and "first" not in feature


def test_frames_of_later_episodes_come_from_their_own_place_in_the_video(tmp_path):
    made, _, path = exported(tmp_path, lengths=(7, 1, 12), images="h264")
    rows = parquet.read_table(path / EPISODES).to_pylist()
    part = "videos/observation.images.wrist/"
    assert [(r[part + "from_timestamp"], r[part + "to_timestamp"]) for r in rows] == [
        (0, 0.35),
        (0.35, 0.4),
        (0.4, 1.0),
    ]
    for (a, _), (b, _) in zip(lerobot_v3.read(path, Options()).episodes(), made.episodes()):
        for t in range(len(b["action"])):  # the frame itself is nearer than its neighbours
            errors = [psnr_db(a["rgb_wrist"][t], b["rgb_wrist"][u]) for u in range(len(b["action"]))]
            assert int(np.argmax(errors)) == t


def test_the_layout_is_lerobots(tmp_path):
    _, report, path = exported(tmp_path)
    info = json.loads((path / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_episodes"], info["total_frames"]) == ("v3.0", 20, 3, 15)
    assert info["splits"] == {"train": "0:3"} and info["video_path"] is None
    names = set(info["features"])
    assert {*lerobot_parquet.DEFAULTS, "next.done", "action", "observation.state"} <= names
    hidden = {name for name in names if name.startswith("toto.")}
    assert hidden == {
        f"toto.{key}" for key in ("timestamp_s", "sim_state", "protocol_state", "task_state", "action_applied")
    }
    assert not any("/" in name for name in names) and report.kept["sim_state"] == "toto.sim_state"
    table = parquet.read_table(path / DATA)
    assert table["index"].to_pylist() == list(range(15)) and table["frame_index"].to_pylist()[4:10] == list(range(6))
    np.testing.assert_array_equal(table["timestamp"].to_numpy()[4:10], (np.arange(6) / 20).astype(np.float32))
    assert parquet.ParquetFile(path / DATA).num_row_groups == 3, "one for each episode"
    schema = table.schema
    assert schema.field("action").type == pa.list_(pa.float32(), 3) and schema.field("timestamp").type == pa.float32()
    assert schema.field("observation.images.wrist").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = parquet.read_table(path / EPISODES).to_pylist()
    assert [(r["dataset_from_index"], r["dataset_to_index"]) for r in rows] == [(0, 4), (4, 10), (10, 15)]


def test_tasks_are_a_pandas_frame_by_their_text(tmp_path):
    exported(tmp_path, metas=[{"task": task} for task in ("pick", "stack", "pick")])
    table = parquet.read_table(tmp_path / "set/meta/tasks.parquet")
    assert table.to_pydict() == {"task_index": [0, 1], "task": ["pick", "stack"]}
    note = json.loads(table.schema.metadata[b"pandas"])
    assert note["index_columns"] == ["task"] and {c["name"] for c in note["columns"]} == {"task_index", "task"}
    assert parquet.read_table(tmp_path / "set" / DATA)["task_index"].to_pylist() == [0] * 4 + [1] * 6 + [0] * 5


def test_statistics_of_the_set_are_those_of_all_its_steps(tmp_path):
    made, _, path = exported(tmp_path)
    stats = json.loads((path / "meta/stats.json").read_text())
    actions = np.concatenate([e["action"] for e, _ in made.episodes()]).astype(np.float64)
    for name, want in {
        "min": actions.min(0),
        "max": actions.max(0),
        "mean": actions.mean(0),
        "std": actions.std(0),
    }.items():
        np.testing.assert_allclose(stats["action"][name], want, rtol=1e-6)
    assert stats["action"]["count"] == [15] and np.shape(stats["timestamp"]["mean"]) == (1,)
    picture = stats["observation.images.wrist"]
    frames = np.concatenate([e["rgb_wrist"] for e, _ in made.episodes()]) / 255
    assert np.shape(picture["mean"]) == (3, 1, 1)
    np.testing.assert_allclose(np.ravel(picture["mean"]), frames.mean((0, 1, 2)), atol=1e-6)


def test_what_parquet_can_not_hold_is_reported(tmp_path):
    made = make([{"action": np.zeros((3, 2), np.float32), "empty": np.zeros((3, 0)), "complex": np.zeros(3, complex)}])
    made.attrs["control_hz"] = 12.5
    report = lerobot_v3.write(made, tmp_path, Options())
    assert [entry["what"] for entry in report.dropped] == ["empty", "complex"]
    assert report.changed == [{"what": "control_hz", "how": "12.5 became the whole number 12 that LeRobot wants"}]


def test_many_files_read_as_one_set(tmp_path, monkeypatch):
    from demos.formats import lerobot_export

    monkeypatch.setattr(lerobot_export, "DATA_MB", 0)
    monkeypatch.setattr(lerobot_export, "VIDEO_MB", 0)
    monkeypatch.setattr(lerobot_export, "CHUNK", 2)
    made, _, path = exported(tmp_path, images="h264")
    assert [p.relative_to(path).as_posix() for p in sorted(path.glob("data/*/*"))] == [
        DATA,
        "data/chunk-000/file-001.parquet",
        "data/chunk-001/file-000.parquet",
    ]
    assert len(list(path.glob("videos/*/*/*.mp4"))) == 3
    assert_same(lerobot_v3.read(path, Options()), made, close={"rgb_wrist"})


def test_a_foreign_set_imports_and_says_what_it_drops(tmp_path):
    made, _, path = exported(tmp_path, images="h264", metas=[{"task": t} for t in ("pick", "stack", "pick")])
    (path / "meta/toto_robot.json").unlink()
    info = json.loads((path / "meta/info.json").read_text())
    info["features"]["observation.state"]["names"] = {"motors": list("abcde")}
    (path / "meta/info.json").write_text(json.dumps(info))
    source = lerobot_v3.read(path, Options())
    assert source.attrs["proprio_names"] == list("abcde") and source.attrs["control_hz"] == 20
    assert source.attrs["episode_tasks"] == ["pick", "stack", "pick"]
    for (a, _meta), (b, _) in zip(source.episodes(), made.episodes(), strict=True):
        np.testing.assert_array_equal(a["proprio"], b["proprio"])
        np.testing.assert_array_equal(a["reward"], b["reward"])
        assert a["action"].shape == b["action"].shape and a["rgb_wrist"].shape == b["rgb_wrist"].shape


def test_damage_and_other_versions_are_told(tmp_path):
    _, _, path = exported(tmp_path, images="h264")
    read = lambda: list(lerobot_v3.read(path, Options()).episodes())
    info, rows = json.loads((path / "meta/info.json").read_text()), parquet.read_table(path / EPISODES)

    def with_info(**changes):
        (path / "meta/info.json").write_text(json.dumps(info | changes))

    for changes, says in (
        ({"codebase_version": "v1.6"}, "is LeRobot v1.6, expected v2.0, v2.1 or v3.0"),
        ({"fps": None}, "is not a LeRobot info file"),
        ({"total_episodes": 4}, "promises 4 episodes, meta/episodes lists 3"),
        ({"total_episodes": 2}, "promises 2 episodes, meta/episodes lists 3"),
        ({"video_path": "../{video_key}.mp4"}, "leads out of the set"),
        ({"video_path": "{video_key.x}.mp4"}, "no place of observation.images.wrist"),
        ({"fps": 30}, "its times don't fit|expected 4 frames|expected a frame at"),
    ):
        with_info(**changes)
        with pytest.raises(DemoError, match=says):
            read()
    with_info()
    parquet.write_table(rows.slice(0, 2), path / EPISODES)
    with pytest.raises(DemoError, match="promises 3 episodes, meta/episodes lists 2"):
        read()
    parquet.write_table(rows, path / EPISODES)
    video = next(path.glob("videos/*/*/*.mp4"))
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DemoError, match="file-000.mp4"):
        read()
    video.unlink()
    with pytest.raises(DemoError, match="no episode is whole .episode 0 has no videos.*file-000.mp4"):
        read()
    video.write_bytes(whole)
    (path / DATA).write_bytes((path / DATA).read_bytes()[:-40])
    with pytest.raises(DemoError, match="file-000.parquet can't be read"):
        read()


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (slice(0, 10), "episode 2: expected 5 steps, the data end before it"),
        (slice(0, 12), "episode 2: expected 5 steps, the data have 2 of episode 2"),
        (slice(4, 15), "episode 0: expected 4 steps, the data have 6 of episode 1"),
    ],
)
def test_data_that_lack_steps_are_refused(tmp_path, kept, says):
    _, _, path = exported(tmp_path)
    table = parquet.read_table(path / DATA)
    parquet.write_table(table.slice(kept.start, kept.stop - kept.start), path / DATA)
    with pytest.raises(DemoError, match=says):
        list(lerobot_v3.read(path, Options()).episodes())


def test_data_that_go_on_after_the_last_episode_are_refused(tmp_path):
    _, _, path = exported(tmp_path)
    rows, info = parquet.read_table(path / EPISODES), json.loads((path / "meta/info.json").read_text())
    parquet.write_table(rows.slice(0, 2), path / EPISODES)
    (path / "meta/info.json").write_text(json.dumps(info | {"total_episodes": 2}))
    with pytest.raises(DemoError, match="lists 2 episodes, meta/toto_robot.json has the numbers of 3"):
        lerobot_v3.read(path, Options())
    (path / "meta/toto_robot.json").unlink()
    with pytest.raises(DemoError, match="lists 2 episodes, the data go on with 5 steps of episode 2"):
        list(lerobot_v3.read(path, Options()).episodes())


def test_odd_sides_need_png(tmp_path):
    made = make([episode(np.random.default_rng(0), 2, cameras={"wrist": (15, 16)})])
    with pytest.raises(DemoError, match="even sides, and frames here are 16×15; use images=png"):
        lerobot_v3.write(made, tmp_path, Options(images="av1"))


def test_episodes_of_different_kinds_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for other, says in (
        ({"actions": 4}, "expected action as float32"),
        ({}, "expected proprio as float32"),
        ({"keys": ()}, "episode 1 lacks proprio"),
    ):
        made = make([episode(rng, 3, ("proprio",)), episode(rng, 3, **{"keys": ("proprio",), "proprio": 6} | other)])
        with pytest.raises(DemoError, match=says):
            lerobot_v3.write(made, tmp_path, Options())
    made = make([episode(rng, 3, ()), episode(rng, 3, ("reward",))])
    with pytest.raises(DemoError, match="episode 1 has reward, unlike episode 0"):
        lerobot_v3.write(made, tmp_path, Options())


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DemoError, match="pip install pyarrow"):
        lerobot_parquet.pyarrow()

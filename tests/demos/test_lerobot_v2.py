import json
from fractions import Fraction

import numpy as np
import pytest
from foreign_sets import SHARED, episode, make

from demos.errors import DemoError
from demos.formats import lerobot_v3
from demos.formats.source import Options
from demos.formats.video import VideoWriter, psnr_db

pa = pytest.importorskip("pyarrow", reason="pyarrow is an extra: pip install pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
CAMERA, STATE = "observation.images.top", "observation.state"


def write_v2(path, lengths=(4, 6, 5), version="v2.1", names=(["a", "b", "c"],)):
    """A set as lerobot 0.1 to 0.3 wrote it: a Parquet file and an mp4 an episode, chunks of two."""
    rng = np.random.default_rng(0)
    made = make([episode(rng, n, ("proprio",), {"top": (32, 48)}, smooth=True) for n in lengths])
    (path / "meta").mkdir(parents=True)
    features = {
        "action": {"dtype": "float32", "shape": [3], "names": list(names)},
        STATE: {"dtype": "float32", "shape": [5], "names": None},
        CAMERA: {"dtype": "video", "shape": [32, 48, 3], "names": ["height", "width", "channel"]},
    }
    info = {
        "codebase_version": version,
        "robot_type": "so100",
        "fps": 20,
        "total_episodes": len(lengths),
        "chunks_size": 2,
        "features": features | {"episode_index": {"dtype": "int64", "shape": [1], "names": None}},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    (path / "meta/info.json").write_text(json.dumps(info))
    rows = [{"episode_index": i, "tasks": [f"task {i % 2}"], "length": n} for i, n in enumerate(lengths)]
    (path / "meta/episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for i, (data, _) in enumerate(made.episodes()):
        file, video = (
            path / info[key].format(episode_chunk=i // 2, episode_index=i, video_key=CAMERA)
            for key in ("data_path", "video_path")
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        lists = {
            key: pa.FixedSizeListArray.from_arrays(pa.array(data[ours].reshape(-1)), data[ours].shape[1])
            for key, ours in (("action", "action"), (STATE, "proprio"))
        }
        parquet.write_table(pa.table(lists | {"episode_index": pa.array(np.full(len(data["action"]), i))}), file)
        writer = VideoWriter(video, 32, 48, Fraction(20), "h264", None)
        writer.write(data["rgb_top"])
        writer.close()
    return made


@pytest.mark.parametrize("version", ["v2.0", "v2.1"])
def test_an_episode_a_file_reads_as_one_set(tmp_path, version):
    made = write_v2(tmp_path / "set", version=version)
    source = lerobot_v3.read(tmp_path / "set", Options())
    assert source.attrs["robot"] == "so100" and source.attrs["control_hz"] == 20 and not source.facts
    assert source.attrs["action"]["names"] == ["a", "b", "c"]
    for i, ((a, meta), (b, _)) in enumerate(zip(source.episodes(), made.episodes(), strict=True)):
        assert meta == {"task": f"task {i % 2}", "source_episode": i}
        np.testing.assert_array_equal(a["action"], b["action"])
        np.testing.assert_array_equal(a["proprio"], b["proprio"])
        for t in range(len(b["action"])):  # each frame is nearer than its neighbours
            assert int(np.argmax([psnr_db(a["rgb_top"][t], frame) for frame in b["rgb_top"]])) == t


@pytest.mark.parametrize(
    "names", [["a", "b", "c"], {"motors": ["a", "b", "c"]}, {"c": 2, "a": 0, "b": 1}, [["a"], ["b", "c"]]]
)
def test_names_are_found_however_they_are_nested(names):
    assert lerobot_v3._names({"names": names}, "action", 3) == ["a", "b", "c"]
    assert lerobot_v3._names({"names": names}, "action", 4) == [f"action.{i}" for i in range(4)]


def test_a_part_of_a_set_is_read_and_what_is_missing_is_named(tmp_path):
    made = write_v2(tmp_path / "set", lengths=(4, 6, 5, 3, 7))
    for i in (0, 1):
        (tmp_path / f"set/data/chunk-000/episode_{i:06d}.parquet").unlink()
    (tmp_path / f"set/videos/chunk-002/{CAMERA}/episode_000004.mp4").unlink()
    source = lerobot_v3.read(tmp_path / "set", Options())
    assert source.facts["missing"] == (
        f"2 of 5 episodes have no data file: 0-1; episode 4 has no videos/chunk-002/{CAMERA}/episode_000004.mp4"
    )
    found = list(source.episodes())
    assert [meta["source_episode"] for _, meta in found] == [2, 3] and source.attrs["episode_tasks"] == [
        "task 0",
        "task 1",
    ]
    np.testing.assert_array_equal(found[1][0]["action"], list(made.episodes())[3][0]["action"])
    for i in (2, 3):
        (tmp_path / f"set/data/chunk-001/episode_{i:06d}.parquet").unlink()
    with pytest.raises(
        DemoError, match="no episode is whole .4 of 5 episodes have no data file: 0-3; episode 4 has no videos"
    ):
        lerobot_v3.read(tmp_path / "set", Options())


def test_damage_is_told_with_the_file(tmp_path):
    write_v2(path := tmp_path / "set")
    file, video = path / "data/chunk-000/episode_000001.parquet", path / f"videos/chunk-000/{CAMERA}/episode_000001.mp4"
    info, listed = (path / "meta/info.json").read_text(), (path / "meta/episodes.jsonl").read_text()

    def says(words):
        with pytest.raises(DemoError, match=words):
            list(lerobot_v3.read(path, Options()).episodes())

    for damaged, content, words in (
        (file, file.read_bytes()[:-30], "episode_000001.parquet can't be read"),
        (
            file,
            file.with_name("episode_000000.parquet").read_bytes(),
            r"expected steps of episode 1, got those of \[0\]",
        ),
        (video, video.read_bytes()[:200], "episode_000001.mp4"),
        (
            path / "meta/episodes.jsonl",
            listed.replace('"length": 6', '"length": 9').encode(),
            "expected 9 steps, the data have 6",
        ),
        (path / "meta/episodes.jsonl", b"{\n", "episodes.jsonl is not a list"),
        (path / "meta/episodes.jsonl", listed.splitlines()[0].encode(), "promises 3 episodes"),
        (
            path / "meta/info.json",
            info.replace("data/chunk", "../data/chunk").encode(),
            "data_path leads out of the set",
        ),
        (
            path / "meta/info.json",
            info.replace("{episode_chunk:03d}/episode", "{chunk}/episode").encode(),
            "data_path names no file",
        ),
    ):
        whole = damaged.read_bytes()
        damaged.write_bytes(content)
        says(words)
        damaged.write_bytes(whole)
    list(lerobot_v3.read(path, Options()).episodes())


@pytest.mark.skipif(
    not (SHARED / "g1_inspire_lerobot_v21").is_dir(), reason="no ../shared/data/robot/g1_inspire_lerobot_v21"
)
def test_a_real_part_of_a_humanoids_set_imports():
    source = lerobot_v3.read(SHARED / "g1_inspire_lerobot_v21", Options())
    assert source.facts["missing"] == "95 of 100 episodes have no data file: 0-9, 11-27, 31-58, 60-99"
    assert source.attrs["action"]["names"][0] == "kLeftShoulderPitch" and source.attrs["robot"] == "Unitree_G1_Inspire"
    found = list(source.episodes(images=False))
    assert [meta["source_episode"] for _, meta in found] == [10, 28, 29, 30, 59]
    assert sum(len(data["action"]) for data, _ in found) == 1346

import json
import sys

import numpy as np
import pytest

from toto_robot.ground.errors import UserError
from toto_robot.video.decode import read_frames, write_video
from toto_robot.video.sources import open_source

WRIST, FRONT = "observation.images.wrist", "observation.images.front"
V2 = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
V3 = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"


def write_info(root, version, template, episodes=3, cameras=(WRIST, FRONT)):
    features = {key: {"dtype": "video", "shape": [32, 32, 3]} for key in cameras}
    features["action"] = {"dtype": "float32", "shape": [2]}
    (root / "meta").mkdir(parents=True, exist_ok=True)
    (root / "meta" / "info.json").write_text(
        json.dumps(
            {
                "codebase_version": version,
                "total_episodes": episodes,
                "chunks_size": 2,
                "fps": 10,
                "video_path": template,
                "features": features,
            }
        )
    )


def test_version_2_has_a_file_for_each_episode_and_camera(tmp_path):
    write_info(tmp_path, "v2.1", V2)
    for chunk, key, episode in ((0, WRIST, 0), (0, WRIST, 1), (1, WRIST, 2), (0, FRONT, 0), (0, FRONT, 1)):
        path = tmp_path / f"videos/chunk-{chunk:03d}/{key}/episode_{episode:06d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    source = open_source(str(tmp_path))
    assert source.kind == "lerobot" and len(source.items) == 5
    assert [entry["source"] for entry in source.missing] == [f"videos/chunk-001/{FRONT}/episode_000002.mp4"]
    wrist = open_source(str(tmp_path), camera=WRIST)
    assert len(wrist.items) == 3 and not wrist.missing
    with pytest.raises(UserError, match=f"Unknown camera of .*: 'top'.*{FRONT}, {WRIST}"):
        open_source(str(tmp_path), camera="top")


def test_version_3_episodes_are_spans_of_shared_files(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    write_info(tmp_path, "v3.0", V3, cameras=(WRIST,))
    lengths = [20, 25, 18]  # two episodes in the first file, one in the second
    grey = [np.arange(n, dtype=np.uint8) * 8 + 20 * e for e, n in enumerate(lengths)]
    frames = [np.broadcast_to(g[:, None, None, None], (len(g), 32, 32, 3)) for g in grey]
    write_video(tmp_path / f"videos/{WRIST}/chunk-000/file-000.mp4", np.concatenate(frames[:2]), fps=10)
    write_video(tmp_path / f"videos/{WRIST}/chunk-000/file-001.mp4", frames[2], fps=10)
    column = lambda part, values: (f"videos/{WRIST}/{part}", values)
    table = pyarrow.table(
        dict(
            [
                ("episode_index", [0, 1, 2]),
                ("length", lengths),
                column("chunk_index", [0, 0, 0]),
                column("file_index", [0, 0, 1]),
                column("from_timestamp", [0.0, 2.0, 0.0]),
                column("to_timestamp", [2.0, 4.5, 1.8]),
            ]
        )
    )
    (tmp_path / "meta/episodes/chunk-000").mkdir(parents=True)
    parquet.write_table(table, tmp_path / "meta/episodes/chunk-000/file-000.parquet")
    source = open_source(str(tmp_path))
    folder = f"videos/{WRIST}/chunk-000"
    assert [i.name for i in source.items] == [
        f"{folder}/file-{f:03d}.mp4/episode_{e:06d}" for e, f in enumerate((0, 0, 1))
    ]
    for item, wanted in zip(source.items, frames):
        got, times_s = read_frames(item, 32)
        assert len(got) == len(wanted) and np.allclose(times_s, np.arange(len(wanted)) / 10, atol=1e-3)
        assert np.abs(got.mean((1, 2, 3)) - wanted.mean((1, 2, 3))).max() < 4


def test_version_3_without_a_parquet_reader_says_what_to_install(tmp_path, monkeypatch):
    write_info(tmp_path, "v3.0", V3)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        open_source(str(tmp_path))


def test_a_foreign_info_file_can_not_lead_elsewhere(tmp_path):
    for version, template, says in (
        ("v2.1", "../{episode_index}.mp4", "leads out"),
        ("v2.1", "/etc/{episode_index}", "leads out"),
        ("v2.1", "{nothing}.mp4", "unknown field"),
        ("v2.1", "{video_key.x}", "unknown field"),
        ("v9.0", V2, "version v9.0.*v2.1"),
        ("v2.1", None, "video_path None"),
    ):
        write_info(tmp_path, version, template)
        with pytest.raises(UserError, match=says):
            open_source(str(tmp_path))
    write_info(tmp_path, "v2.1", V2, cameras=())
    with pytest.raises(UserError, match="stores no video"):
        open_source(str(tmp_path))


def test_a_depth_map_is_not_a_camera(tmp_path):
    write_info(tmp_path, "v2.1", V2, episodes=1)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    for name, change in (("depth", {"shape": [32, 32, 1]}), ("range", {"info": {"video.is_depth_map": True}})):
        info["features"][f"observation.images.{name}"] = info["features"][WRIST] | change
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match=f"'depth'.*exists: {FRONT}, {WRIST}"):
        open_source(str(tmp_path), camera="depth")

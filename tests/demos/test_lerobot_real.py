"""Our exports, loaded by lerobot 0.4.4 itself (`make compat`)."""

import numpy as np
import pytest
import torch
from foreign_sets import episode, make

pytest.importorskip("lerobot", reason="lerobot is not installed; `make compat` runs this")

# torchvision's compiled part wants the CUDA build of torch; lerobot needs only its Python part, which needs this name.
OPERATORS = torch.library.Library("torchvision", "DEF")
if not hasattr(torch.ops.torchvision, "nms"):
    OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

from demos.formats import lerobot_v3  # noqa: E402
from demos.formats.source import Options  # noqa: E402
from demos.formats.video import psnr_db  # noqa: E402


@pytest.mark.parametrize("images", ["png", "h264", "av1"])
def test_lerobot_reads_what_was_exported(tmp_path, monkeypatch, images):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rng = np.random.default_rng(0)
    episodes = [episode(rng, n, smooth=True, cameras={"wrist": (64, 96), "front": (32, 32)}) for n in (9, 14, 5)]
    tasks = ["pick the cube", "open the drawer", "pick the cube"]
    made = make(episodes, metas=[{"task": task} for task in tasks])
    (tmp_path / "set").mkdir()
    lerobot_v3.write(made, tmp_path / "set", Options(images=images))
    loaded = LeRobotDataset(
        "toto/set",
        root=tmp_path / "set",
        video_backend="pyav",
        delta_timestamps={"action": [0.0, 0.05, 0.1], "observation.images.wrist": [-0.05, 0.0]},
    )
    assert (loaded.num_episodes, loaded.num_frames, loaded.fps) == (3, 28, 20)
    at = 0
    for data, task in zip(episodes, tasks):
        for t in range(len(data["action"])):
            item, last = loaded[at], len(data["action"]) - 1
            assert item["task"] == task and item["next.done"].item() == (t == last)
            np.testing.assert_array_equal(item["observation.state"], data["proprio"][t])
            np.testing.assert_array_equal(item["action"], data["action"][np.minimum(t + np.arange(3), last)])
            assert item["action_is_pad"].tolist() == [t + k > last for k in range(3)]
            np.testing.assert_array_equal(
                item["toto.sim_state"], data["sim_state"][t].astype(np.float32)
            )  # its tensors are
            for key, frames in (
                ("wrist", item["observation.images.wrist"][1]),
                ("front", item["observation.images.front"]),
            ):
                got = (frames.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
                want = data[f"rgb_{key}"][t]
                assert np.array_equal(got, want) if images == "png" else psnr_db(got, want) > 28
            at += 1
    assert loaded.meta.stats["observation.images.wrist"]["mean"].shape == (3, 1, 1)
    assert set(loaded.meta.stats["action"]) >= {"min", "max", "mean", "std", "count", "q01", "q99"}


def test_its_policies_would_see_no_simulator_state(tmp_path):
    from lerobot.datasets.utils import dataset_to_policy_features

    made = make([episode(np.random.default_rng(0), 4)])
    lerobot_v3.write(made, tmp_path, Options())
    loaded = LeRobotDataset("toto/set", root=tmp_path)
    seen = dataset_to_policy_features(loaded.meta.features)
    assert set(seen) == {"action", "observation.state", "observation.images.wrist"}


def test_we_read_what_lerobot_wrote(tmp_path):
    rng = np.random.default_rng(0)
    features = {
        "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
        "observation.state": {"dtype": "float32", "shape": (3,), "names": ["a", "b", "c"]},
        "observation.images.top": {"dtype": "image", "shape": (16, 24, 3), "names": ["height", "width", "channels"]},
    }
    theirs = LeRobotDataset.create("toto/theirs", fps=10, features=features, root=tmp_path / "theirs", use_videos=False)
    wanted = []
    for length in (3, 5):
        frames = [
            {
                "action": rng.normal(size=2).astype(np.float32),
                "observation.state": rng.normal(size=3).astype(np.float32),
                "observation.images.top": rng.integers(0, 256, (16, 24, 3), dtype=np.uint8),
            }
            for _ in range(length)
        ]
        for frame in frames:
            theirs.add_frame(frame | {"task": f"task {length}"})
        theirs.save_episode()
        wanted.append(frames)
    theirs.finalize()
    source = lerobot_v3.read(tmp_path / "theirs", Options())
    assert source.attrs["action"]["names"] == ["x", "y"] and source.attrs["episode_tasks"] == ["task 3", "task 5"]
    for (got, _), frames in zip(source.episodes(), wanted, strict=True):
        np.testing.assert_array_equal(got["action"], [f["action"] for f in frames])
        np.testing.assert_array_equal(got["proprio"], [f["observation.state"] for f in frames])
        np.testing.assert_array_equal(got["rgb_top"], [f["observation.images.top"] for f in frames])

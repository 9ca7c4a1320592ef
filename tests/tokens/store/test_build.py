import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from toto_robot.ground.errors import UserError
from toto_robot.tokens.dvae import DVAE
from toto_robot.tokens.store.build import TokenizeConfig, build_store
from toto_robot.tokens.store.shards import ShardTask, random_view
from toto_robot.tokens.store.token_store import TokenStore
from toto_robot.video.decode import read_frames, write_video


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 256, (20 + 15 * i, 32, 48, 3), dtype=np.uint8)
        write_video(folder / f"{i}.mp4", noise, fps=30)
    return folder


def config(videos, out, tokenizer, **keys):
    return TokenizeConfig(str(videos), str(out), tokenizer, image_size=32, workers=1, **{"files_per_shard": 2, **keys})


def test_rows_are_the_codes_of_the_sampled_frames(videos, tmp_path, tokenizer):
    result = build_store(config(videos, tmp_path / "s", tokenizer))
    store, dvae = TokenStore(tmp_path / "s"), DVAE.load(tokenizer)
    assert result["rows"] == len(store) == 6 and result["left_out"] == 0
    assert store.tokenizer == dvae.fingerprint() and store[0].shape == (16, 16)
    for i in range(len(store)):
        frames, times_s = read_frames(videos / store.row(i)["source"], 32)
        first, last = (np.abs(times_s - store.row(i)[key]).argmin() for key in ("first_s", "last_s"))
        wanted = dvae.encode(frames[[first, last]]).numpy()
        assert np.array_equal(store[i][[0, -1]], wanted)
    store.verify()


def test_overlapping_clips_hold_the_same_codes_where_they_share_frames(videos, tmp_path, tokenizer):
    build_store(config(videos, tmp_path / "s", tokenizer, hop_s=4 / 30))
    store = TokenStore(tmp_path / "s")
    rows = [i for i in range(len(store)) if store.row(i)["source"] == "5.mp4"]
    assert len(rows) > 5
    assert np.array_equal(store[rows[0]][1:], store[rows[1]][:-1])


def test_black_frozen_and_cut_clips_are_counted_and_left_out_on_request(videos, tmp_path, tokenizer):
    scene = np.random.default_rng(9).integers(60, 200, (64, 32, 48, 3), dtype=np.uint8)
    still, black = np.repeat(scene[:1], 64, 0), scene.copy()
    black[20:30] = 0
    for name, frames in {
        "still": still,
        "black": black,
        "cut": np.repeat(np.stack([scene[0], scene[1] // 4]), 32, 0),
    }.items():
        write_video(videos / f"{name}.mp4", frames, fps=30)
    kept = build_store(config(videos, tmp_path / "kept", tokenizer))
    assert {key: kept["clips"][key] for key in ("left_out", "frozen", "black")} == {
        "left_out": 0,
        "frozen": 3,  # black frames repeat each other too
        "black": 1,
    }
    store = TokenStore(tmp_path / "kept")
    of = {store.row(i)["source"]: store.row(i) for i in range(len(store))}
    assert of["still.mp4"]["frozen"] == 15 and of["black.mp4"]["black"] in (2, 3) and of["cut.mp4"]["cuts"] == 1
    fewer = build_store(config(videos, tmp_path / "fewer", tokenizer, max_frozen=0, max_black=0))
    assert fewer["rows"] == kept["rows"] - 3 and fewer["clips"]["left_out"] == 3 and fewer["left_out"] == 3
    reasons = {entry["source"]: entry["reason"] for entry in TokenStore(tmp_path / "fewer").left_out}
    assert set(reasons) == {"still.mp4", "black.mp4", "cut.mp4"} and "max_frozen" in reasons["still.mp4"]


def test_a_broken_or_short_video_is_recorded_with_its_reason_and_the_job_goes_on(videos, tmp_path, tokenizer):
    (videos / "broken.mp4").write_bytes(b"not a video")
    write_video(videos / "short.mp4", np.zeros((9, 32, 32, 3), np.uint8), fps=30)
    result = build_store(config(videos, tmp_path / "s", tokenizer))
    reasons = {entry["source"]: entry["reason"] for entry in TokenStore(tmp_path / "s").left_out}
    assert result["rows"] == 6 and result["left_out"] == 2
    assert "does not decode" in reasons["broken.mp4"] and "the video has 9" in reasons["short.mp4"]


def test_nothing_to_tokenize_is_a_users_mistake(tmp_path, tokenizer):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(UserError, match="not one row.*broken.mp4"):
        build_store(config(tmp_path / "v", tmp_path / "s", tokenizer))
    with pytest.raises(UserError, match="no tokenizer 'nobody'.*embedded"):
        build_store(config(tmp_path / "v", tmp_path / "s", "nobody"))


def test_pictures_fill_rows_by_sixteens(tmp_path, tokenizer):
    for i in range(18):
        Image.fromarray(np.full((40, 40, 3), i * 10, np.uint8)).save(tmp_path / f"{i}.png")
    result = build_store(config(tmp_path, tmp_path / "s", tokenizer))
    store = TokenStore(tmp_path / "s")
    assert len(store) == 1 and store.kind(0) == 1 and len(store.row(0)["source"]) == 16 and result["left_out"] == 2


def test_a_finished_job_makes_nothing_again_and_a_changed_one_only_what_changed(videos, tmp_path, tokenizer):
    first = build_store(config(videos, tmp_path / "s", tokenizer))
    again = build_store(config(videos, tmp_path / "s", tokenizer))
    assert again["shards_made_now"] == 0 and again["fingerprint"] == first["fingerprint"]
    os.utime(videos / "5.mp4", (1, 1))
    changed = build_store(config(videos, tmp_path / "s", tokenizer))
    assert changed["shards_made_now"] == 1 and changed["fingerprint"] == first["fingerprint"]
    assert len(list((tmp_path / "s" / "shards").iterdir())) == 3


def test_the_parts_of_the_split_are_disjoint_and_together_everything(videos, tmp_path, tokenizer):
    sources = {}
    for part in ("train", "held_out"):
        build_store(config(videos, tmp_path / part, tokenizer, part=part, held_out=0.34))
        store = TokenStore(tmp_path / part)
        sources[part] = {store.row(i)["source"] for i in range(len(store))}
    assert len(sources["held_out"]) == 2 and len(sources["train"]) == 4 and not sources["train"] & sources["held_out"]


def test_a_pool_of_processes_makes_the_same_store(videos, tmp_path, tokenizer):
    alone = build_store(config(videos, tmp_path / "a", tokenizer))
    pool = build_store(
        TokenizeConfig(str(videos), str(tmp_path / "b"), tokenizer, image_size=32, workers=2, files_per_shard=2)
    )
    assert alone["fingerprint"] == pool["fingerprint"]


def test_a_store_killed_half_way_goes_on_to_the_same_result(videos, tmp_path, tokenizer):
    whole = build_store(config(videos, tmp_path / "whole", tokenizer, files_per_shard=1))
    command = [
        sys.executable,
        "-m",
        "toto_robot.tokenize",
        str(videos),
        str(tmp_path / "s"),
        f"tokenizer={tokenizer}",
        "image_size=32",
        "workers=1",
        "files_per_shard=1",
    ]
    job = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    shards = tmp_path / "s" / "shards"
    while job.poll() is None and len(list(shards.glob("0*")) if shards.is_dir() else []) < 2:
        time.sleep(0.002)
    job.send_signal(signal.SIGKILL)
    job.wait()
    made = len(list(shards.glob("0*")))
    resumed = build_store(config(videos, tmp_path / "s", tokenizer, files_per_shard=1))
    assert resumed["fingerprint"] == whole["fingerprint"]
    assert resumed["shards_made_now"] <= 6 - made < 6  # its worker may have finished one more before it noticed
    assert not [p for p in shards.iterdir() if p.name.startswith(".")]
    assert json.loads((tmp_path / "s" / "store.json").read_text())["rows"] == 6


@pytest.mark.parametrize(
    "wrong", [dict(part="test"), dict(frames=0), dict(hop_s=0.0), dict(image_size=100), dict(workers=-1)]
)
def test_impossible_keys_are_refused(wrong):
    with pytest.raises(UserError, match="expected|What exists"):
        TokenizeConfig("a", "b", **wrong)


def test_random_views_are_rows_that_depend_on_the_video_and_the_clip_alone(videos, tmp_path, tokenizer):
    views = dict(views=3, mirror=True)
    result = build_store(config(videos, tmp_path / "s", tokenizer, **views))
    store = TokenStore(tmp_path / "s")
    assert result["rows"] == len(store) == 18 and [store.row(i)["view"] for i in range(3)] == [0, 1, 2]
    assert len({store[i].tobytes() for i in range(18)}) == 18
    again = build_store(config(videos, tmp_path / "t", tokenizer, files_per_shard=6, **views))
    other = TokenStore(tmp_path / "t")
    assert all(np.array_equal(store[i], other[i]) for i in range(18))
    centre = build_store(config(videos, tmp_path / "c", tokenizer))
    assert len({made["fingerprint"] for made in (result, centre)}) == 2 and again["rows"] == 18


def test_a_random_view_is_one_square_of_every_frame_and_may_be_mirrored():
    frames = np.broadcast_to(np.arange(51, dtype=np.uint8)[None, None, :, None], (4, 51, 51, 3))
    task = ShardTask("t", "s", (), "none", 32, 4, 0.1, 0.4, views=1, mirror=True)
    made = [random_view(frames, f"clip {i}", task) for i in range(40)]
    assert all(view.shape == (4, 32, 32, 3) and (view == view[:1]).all() for view in made)
    rising = [view[0, 0, -1, 0] > view[0, 0, 0, 0] for view in made]
    assert 8 < sum(rising) < 32
    spans = [abs(int(view[0, 0, -1, 0]) - int(view[0, 0, 0, 0])) for view in made]
    assert min(spans) >= 30 and max(spans) > 42
    with pytest.raises(UserError, match="views"):
        TokenizeConfig("v", "s", mirror=True)

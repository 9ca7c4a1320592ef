import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from toto_robot.tokens.store.build import TokenizeConfig, build_store
from toto_robot.tokens.store.executors import run_local
from toto_robot.tokens.store.shards import ShardTask
from toto_robot.tokens.store.token_store import TokenStore, read_shard_rows
from toto_robot.video.decode import write_video
from toto_robot.video.items import Item, media


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
        write_video(folder / f"{i}.mp4", noise, fps=30)
    return folder


@dataclass(frozen=True, slots=True)
class Bomb(Item):
    """A file whose decoder dies of a signal; with a `fuse`, only until that file is there."""

    fuse: str = ""

    def open(self):
        if not self.fuse or not Path(self.fuse).exists():
            if self.fuse:
                Path(self.fuse).touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return super(Bomb, self).open()


class Bug(Item):
    def open(self):
        raise KeyError("a mistake of ours")


def tasks(tmp_path, tokenizer, *shards):
    return [
        ShardTask(str(i), str(tmp_path), tuple(items), tokenizer, 32, 16, 4 / 30, 64 / 30)
        for i, items in enumerate(shards)
    ]


def like(item, kind, name, **more):
    return kind(name, item.kind, item.size, item.stamp, item.path, **more)


def test_a_file_that_crashes_its_decoder_is_named_and_costs_nothing_else(tmp_path, tokenizer, videos):
    good = media(videos, ("video",))
    bombs = [like(good[0], Bomb, f"bomb{i}.mp4") for i in range(2)]
    steps = list(run_local(tasks(tmp_path, tokenizer, [good[0], bombs[0], good[1], bombs[1]], good[2:]), workers=2))
    first, second = read_shard_rows(tmp_path, "0"), read_shard_rows(tmp_path, "1")
    assert [row["source"] for row in first["rows"]] == ["0.mp4", "1.mp4"] and len(second["rows"]) == 2
    assert [entry["source"] for entry in first["left_out"]] == ["bomb0.mp4", "bomb1.mp4"]
    assert all("SIGSEGV, 2 times" in entry["reason"] and entry["failed"] for entry in first["left_out"])
    assert sum(s.shards for s in steps) == 2 and sum(s.frames for s in steps) == 4 * 16
    assert sum(s.bytes for s in steps) == sum(i.size for i in [*good, *bombs])


def test_a_process_that_dies_once_blames_no_file(tmp_path, tokenizer, videos):
    good = media(videos, ("video",))
    once = like(good[0], Bomb, "once.mp4", fuse=str(tmp_path / "fuse"))
    list(run_local(tasks(tmp_path, tokenizer, [once, good[1]]), workers=1))
    found = read_shard_rows(tmp_path, "0")
    assert [row["source"] for row in found["rows"]] == ["once.mp4", "1.mp4"] and not found["left_out"]


def test_a_bug_in_a_worker_reaches_the_parent_with_its_traceback(tmp_path, tokenizer, videos):
    with pytest.raises(KeyError, match="a mistake of ours") as caught:
        list(run_local(tasks(tmp_path, tokenizer, [like(media(videos, ("video",))[0], Bug, "x.mp4")]), workers=1))
    assert "make_shard" in caught.value.__notes__[0]


def config(videos, out, tokenizer, **keys):
    return TokenizeConfig(str(videos), str(out), tokenizer, image_size=32, workers=1, files_per_shard=1, **keys)


def test_ranks_share_the_shards_and_the_last_one_writes_the_index(tmp_path, tokenizer, videos, monkeypatch):
    alone = build_store(config(videos, tmp_path / "alone", tokenizer))
    monkeypatch.setenv("WORLD_SIZE", "3")
    made = []
    for rank in (2, 0, 1):
        monkeypatch.setenv("RANK", str(rank))
        made.append(build_store(config(videos, tmp_path / "ranks", tokenizer)))
    so_far = np.cumsum([m["shards_made_now"] for m in made])
    assert [m.get("shards_of_other_ranks_to_come", 0) for m in made] == (4 - so_far).tolist() and so_far[-1] == 4
    assert [m.get("fingerprint") for m in made] == [alone["fingerprint"] if n == 4 else None for n in so_far]
    assert TokenStore(tmp_path / "ranks").fingerprint == alone["fingerprint"]


def test_a_ray_cluster_makes_the_same_store(tmp_path, tokenizer, videos):
    ray = pytest.importorskip("ray")
    alone = build_store(config(videos, tmp_path / "alone", tokenizer))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        made = build_store(config(videos, tmp_path / "ray", tokenizer, executor="ray"))
    finally:
        ray.shutdown()
    assert made["fingerprint"] == alone["fingerprint"] and made["shards_made_now"] == 4

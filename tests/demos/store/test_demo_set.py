"""The store: what goes in comes out, and nothing that stops a writer harms what it had finished."""

import contextlib
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_set import assert_same, attrs, episode

from demos import DemoError, DemoSet, DemoWriter
from demos.store import disk, schema, verify

ROOT = Path(__file__).parents[3]


def test_episodes_come_back_as_they_went_in(three):
    demos = DemoSet(three)
    assert demos.episodes == 3 and demos.lengths.tolist() == [11, 300, 5] and demos.steps == 316
    for i, length in enumerate((11, 300, 5)):
        assert_same(demos.episode(i), episode(i, length))
    assert demos.meta("seed").tolist() == [0, 1, 2] and demos.meta("success").all()
    assert demos.meta("length").tolist() == [11, 300, 5]
    assert verify(three) == []


def test_a_slice_is_a_part_of_its_episode(three):
    demos, whole = DemoSet(three), episode(1, 300)
    for start, stop in ((0, 1), (250, 260), (299, 300), (7, 7)):
        np.testing.assert_array_equal(demos.slice("action", 1, start, stop), whole["action"][start:stop])
    with pytest.raises(DemoError, match="it has 300"):
        demos.slice("action", 1, 290, 301)


def test_plain_zarr_reads_it_by_diffusion_policys_names(three):
    group = zarr.open_group(three, mode="r")
    ends, starts = group["meta/episode_ends"][:], group["meta/episode_starts"][:]
    assert ends.dtype == np.int64 and group["data/action"].shape[0] == ends[-1]
    np.testing.assert_array_equal(group["data/action"][starts[1] : ends[1]], episode(1, 300)["action"])
    assert group["data/rgb_wrist"].shards[0] % group["data/rgb_wrist"].chunks[0] == 0


def test_no_file_of_a_finished_episode_is_written_again(three):
    shards = {p: (p.stat().st_ino, p.read_bytes()) for p in (three / "data").rglob("c.*")}
    with DemoWriter(three, attrs(), resume=True) as writer:
        writer.append(episode(3), {"seed": 3, "index": 3})
    assert {p: (p.stat().st_ino, p.read_bytes()) for p in shards} == shards


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 600), min_size=1, max_size=4),
    extra=st.sampled_from(["uint8", "int16", "int64", "float32", "float64", "bool"]),
    tail=st.lists(st.integers(1, 3), max_size=3),
)
def test_any_lengths_shapes_and_types_survive(tmp_path_factory, lengths, extra, tail):
    path = tmp_path_factory.mktemp("set") / "set"
    made = []
    with DemoWriter(path, attrs()) as writer:
        for seed, length in enumerate(lengths):
            data = {
                "action": episode(seed, length)["action"],
                "obs_extra": (np.random.default_rng(seed).random((length, *tail)) * 100).astype(extra),
            }
            made.append(data)
            writer.append(data)
    demos = DemoSet(path)
    assert demos.lengths.tolist() == lengths
    for i, data in enumerate(made):
        assert_same(demos.episode(i), data)


def test_a_reader_sees_an_episode_when_it_is_finished_and_keeps_its_view_until_it_refreshes(tmp_path):
    with DemoWriter(tmp_path / "set", attrs()) as writer:
        demos = DemoSet(tmp_path / "set")
        assert (demos.episodes, demos.keys) == (0, ())
        writer.append(episode(0))
        assert demos.episodes == 0 and demos.refresh() == 1
        assert_same(demos.episode(0), episode(0))
        writer.append(episode(1))
        assert demos.episodes == 1
        assert_same(demos.episode(0), episode(0))
        assert demos.refresh() == 1
        assert_same(pickle.loads(pickle.dumps(demos)).episode(1), episode(1))


def test_a_second_writer_is_refused_and_told_who_holds_the_set(tmp_path):
    with DemoWriter(tmp_path / "set", attrs()), pytest.raises(DemoError, match=f"process {os.getpid()}"):
        DemoWriter(tmp_path / "set", attrs(), resume=True)
    DemoWriter(tmp_path / "set", attrs(), resume=True).close()


class Stopped(BaseException):
    pass


def test_a_writer_that_stops_at_any_file_loses_only_its_episode(tmp_path, monkeypatch):
    """Nothing reaches the disk from the k-th rename on, for every k until the append succeeds."""
    real = os.replace
    for k in range(60):
        path = tmp_path / str(k)
        with DemoWriter(path, attrs()) as writer:
            if k % 2:
                writer.append(episode(0))
            count = iter(range(10**6))

            def replace(a, b):
                if next(count) >= k:
                    raise Stopped
                real(a, b)

            monkeypatch.setattr(disk.os, "replace", replace)
            try:
                writer.append(episode(1, 20))
                stopped = False
            except Stopped:
                stopped = True
            monkeypatch.setattr(disk.os, "replace", real)
            left = DemoSet(path)
            assert left.episodes == k % 2 + (not stopped)
            assert verify(path) == []
        with DemoWriter(path, attrs(), resume=True) as writer:
            writer.append(episode(2, 9))
        demos = DemoSet(path)
        assert demos.episodes == left.episodes + 1 and verify(path) == []
        assert_same(demos.episode(demos.episodes - 1), episode(2, 9))
        if k % 2:
            assert_same(demos.episode(0), episode(0))
        assert not list(path.rglob(".tmp-*"))
        if not stopped and k % 2:
            return
    raise AssertionError("an append renames more than 60 files")


def test_a_full_disk_stops_one_episode_and_the_same_writer_goes_on(tmp_path, monkeypatch):
    real = os.fsync

    def full(handle):
        raise OSError(28, "No space left on device")

    with DemoWriter(tmp_path / "set", attrs()) as writer:
        writer.append(episode(0))
        monkeypatch.setattr(disk.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            writer.append(episode(1))
        monkeypatch.setattr(disk.os, "fsync", real)
        assert writer.append(episode(2)) == 1
    assert_same(DemoSet(tmp_path / "set").episode(1), episode(2))
    assert verify(tmp_path / "set") == []


WRITE_FOR_EVER = """
import itertools, sys
sys.path.insert(0, "tests/demos")
from demos import DemoWriter
from sample_set import attrs, episode
with DemoWriter(sys.argv[1], attrs(), resume=True) as writer:
    print("ready", flush=True)
    for i in itertools.count(writer.episodes):
        writer.append(episode(i, 10 + i % 40), {"seed": i})
"""


def test_sigkill_leaves_every_finished_episode_whole(tmp_path):
    path, before = tmp_path / "set", 0
    for delay in (0.05, 0.21, 0.4):
        job = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
        job.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.wait(delay)
        assert job.poll() is None
        job.kill()
        job.wait()
        demos = DemoSet(path)
        assert demos.episodes >= before and verify(path) == []
        for i in range(demos.episodes):
            assert_same(demos.episode(i), episode(i, 10 + i % 40))
        before = demos.episodes


def test_an_imported_set_needs_only_actions_and_a_rate(tmp_path):
    with DemoWriter(tmp_path / "set", attrs()) as writer:
        writer.append({"action": np.zeros((3, 2))})
    demos = DemoSet(tmp_path / "set")
    assert demos.keys == ("action",) and demos.dtype("action") == np.float32 and demos.shape("action") == (2,)


@pytest.mark.parametrize(
    ("data", "meta", "words"),
    [
        ({}, {}, "needs 'action'"),
        ({"action": np.zeros((0, 2))}, {}, "at least one step"),
        ({"action": np.zeros((2, 2)), "reward": np.zeros(3)}, {}, "reward has shape"),
        ({"action": np.zeros((2, 2)), "rgb_a": np.zeros((2, 4, 4, 3), np.float32)}, {}, "expected uint8"),
        ({"action": np.zeros((2, 2)), "rgb_a": np.zeros((2, 4, 4), np.uint8)}, {}, "pictures"),
        ({"action": np.array([["a"], ["b"]])}, {}, "no objects, no text"),
        ({"action": np.zeros((2, 2)), "Bad name": np.zeros(2)}, {}, "lower-case"),
        ({"action": np.zeros((2, 2))}, {"task": "pick"}, "one number"),
        ({"action": np.zeros((2, 2))}, {"episode_ends": 3}, "one number"),
    ],
)
def test_an_episode_that_does_not_fit_the_schema_is_refused_by_name(tmp_path, data, meta, words):
    with DemoWriter(tmp_path / "set", attrs()) as writer:
        with pytest.raises(DemoError, match=words):
            writer.append(data, meta)
        writer.append({"action": np.zeros((2, 2))})


def test_an_episode_unlike_the_first_is_refused_and_the_set_stays_whole(three):
    with DemoWriter(three, attrs(), resume=True) as writer:
        for change, words in (
            ({"reward": np.zeros(11)}, "same keys"),
            ({"action": np.zeros((11, 3))}, "a step of action"),
        ):
            with pytest.raises(DemoError, match=words):
                writer.append(episode(0) | change, {"seed": 0, "index": 0})
        with pytest.raises(DemoError, match="same numbers"):
            writer.append(episode(0), {"seed": 0})
        writer.append(episode(3), {"seed": 3, "index": 3})
    assert verify(three) == [] and DemoSet(three).episodes == 4


def test_a_set_is_continued_only_when_asked_and_only_with_its_own_settings(three, tmp_path):
    with pytest.raises(DemoError, match="3 episodes.*resume=true"):
        DemoWriter(three, attrs())
    with pytest.raises(DemoError, match="control_hz is 20.0 there and 30.0 now"):
        DemoWriter(three, attrs(control_hz=30), resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("...")
    with pytest.raises(DemoError, match="not a demonstration set"):
        DemoWriter(tmp_path / "other", attrs())
    assert os.listdir(tmp_path / "other") == ["thesis.tex"]


def test_a_set_without_an_episode_is_begun_anew_with_other_settings(tmp_path):
    """The set of a command that stopped before its first episode, for example because of a typing error."""
    DemoWriter(tmp_path / "set", attrs(control_hz=30, env="other")).close()
    with DemoWriter(tmp_path / "set", attrs()) as writer:
        with pytest.raises(DemoError, match="being written by process"):
            DemoWriter(tmp_path / "set", attrs(control_hz=30))
        writer.append(episode(0), {"seed": 0, "index": 0})
    assert DemoSet(tmp_path / "set").attrs["control_hz"] == 20 and verify(tmp_path / "set") == []


@pytest.mark.parametrize("after", ["nothing", "the new data"])
def test_a_reader_may_come_while_a_set_without_an_episode_is_begun_anew(tmp_path, monkeypatch, after):
    """A writer was killed in the first episode. The next one replaces its folders while the reader looks."""
    path = tmp_path / "set"
    with DemoWriter(path, attrs()) as writer:
        monkeypatch.setattr(writer, "_put", lambda *a: None)
        writer.append(episode(0))
    assert DemoSet(path).episodes == 0 and (path / "data").is_dir()
    marker, exists = path / "meta" / "episode_ends" / "zarr.json", Path.exists

    def cleared(self):
        there = exists(self)
        if self == marker and (there or after == "the new data"):
            monkeypatch.setattr(Path, "exists", exists)
            if there:
                shutil.rmtree(path / "meta")
                shutil.rmtree(path / "data")
            else:
                with DemoWriter(path, attrs(), resume=True) as writer:
                    monkeypatch.setattr(writer, "_put", lambda *a: None)
                    writer.append(episode(0))
        return there

    if after == "the new data":
        shutil.rmtree(path / "meta")
        shutil.rmtree(path / "data")
    monkeypatch.setattr(Path, "exists", cleared)
    assert DemoSet(path).episodes == 0


def test_a_place_that_can_not_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match="can't be written.*another path"):
        DemoWriter(tmp_path / "file" / "set", attrs())


def test_many_episodes_use_many_meta_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "META_CHUNK", 2)
    with DemoWriter(tmp_path / "set", attrs()) as writer:
        for i in range(5):
            writer.append({"action": np.full((3, 2), i)}, {"seed": i})
    assert DemoSet(tmp_path / "set").meta("seed").tolist() == [0, 1, 2, 3, 4]


def test_intrinsics_put_the_centre_in_the_middle_and_the_edge_at_half_the_angle():
    k = schema.intrinsics(128, 96, 90.0)
    assert (k["cx"], k["cy"]) == (64, 48) and k["fy"] == pytest.approx(48) and k["fx"] == k["fy"]

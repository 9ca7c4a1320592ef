"""Damaged sets: each is refused, or put right, with a sentence that names the cause."""

import json

import numpy as np
import pytest
import zarr
from sample_set import assert_same, attrs, episode

from demos import DemoError, DemoSet, DemoWriter
from demos.store import verify


def edit(path, change):
    """Apply `change` to the parsed JSON of `path`."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def set_shape(path, length):
    edit(path, lambda c: c["shape"].__setitem__(0, length))


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


def promise_more(path):
    """episode_ends promises more steps than data holds."""
    chunk = path / "meta/episode_ends/c.0"
    values = np.frombuffer(chunk.read_bytes(), "<i8").copy()
    values[2] += 1000
    chunk.write_bytes(values.tobytes())


def shuffle_ends(path):
    chunk = path / "meta/episode_ends/c.0"
    values = np.frombuffer(chunk.read_bytes(), "<i8").copy()
    values[:2] = values[1::-1]
    chunk.write_bytes(values.tobytes())


SHARD = "data/rgb_wrist/c.1.0.0.0"
ON_OPENING = {
    "older schema": (
        lambda p: edit(p / "zarr.json", lambda c: c["attributes"].update(schema=0)),
        "schema 0.*older version",
    ),
    "newer schema": (lambda p: edit(p / "zarr.json", lambda c: c["attributes"].update(schema=99)), "schema 99.*Update"),
    "another format": (
        lambda p: edit(p / "zarr.json", lambda c: c["attributes"].update(format="x")),
        "not a demonstration set",
    ),
    "attribute gone": (
        lambda p: edit(p / "zarr.json", lambda c: c["attributes"].pop("control_hz")),
        "lacks.*control_hz",
    ),
    "control_hz is text": (
        lambda p: edit(p / "zarr.json", lambda c: c["attributes"].update(control_hz="20")),
        "positive number",
    ),
    "root cut short": (
        lambda p: (p / "zarr.json").write_text((p / "zarr.json").read_text()[:80]),
        "zarr.json is damaged",
    ),
    "root gone": (lambda p: (p / "zarr.json").unlink(), "expected a folder with a zarr.json"),
    "wrong dtype": (
        lambda p: edit(p / "data/action/zarr.json", lambda c: c.update(data_type="int32")),
        "data/action has type int32, expected float32",
    ),
    "array description gone": (lambda p: (p / "data/action/zarr.json").unlink(), "data/action is missing"),
    "array description cut short": (
        lambda p: (p / "data/action/zarr.json").write_text("{"),
        "action/zarr.json is damaged",
    ),
    "ends beyond data": (promise_more, "promises 1\\d+ steps.*holds"),
    "data shorter than ends": (
        lambda p: set_shape(p / "data/action/zarr.json", 100),
        "promises.*data/action holds 100",
    ),
    "meta shorter than ends": (
        lambda p: set_shape(p / "meta/seed/zarr.json", 2),
        "promises 3 episodes.*meta/seed holds 2",
    ),
    "ends out of order": (shuffle_ends, "contradict"),
    "ends gone": (lambda p: [f.unlink() for f in (p / "meta/episode_ends").iterdir()] and None, "no meta/episode_ends"),
    "ends' chunk gone": (lambda p: (p / "meta/episode_ends/c.0").unlink(), "episode_ends can't be read.*missing"),
}
ON_READING = {
    "missing shard": (lambda p: (p / SHARD).unlink(), f"file {SHARD} is missing"),
    "truncated shard": (lambda p: (p / SHARD).write_bytes((p / SHARD).read_bytes()[:-40]), f"{SHARD}.*damaged"),
    "empty shard": (lambda p: (p / SHARD).write_bytes(b""), f"file {SHARD} is empty"),
    "flipped bit in a chunk": (lambda p: flip(p / SHARD, 200), f"{SHARD}.*damaged"),
    "flipped bit in an index": (lambda p: flip(p / SHARD, -30), f"{SHARD}.*damaged"),
}


@pytest.mark.parametrize("name", ON_OPENING)
def test_damage_that_shows_on_opening_is_named(three, name):
    harm, words = ON_OPENING[name]
    harm(three)
    with pytest.raises(DemoError, match=words):
        DemoSet(three)
    found = verify(three)
    assert len(found) == 1
    with pytest.raises(DemoError):
        DemoWriter(three, attrs(), resume=True)  # a writer must not build on it


@pytest.mark.parametrize("name", ON_READING)
def test_damage_inside_the_data_is_named_and_leaves_the_other_episodes_readable(three, name):
    harm, words = ON_READING[name]
    harm(three)
    demos = DemoSet(three)
    with pytest.raises(DemoError, match=words):
        demos.episode(1)
    assert_same(demos.episode(0), episode(0, 11))
    assert_same(demos.episode(2), episode(2, 5))
    found = verify(three)
    assert len(found) == 1 and "episode 1" in found[0]


def test_the_remains_of_an_unfinished_episode_are_cleared_away(three):
    """Longer arrays, a stale shard, a temporary file: what a kill leaves."""
    (three / "data/action/.tmp-c.4-00").write_bytes(b"half")
    (three / "data/action/c.9.0").write_bytes(b"stale")
    set_shape(three / "data/action/zarr.json", 5000)
    set_shape(three / "meta/seed/zarr.json", 4)
    assert verify(three) == [] and DemoSet(three).meta("seed").tolist() == [0, 1, 2]
    with DemoWriter(three, attrs(), resume=True) as writer:
        writer.append(episode(3, 700), {"seed": 3, "index": 3})
    assert not (three / "data/action/.tmp-c.4-00").exists() and not (three / "data/action/c.9.0").exists()
    assert verify(three) == []
    assert_same(DemoSet(three).episode(3), episode(3, 700))


def test_numbers_that_contradict_each_other_are_named(tmp_path):
    with DemoWriter(tmp_path / "set", attrs()) as writer:
        writer.append(
            {"action": [[np.nan, 0]] * 3, "timestamp_s": [0, 1, 1], "success": [False] * 3}, {"success": True}
        )
    text = " ".join(verify(tmp_path / "set"))
    assert "action x is nan: not a finite number" in text and "does not rise" in text and "meta/success" in text


def test_an_older_zarr_format_and_a_wrong_path_say_what_to_do(tmp_path):
    zarr.create_group(tmp_path / "old", zarr_format=2)
    with pytest.raises(DemoError, match="zarr v2 group.*convert"):
        DemoSet(tmp_path / "old")
    DemoWriter(tmp_path / "good", attrs()).close()
    with pytest.raises(DemoError, match="sets beside it: good"):
        DemoSet(tmp_path / "god")

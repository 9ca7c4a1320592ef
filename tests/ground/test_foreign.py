"""What foreign files may ask for: nothing outside of their folder, and bytes, pixels and seconds within limits."""

import os

import numpy as np
import pytest

from toto_robot.ground import foreign
from toto_robot.ground.errors import UserError
from toto_robot.ground.foreign import (
    allowing,
    check_bytes,
    check_inside,
    check_picture,
    check_shape,
    in_time,
    most_bytes,
    read_json,
    within_memory,
)


def test_a_link_out_of_the_folder_is_refused_at_any_depth_and_one_inside_is_not(tmp_path):
    (tmp_path / "set" / "a" / "b").mkdir(parents=True)
    (tmp_path / "set" / "a" / "x").write_text("ours")
    (tmp_path / "secret").write_text("theirs")
    (tmp_path / "set" / "a" / "b" / "in").symlink_to("../x")
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    check_inside(tmp_path / "set")
    for target in (tmp_path / "secret", tmp_path, "../../../secret", "/dev/zero", tmp_path / "not there"):
        link = tmp_path / "set" / "a" / "b" / "out"
        link.symlink_to(target)
        with pytest.raises(UserError, match="b/out is a link to .* outside of"):
            check_inside(tmp_path / "set")
        link.unlink()
    (tmp_path / "settings").mkdir()
    (tmp_path / "set" / "near").symlink_to(tmp_path / "settings")  # a name that begins with the folder's
    with pytest.raises(UserError, match="near is a link"):
        check_inside(tmp_path / "set")


def test_the_folder_itself_may_be_a_link_and_a_pipe_in_it_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "named").symlink_to(tmp_path / "real")
    check_inside(tmp_path / "named")
    check_inside(tmp_path / "missing")
    os.mkfifo(tmp_path / "real" / "pipe")
    with pytest.raises(UserError, match="pipe is not a regular file"):
        check_inside(tmp_path / "named")
    with pytest.raises(UserError, match="not a regular file"):
        check_inside(tmp_path / "real" / "pipe")


def test_the_links_of_a_hugging_face_download_are_allowed(tmp_path):
    snapshot, blobs = tmp_path / "datasets--x" / "snapshots" / "abc", tmp_path / "datasets--x" / "blobs"
    snapshot.mkdir(parents=True), blobs.mkdir()
    (blobs / "0f").write_text("data")
    (snapshot / "info.json").symlink_to("../../blobs/0f")
    check_inside(snapshot)
    (blobs / "1f").symlink_to("/etc/hostname")
    (snapshot / "other.json").symlink_to("../../blobs/1f")
    with pytest.raises(UserError, match="other.json is a link to /etc/hostname"):
        check_inside(snapshot)


def test_a_declared_size_is_compared_before_memory_is_taken():
    assert check_shape((10, 3), 4, "x") == 120 and check_shape((0, 2**62), 8, "x") == 0
    for shape in ((2**31, 2**31), (10**9, 5), (2**62, 2**62, 2**62)):
        with pytest.raises(UserError, match=r"x: expected at most 4 GB .* max_gb="):
            check_shape(shape, 1, "x")
    with pytest.raises(UserError, match="impossible"):
        check_shape((-1, 5), 1, "x")
    with allowing(6):
        assert check_bytes(5 * 10**9, "x") and most_bytes() == 6 * 10**9
    assert most_bytes() == 4 * 10**9


@pytest.mark.parametrize("side", [(0, 5), (-1, 5), (16_385, 1), (16_384, 16_384), (2**40, 2**40)])
def test_a_picture_has_limits_on_its_sides_and_its_area(side):
    check_picture(16_384, 8_192, "x")
    with pytest.raises(UserError, match="x: expected a picture of at most 16384 px"):
        check_picture(*side, "x")


def test_only_the_time_inside_counts(monkeypatch):
    now = iter(np.arange(0.0, 1e6, 25.0))  # 25 s between two looks at the clock
    monkeypatch.setattr(foreign.time, "thread_time", lambda: next(now))
    assert list(in_time(range(2), 0, "x")) == [0, 1]
    with pytest.raises(UserError, match="x takes more than 60 s"):
        list(in_time(range(4), 0, "x"))
    assert len(list(in_time(range(4), 10**6, "x"))) == 4


def test_json_that_is_nested_too_deeply_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("[" * 200_000)
    with pytest.raises(UserError, match="x.json is not JSON"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"a": [1, 2.5, null]}')
    assert read_json(tmp_path / "x.json") == {"a": [1, 2.5, None]}
    with pytest.raises(UserError, match="expected at most 3"):
        read_json(tmp_path / "x.json", most=3)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="Linux only")
def test_a_larger_allocation_than_declared_fails_inside_and_not_after():
    with within_memory(1 << 20):
        np.ones(1 << 20, np.uint8)
        with pytest.raises(MemoryError):
            np.empty(foreign.SPARE + (1 << 28), np.uint8)
    assert len(np.empty(foreign.SPARE + (1 << 28), np.uint8))

import os
import signal
import subprocess
import sys

import pytest

from toto_robot.ground.atomic import atomic_file, atomic_folder, atomic_write_bytes, atomic_write_text
from toto_robot.ground.errors import UserError


def names(path):
    return sorted(p.name for p in path.iterdir())


def test_a_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    atomic_write_text(tmp_path / "deep" / "a.txt", "é one")
    atomic_write_bytes(tmp_path / "deep" / "a.txt", b"two")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == b"two" and names(tmp_path / "deep") == ["a.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    atomic_write_text(tmp_path / "a", "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError):
        atomic_write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    for text in ("one", "two"):
        with atomic_folder(tmp_path / "f") as folder:
            (folder / text).write_text(text)
            assert not (tmp_path / "f" / text).exists()
        assert names(tmp_path / "f") == [text] and names(tmp_path) == ["f"]


def test_a_folder_whose_block_raises_is_not_made_and_keeps_the_old_one(tmp_path):
    with atomic_folder(tmp_path / "f") as folder:
        (folder / "kept").write_text("")
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "f") as folder:
        (folder / "lost").write_text("")
        raise RuntimeError
    assert names(tmp_path) == ["f"] and names(tmp_path / "f") == ["kept"]


def test_a_kill_during_a_write_leaves_the_old_file(tmp_path):
    atomic_write_text(tmp_path / "a", "old")
    code = (
        "import os, signal, sys; from toto_robot.ground.atomic import atomic_write_bytes\n"
        "os.replace = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic_write_bytes(sys.argv[1], b'new' * 10**6)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")])
    assert done.returncode == -signal.SIGKILL and (tmp_path / "a").read_text() == "old"


def test_a_file_that_the_block_writes_appears_under_its_name_or_not_at_all(tmp_path):
    with atomic_file(tmp_path / "deep" / "a", prefix=".tmp-") as temporary:
        temporary.write_text("one")
        assert temporary.name.startswith(".tmp-a") and not (tmp_path / "deep" / "a").exists()
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "deep" / "a") as temporary:
        temporary.write_text("two")
        raise RuntimeError
    assert (tmp_path / "deep" / "a").read_text() == "one" and names(tmp_path / "deep") == ["a"]


def test_files_get_the_usual_permissions(tmp_path):
    atomic_write_text(tmp_path / "a", "")
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("writer", [atomic_file, atomic_folder])
def test_an_error_names_the_destination_and_not_the_temporary_path(tmp_path, writer):
    for made in (lambda p: UserError(f"{p} is wrong"), lambda p: OSError(28, "No space left on device", str(p))):
        with pytest.raises((UserError, OSError)) as error, writer(tmp_path / "a") as temporary:
            raise made(temporary)
        assert str(tmp_path / "a") in str(error.value) and ".tmp" not in str(error.value)

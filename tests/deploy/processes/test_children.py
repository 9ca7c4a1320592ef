"""No process outlives its parent, however the parent ends."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.processes import children

ROOT = Path(__file__).parents[3]
WAIT_S = 60  # a loaded machine
PARENT = """
import multiprocessing, sys, time
sys.path[:0] = [{here!r}, {root!r}]
import test_children
from deploy.processes import children
if __name__ == "__main__":
    child = children.start(multiprocessing.get_context("spawn"), "c", test_children.{target}, {log!r})
    print(child.pid, flush=True)
    time.sleep(600)
"""


def polite(log, stopped):
    """Ends when it is asked to, and writes a line."""
    Path(log).write_text("up")
    while not stopped:
        time.sleep(0.01)
    Path(log).write_text("at rest")


def stubborn(log, stopped):
    """Never looks at `stopped`."""
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    Path(log).write_text("up")
    while True:
        time.sleep(0.01)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true):
    end = time.monotonic() + WAIT_S
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    assert true()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word to orphans is Linux's")
@pytest.mark.parametrize("target, last", [("polite", "at rest"), ("stubborn", "up")])
def test_a_child_ends_when_its_parent_is_killed(target, last, tmp_path, monkeypatch):
    log = tmp_path / "log"
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(here=str(Path(__file__).parent), root=str(ROOT), target=target, log=str(log)))
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    wait_until(lambda: log.exists() and log.read_text() == "up")
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(child))
    assert log.read_text() == last


def test_children_are_asked_first(tmp_path):
    child = children.start(multiprocessing.get_context("spawn"), "c", polite, str(tmp_path / "log"))
    wait_until((tmp_path / "log").exists)
    children.end([child])
    assert (tmp_path / "log").read_text() == "at rest" and child.exitcode == 0
    assert not alive(child.pid) and os.getpid()

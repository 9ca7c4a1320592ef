"""The command: its help, its exit codes, a whole episode on the simulated arm, and that nothing is left when it is
killed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from demos import DemoSet
from demos.store import verify
from deploy.endings import Ending

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "deploy/run_real.py"]
SIM = [*COMMAND, "--policy", "scripted", "--backend", "sim", "--yes"]
QUIET = {**os.environ, "OMP_NUM_THREADS": "1"}
WAIT_S = 500


def run(command, **options):
    return subprocess.run(command, cwd=ROOT, env=QUIET, capture_output=True, text=True, timeout=WAIT_S, **options)


def test_help_has_every_exit_code(command_process):
    done = command_process(ROOT, "deploy/run_real.py", "--help")
    assert done.returncode == 0
    for ending in Ending:
        assert f"{ending.code:>4}  {ending.name.lower()}" in done.stdout


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--policy", "nowhere", "--backend", "sim"], "No policy at 'nowhere'"),
        (["--policy", "scripted", "--backend", "sim", "--hz", "20"], "10 Hz"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(flags, words, command_process):
    done = command_process(ROOT, "deploy/run_real.py", *flags)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert not done.stdout


def test_an_episode_is_run_reported_and_recorded(tmp_path):
    done = run([*SIM, "--record", str(tmp_path / "set")])
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["episodes"] == result["successes"] == 1 and result["ending"] == "done" and result["emulated"]
    assert {"env", "policy", "success", "wilson95", "mean_steps"} <= set(result)
    assert result["counts"]["missed"] == result["counts"]["refused"] == 0
    assert verify(tmp_path / "set") == []
    demos = DemoSet(tmp_path / "set")
    episode = demos.episode(0)
    assert len(episode["action"]) == result["mean_steps"] and episode["success"][-1]
    np.testing.assert_allclose(np.diff(episode["applied_s"]), 0.1, atol=1e-9)
    assert demos.meta("seed")[0] == result["seeds"][0]
    assert demos.attrs["notes"]["git"] and demos.attrs["notes"]["policy_sha256"] == "scripted"
    assert episode["rgb_wrist"].std() > 10


def test_pictures_that_the_policy_doesnt_know_end_the_run_before_anything_moves():
    done = run([*COMMAND, "--policy", "bc_cube", "--backend", "sim", "--yes", "--shift", "all", "--record", "none"])
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == result["exit_code"] == Ending.PREFLIGHT.code and result["episodes"] == 0, done.stderr
    assert result["look"].startswith("out: ") and "give --yes-look" in result["why"] and result["shift"] == "all"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_kill_9_of_the_program_leaves_no_process(tmp_path):
    job = subprocess.Popen(
        [*SIM, "--clock", "realtime", "--episodes", "50", "--record", "none"],
        cwd=ROOT,
        env=QUIET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in job.stderr:
        if "gripper" in line:  # the checks have passed: all processes are up
            break
    assert len(members(job.pid)) >= 4
    job.kill()
    job.wait()
    end = time.monotonic() + 60
    while members(job.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not members(job.pid)


def members(group):
    """Living processes of a process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(path.parent.name)
    return found

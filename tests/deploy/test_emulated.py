"""The loop through real clients on the emulated arm, in lockstep: the same bits each time, nothing that a controller
would refuse, and the documented end for each fault."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deploy.emulator.console import Console
from deploy.endings import Ending
from deploy.processes import lockstep

sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))

from deploy_fuzz import session

pytestmark = pytest.mark.skipif(
    "TOTO_ROBOT_CLIENTS" not in os.environ, reason="minutes on the emulated arm: make clients"
)

CLIENT = Path(__file__).parent / "emulated_client.py"
ARM = {"franky": "fr3", "pylibfranka": "fr3", "panda_py": "panda"}


def needs(name):
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


franky, installed = needs("franky"), [pytest.param(name, marks=needs(name)) for name in ARM]


def drive(backend, stops=0, **plan):
    """The report of a run. The client's process is stopped for 1.5 s `stops` times while a motion runs."""
    with lockstep.started(ARM[backend], "lockstep") as (ip, (_, port)), Console(ip, port) as console:
        client = subprocess.Popen(
            [sys.executable, str(CLIENT), backend, ARM[backend], ip, str(port), json.dumps(plan)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        while stops and client.poll() is None:
            time.sleep(0.1)
            if console.ask("info")["mode"] == "move":
                client.send_signal(signal.SIGSTOP)
                time.sleep(1.5)
                client.send_signal(signal.SIGCONT)
                stops -= 1
        out, errors = client.communicate(timeout=300)
        assert client.returncode == 0, errors[-3000:]
        return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("backend", installed)
def test_an_episode_moves_the_arm_and_the_controller_has_nothing_to_object(backend):
    out = drive(backend, periods=8)
    assert out["ending"] == "DONE", out["why"]
    counters = out["counters"]
    assert counters["violations"] == [] and counters["lost_packets"] == 0
    assert np.ptp(np.array(out["q"]), axis=0).min() > 0.003
    assert (
        out["width_m"][0] > 0.079 and out["hand_m"] < 0.07
    )  # the command to close has been sent; one client reads the width only then
    assert out["mode"] == "idle" and out["counters"]["moves"] == 2


@franky
def test_two_runs_are_the_same_but_for_when_the_gripper_hears_its_orders():
    """Orders reach the hand through a process of its own, a millisecond sooner or later."""
    first, second = drive("franky", periods=6), drive("franky", periods=6)
    np.testing.assert_allclose(first["q"], second["q"], atol=2e-4)


@pytest.mark.parametrize("backend", installed)
def test_a_client_that_is_stopped_for_seconds_loses_no_packet_and_moves_the_arm_as_before(backend):
    stopped, smooth = drive(backend, stops=3, periods=4), drive(backend, periods=4)
    assert stopped["ending"] == "DONE" and stopped["counters"]["lost_packets"] == 0
    assert stopped["counters"]["time_ms"] == smooth["counters"]["time_ms"]
    np.testing.assert_allclose(stopped["q"], smooth["q"], atol=2e-4)


@franky
@pytest.mark.parametrize(
    "fault, ending, recoveries",
    [
        ({"name": "reflex"}, "DONE", 1),
        ({"name": "user_stop"}, "USER_STOP", 0),
        ({"name": "tcp_close"}, "NETWORK", 0),
        ({"name": "reflex", "error": "joint_velocity_violation"}, "LIMITS", 0),
    ],
)
def test_each_fault_has_its_end(fault, ending, recoveries):
    out = drive("franky", periods=5, seeds=[1, 2], fault={"at": 3, **fault})
    assert (out["ending"], out["recoveries"]) == (ending, recoveries), out["why"]
    if ending == "USER_STOP":
        assert out["mode"] == "user_stopped"


@franky
@pytest.mark.parametrize("wait_s", [0.5, 4.0, 8.0])
def test_ctrl_c_at_any_moment_ends_the_program_and_leaves_nothing(wait_s):
    """On its way home, or with the hand in the middle of a motion."""
    command = [
        sys.executable,
        "deploy/run_real.py",
        "--policy",
        "scripted",
        "--yes",
        "--episodes",
        "9",
        "--record",
        "none",
    ]
    program = subprocess.Popen(
        command,
        cwd=CLIENT.parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    for line in program.stderr:
        if "gripper:" in line:  # the last check before anything moves
            break
    time.sleep(wait_s)
    program.send_signal(signal.SIGINT)
    program.stderr.read()
    assert program.wait(60) == Ending.INTERRUPTED.code
    time.sleep(0.5)
    assert session(program.pid) == []

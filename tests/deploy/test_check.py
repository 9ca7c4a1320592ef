"""`python -m deploy.check` as a user runs it: against the emulator, through the real client."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from deploy.emulator.console import Console

if not find_spec("franky"):  # importing it would keep the other client out of this process
    pytest.skip("franky-control is not installed", allow_module_level=True)
IP, ROOT = "127.0.0.64", Path(__file__).parents[2]


def run(*flags, script=("-m", "deploy.check")):
    done = subprocess.run([sys.executable, *script, "--seconds", "1", *flags], capture_output=True, text=True, cwd=ROOT)
    return done, by_name(done.stdout)


def by_name(output):
    """The lines of a report, from the JSON line at the end of the command's output."""
    lines = output.splitlines()
    return {line["name"]: line for line in json.loads(lines[-1])["lines"]} if lines else {}


@pytest.fixture(scope="module")
def console():
    command = [sys.executable, "-m", "deploy.emulator", "--ip", IP]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert json.loads(process.stdout.readline())["ready"]
        with Console(IP) as console:
            yield console
    finally:
        process.kill()
        process.wait()


def test_it_looks_at_everything_and_moves_nothing(console):
    console.ask("reset", seed=3)
    done, lines = run("--robot-ip", IP, "--policy", "bc_cube")
    assert done.returncode in (0, 16), done.stderr  # a busy computer is bad at 1 kHz, and that is what it says
    assert set(lines) == {
        "computer",
        "versions",
        "robot",
        "connection",
        "joint limits",
        "workspace",
        "self-collision",
        "gripper",
        "camera",
        "crop",
        "look",
        "hand-eye",
    }
    for name in ("versions", "robot", "joint limits", "workspace", "self-collision", "gripper", "crop"):
        assert lines[name]["verdict"] == "ok", lines[name]
    assert "states in" in lines["connection"]["said"] or "clock went on by" in lines["connection"]["said"]
    assert "frames a second of 128×128" in lines["camera"]["said"]
    assert lines["hand-eye"]["verdict"] == "not checked"
    assert lines["look"]["verdict"] == "ok" and lines["look"]["said"].startswith("in: ")
    assert "The robot is emulated" in done.stderr
    counters = console.ask("counters")
    assert counters["moves"] == counters["gripper_commands"] == 0 and counters["connections"] >= 1


def test_a_pressed_user_stop_is_not_fit_for_a_run_and_stays_pressed(console):
    console.ask("fault", name="user_stop")
    try:
        done, lines = run("--robot-ip", IP, script=("deploy/check.py",))
        assert done.returncode == 16 and "release the user stop" in lines["robot"]["said"]
        assert console.ask("info")["mode"] == "user_stopped"
    finally:
        console.ask("release_user_stop")


def test_a_scene_in_another_look_is_out_for_the_policy():
    ip = "127.0.0.66"
    command = [sys.executable, "-m", "deploy.emulator", "--ip", ip, "--shift", "all"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert json.loads(process.stdout.readline())["ready"]
        done, lines = run("--robot-ip", ip, "--policy", "bc_cube")
        assert done.returncode == 16 and lines["look"]["verdict"] == "bad"
        assert "times as far off as 99 % of the training pictures" in lines["look"]["said"]
    finally:
        process.kill()
        process.wait()


def test_no_robot_is_a_line_and_not_a_traceback(command_process):
    done = command_process(ROOT, "deploy.check", "--seconds", "1", "--robot-ip", "127.0.0.65")
    lines = by_name(done.stdout)
    assert done.returncode == 16 and lines["robot"]["verdict"] == "bad" and "Traceback" not in done.stderr
    assert "connection" not in lines


@pytest.mark.parametrize(
    "flags, said",
    [
        (("--robot-ip", IP, "--robot", "panda", "--backend", "franky"), "can't drive --robot panda"),
        (("--robot-ip", IP, "--camera", "none.yaml"), "can't read the camera file none.yaml"),
        (("--robot-ip", IP, "--backend", "mavis"), "What exists: franky"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(flags, said, command_process):
    done = command_process(ROOT, "deploy.check", *flags)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr and not done.stdout

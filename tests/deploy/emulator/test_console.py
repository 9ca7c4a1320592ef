"""The console, on an emulator without clients."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from emulated import ADDRESSES, ROOT, Running

import envs
from deploy.emulator import console
from deploy.emulator.console import CONSOLE_PORT, Console, ConsoleError


@pytest.fixture(scope="module")
def still():
    """An emulator in lockstep. Its time stands still except for the keep-alive."""
    emulator = Running("--clock", "lockstep", "--seed", "4")
    yield emulator
    emulator.close()


def test_it_says_what_is_emulated(still):
    info = still.console.ask("info")
    assert info["emulator"] == "toto_robot" and (info["env"], info["robot"], info["protocol"]) == (
        "franka_cube",
        "fr3",
        10,
    )
    assert info["clock"] == "lockstep" and info["pid"] == still.process.pid


def test_reset_puts_arm_and_cube_where_the_environment_does(still):
    env = envs.make("franka_cube", render=False)
    for seed in (0, 7):
        env.reset(seed=seed)
        still.console.ask("reset", seed=seed)
        physics = still.console.ask("physics")
        assert np.allclose(physics["qpos"], env.data.qpos, atol=1e-4) and not physics["success"]


def test_a_grant_is_answered_when_its_time_has_come(still):
    now = still.console.ask("info")["time_ms"]
    assert still.console.ask("grant", until_ms=now + 200)["time_ms"] >= now + 200
    assert still.console.ask("counters")["time_ms"] < now + 210


def test_an_arm_that_nobody_commands_holds_still(still):
    still.console.ask("reset", seed=5)
    before = np.array(still.console.ask("physics")["qpos"][:7])
    still.console.ask("grant", until_ms=still.console.ask("info")["time_ms"] + 1000)
    assert np.abs(np.array(still.console.ask("physics")["qpos"][:7]) - before).max() < 1e-4


def test_a_hand_that_guides_the_arm_takes_it_along_and_lets_go(still):
    still.console.ask("reset", seed=5)
    goal = np.array(still.console.ask("physics")["qpos"][:7]) + [0.2, 0.1, 0, 0.1, 0, 0, 0.3]
    still.console.ask("guide", q_rad=goal.tolist())
    assert still.console.ask("info")["mode"] == "guiding"
    still.console.ask("grant", until_ms=still.console.ask("info")["time_ms"] + 3000)
    assert np.allclose(still.console.ask("physics")["qpos"][:7], goal, atol=0.03)
    still.console.ask("guide", q_rad=None)
    assert still.console.ask("info")["mode"] == "idle"


@pytest.mark.parametrize(
    "request_, sentence",
    [
        ({"do": "nothing"}, "What exists: counters"),
        ({"do": "fault", "name": "fire"}, "What exists: gripper_fail"),
        ({"do": "fault", "name": "reflex", "error": "x"}, "joint_reflex"),
        ({"do": "guide", "q_rad": [1, 2]}, "7 finite numbers"),
        ({"do": "reset"}, "seed"),
        ({"do": "fault", "name": "tcp_close"}, "no client is connected"),
        ({"do": "fault", "name": "version", "version": 700000}, "from 1 to 65535, got 700000"),
        ({"do": "fault", "name": "packet_loss", "share": 1.5}, "a number from 0 to 1"),
        ({"do": "fault", "name": "udp_gap", "duration_ms": float("nan")}, "a whole number"),
        ({"do": "fault", "name": "gripper_fail", "count": -1}, "a whole number"),
        ({"do": "grant"}, "until_ms or ms"),
        ({"do": "grant", "until_ms": "soon"}, "a whole number"),
        ({"do": "grant", "ms": 0.5}, "a whole number"),
        ({"do": "reset", "seed": True}, "a whole number"),
        ({"do": "guide", "q_rad": [0, 0, 0, 0, 0, 0, 1e300]}, "a number from"),
        ({"do": "info", "more": 1}, "unexpected keyword argument 'more'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_there_is(still, request_, sentence):
    with pytest.raises(ConsoleError, match=sentence):
        still.console.ask(**request_)


MALFORMED = [
    b"",
    b"{",
    b"null",
    b"[1]",
    b'"do"',
    b"\xff\xfe",
    b"[" * 50000,
    b'{"do": "grant", "until_ms": 1' + b"0" * 5000 + b"}",
    b'{"do": "grant", "until_ms": 1e400}',
    b'{"do": "reset", "seed": NaN}',
    b'{"do": []}',
    b'{"do": {"do": "info"}}',
    b'{"do": "answer"}',
    b'{"do": "fault"}',
    b'{"do": "fault", "name": ["reflex"]}',
    b'{"do": "fault", "name": "reflex", "error": {}}',
    b'{"do": "info", "self": 1}',
    b'{"do": "guide", "q_rad": {"0": 1}}',
    b'{"do": "guide", "q_rad": [[0], 0, 0, 0, 0, 0, "x"]}',
    b'{"do": "' + b"x" * 100_000 + b'"}',
]


@pytest.mark.parametrize("line", MALFORMED, ids=lambda line: repr(line[:40]))
def test_every_malformed_line_gets_an_answer_and_the_console_goes_on(still, line):
    with socket.create_connection((still.ip, CONSOLE_PORT), timeout=60) as tcp, tcp.makefile("rb") as replies:
        tcp.sendall(line + b"\n")
        reply = json.loads(replies.readline())
    assert not reply["ok"] and len(reply["error"]) < 2000 and "the emulator failed" not in reply["error"]
    assert still.console.ask("info")["mode"] == "idle"


@pytest.mark.parametrize("flags", [["--console-port", "70000"], ["--seed", "-1"], ["--film", f"{__file__}/out.mp4"]])
def test_an_impossible_flag_is_one_sentence(flags):
    done = subprocess.run(
        [sys.executable, "-m", "deploy.emulator", "--ip", next(ADDRESSES), *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and flags[1] in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words, says",
    [(["{"], "a JSON object"), (["{}", "127.0.0.1:99999"], "PORT"), (["{}", "127.0.0.1:1"], "no emulator's console")],
)
def test_a_request_from_a_shell_that_makes_no_sense_is_one_sentence(words, says, capsys):
    assert console.main(words) == 2
    assert says in capsys.readouterr().err


def test_a_console_that_is_not_there_is_one_sentence():
    with pytest.raises(ConsoleError, match="python -m deploy.emulator"):
        Console("127.0.0.1", 9)


def test_a_second_robot_at_an_address_is_refused_in_one_sentence(still):
    done = subprocess.run(
        [sys.executable, "-m", "deploy.emulator", "--ip", still.ip], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and "another robot is there" in done.stderr and "Traceback" not in done.stderr


def test_it_dies_with_its_parent():
    parent = subprocess.Popen(["sleep", "60"])
    emulator = Running("--parent-pid", str(parent.pid))
    try:
        parent.kill()
        parent.wait()
        assert emulator.process.wait(20) == 0
    finally:
        emulator.close()


def test_it_films(tmp_path):
    import av

    emulator = Running("--film", str(tmp_path / "out.mp4"))
    emulator.run_free()
    try:
        while emulator.console.ask("info")["time_ms"] < 200:
            os.sched_yield()
        emulator.console.ask("shutdown")
        assert emulator.process.wait(60) == 0
    finally:
        emulator.close()
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) >= 5
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]

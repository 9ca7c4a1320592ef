"""A person's commands: keys from a real pseudo-terminal, a SpaceMouse's bytes, and what becomes of them."""

import os
import pty
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from sample_set import attrs

from demos import DemoError, DemoSet, DemoWriter
from demos.recording.keyboard import Keyboard
from demos.recording.recorder import Plan
from demos.recording.spacemouse import Reports, SpaceMouse
from demos.recording.teleop import DISCARD, DONE, QUIT, Command, LiveView, teleoperate


@pytest.fixture
def terminal():
    """(write keys here, a Keyboard on the other end, its clock)."""
    ours, theirs = pty.openpty()
    clock = SimpleNamespace(now=0.0)
    keyboard = Keyboard(theirs, clock=lambda: clock.now)
    yield lambda text: os.write(ours, text.encode()), keyboard, clock
    keyboard.close()
    os.close(ours)
    os.close(theirs)


def test_a_press_moves_for_a_moment_and_opposite_keys_cancel(terminal):
    press, keyboard, clock = terminal
    assert not keyboard.read().velocity.any()
    press("wq")
    command = keyboard.read()
    assert command.velocity.tolist() == [1, 0, 0] and command.spin.tolist() == [0, 0, 1]
    press("s")
    assert keyboard.read().velocity.tolist() == [0, 0, 0]
    clock.now = 1.0
    assert not keyboard.read().spin.any()


def test_space_toggles_the_gripper_and_the_other_keys_end_discard_and_quit(terminal):
    press, keyboard, _ = terminal
    press(" ")
    assert keyboard.read().open_gripper is False and keyboard.read().open_gripper is False
    press("\n")
    command = keyboard.read()
    assert command.event == DONE and command.open_gripper, "a new episode starts open"
    for key, event in (("\x7f", DISCARD), ("\x1b", QUIT), ("\x04", QUIT)):
        press(key)
        assert keyboard.read().event == event
    press("\x1b[A")
    assert keyboard.read().event is None, "an arrow key is not Esc"
    press("w\n\x1bd")
    told = [keyboard.read() for _ in range(3)]
    assert [c.event for c in told] == [DONE, QUIT, None] and told[2].velocity.tolist() == [0, -1, 0]


def test_the_terminal_comes_back_as_it_was():
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    keyboard = Keyboard(theirs)
    assert termios.tcgetattr(theirs) != before
    keyboard.close()
    assert termios.tcgetattr(theirs) == before


def test_without_a_terminal_the_keyboard_says_what_to_do(tmp_path):
    with open(tmp_path / "file", "w") as file, pytest.raises(DemoError, match="terminal.*expert=scripted"):
        Keyboard(file.fileno())


def report(kind, *values):
    return bytes([kind]) + struct.pack(f"<{len(values)}h", *values)


def test_reports_become_motion_in_the_robots_axes():
    reports = Reports()
    reports.feed(report(1, 350, 0, 0))  # cap pushed right: the hand goes right
    velocity, spin = reports.motion()
    np.testing.assert_allclose(velocity, [0, -1, 0], atol=1e-9)
    reports.feed(report(1, 0, -350, -350))  # away and up
    np.testing.assert_allclose(reports.motion()[0], [1, 0, 1], atol=1e-9)
    reports.feed(report(2, 0, 0, 350))  # twisted clockwise as seen from above
    np.testing.assert_allclose(reports.motion()[1], [0, 0, -1], atol=1e-9)
    reports.feed(report(1, 0, 0, 0, 0, -350, 0))  # a newer model: both in one
    np.testing.assert_allclose(np.concatenate(reports.motion()), [0, 0, 0, 1, 0, 0], atol=1e-9)


def test_a_short_or_foreign_report_changes_nothing_and_small_motion_is_none():
    reports = Reports()
    reports.feed(report(1, 20, 0, 0))
    assert not reports.motion()[0].any()
    reports.feed(report(1, 200, 0, 0))
    before = reports.axes.copy()
    for junk in (b"", b"\x01", b"\x01\x02\x03", b"\x17" + bytes(6), b"\x02\x00\x00"):
        reports.feed(junk)
    assert (reports.axes == before).all()


class FakeDevice:
    def __init__(self, *batches):
        self.batches, self.closed = [list(b) for b in batches], False

    def read(self, size):
        if self.batches and self.batches[0]:
            return list(self.batches[0].pop(0))
        if self.batches:
            self.batches.pop(0)
        return []

    def close(self):
        self.closed = True


def test_buttons_turn_the_gripper_end_and_discard():
    mouse = SpaceMouse(
        FakeDevice([b"\x03\x01"], [b"\x03\x00"], [b"\x03\x02"], [b"\x03\x00"], [b"\x03\x03"], [b"\x03\x00"])
    )
    told = [mouse.read() for _ in range(6)]
    assert [c.open_gripper for c in told[:3]] == [True, False, False]
    assert [c.event for c in told] == [None, None, None, DONE, None, DISCARD]


class ToyEnv:
    """An environment that succeeds once the gripper has closed, and remembers its actions."""

    control_hz = 20.0

    def __init__(self):
        self.data = SimpleNamespace(body=lambda name: SimpleNamespace(xmat=np.diag([-1.0, -1, 1]).reshape(-1)))
        self.seeds, self.actions = [], []

    def _obs(self):
        return {"rgb": np.zeros((8, 8, 3), np.uint8), "proprio": np.zeros(2, np.float32)}

    def reset(self, seed):
        self.seeds.append(seed)
        return self._obs(), {}

    def snapshot(self):
        return {
            "sim_state": np.zeros(3),
            "protocol_state": np.zeros(1),
            "task_state": np.zeros(1),
            "look_seed": np.int64(7),
        }

    def view(self, camera, width, height):
        return np.zeros((height, width, 3), np.uint8)

    def step(self, action):
        self.actions.append(action)
        done = action[-1] < 0
        return self._obs(), 0.0, done, False, {"success": done}


class Script:
    help = ""

    def __init__(self, *commands):
        self.commands = list(commands)

    def read(self):
        return self.commands.pop(0) if self.commands else Command(event=QUIT)


def drive(env, velocity, spin, open_gripper):
    return np.array([*velocity, 1.0 if open_gripper else -1.0], np.float32)


def test_a_person_records_discards_and_quits(tmp_path):
    ahead = Command(velocity=np.array([1.0, 0, 0]))
    close = Command(open_gripper=False)
    script = Script(
        ahead,
        close,  # a success
        ahead,
        Command(event=DISCARD),  # started again with the same seed
        ahead,
        ahead,
        Command(event=DONE),  # ended by hand: no success, not kept
        Command(event=DONE),
        close,  # there is nothing to end yet; a success follows
        ahead,
        Command(event=QUIT),
    )  # never finished
    env, path, view = ToyEnv(), tmp_path / "set", tmp_path / "live.png"
    now = SimpleNamespace(s=0.0)
    with DemoWriter(path, attrs()) as writer:
        tried = teleoperate(
            env,
            script,
            drive,
            writer,
            Plan(9, "success"),
            seed_of=lambda i: 40 + i,
            view=LiveView(view, window=False),
            clock=lambda: now.s,
            sleep=lambda s: setattr(now, "s", now.s + s),
        )
    demos = DemoSet(path)
    assert tried == 3 and env.seeds == [40, 41, 41, 42, 43]
    assert demos.meta("index").tolist() == [0, 2] and demos.meta("seed").tolist() == [40, 42]
    first = demos.episode(0)
    np.testing.assert_allclose(first["timestamp_s"], [0, 0.05])
    np.testing.assert_allclose(first["action"][0], [-0.25, 0, 0, 1])  # ahead, in a base that looks back
    assert view.read_bytes()[:4] == b"\x89PNG"

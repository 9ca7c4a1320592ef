"""docs/real_robot.md can't drift from the code: every error, exit code, command and camera file in it is checked."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from deploy import calibrate, check
from deploy.cameras.base import CameraConfig
from deploy.control.machine import FAULTS, Event
from deploy.emulator.wire import ERRORS
from deploy.endings import Ending
from deploy.robots.base import stopped_by_itself

PAGE = (Path(__file__).parents[2] / "docs/real_robot.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", PAGE, re.M))


def test_every_error_of_libfranka_has_a_row():
    assert set(ROWS) == set(ERRORS)


@pytest.mark.parametrize("name", ERRORS)
def test_the_exit_code_of_each_error_is_what_a_run_ends_with(name):
    event = stopped_by_itself(f'libfranka: Move command aborted: motion aborted by reflex! ["{name}"]').event
    ending = Ending.REFLEX if event is Event.REFLEX else FAULTS[event]
    assert int(ROWS[name]) == ending.code


def test_the_camera_file_on_the_page_is_one():
    text = re.search(r"```yaml\n(.*?)```", PAGE, re.S)[1]
    assert CameraConfig(**yaml.safe_load(text)).kind == "realsense"
    lens = yaml.safe_load(re.search(r"# (intrinsics: .*)", text)[1])
    assert CameraConfig(**yaml.safe_load(text), **lens).intrinsics.fx_px == 600


@pytest.mark.parametrize("name, arguments", [("check", check.arguments), ("calibrate", calibrate.arguments)])
def test_the_commands_on_the_page_have_flags_that_exist(name, arguments):
    commands = [line for line in re.findall(rf"python -m deploy\.{name} ([^`\n]*)", PAGE) if line.startswith("--")]
    assert commands
    for line in commands:
        argv = shlex.split(line.split("#")[0])
        arguments(argv if "--robot-ip" in argv or name == "calibrate" else [*argv, "--robot-ip", "172.16.0.2"])


@pytest.mark.parametrize(
    "text, event",
    [
        (
            'ControlException: libfranka: Move command aborted: motion aborted by reflex! ["joint_reflex"]\n'
            "control_command_success_rate: 0.97",
            Event.REFLEX,
        ),
        ('motion aborted by reflex! ["joint_reflex", "instability_detected"]', Event.LIMITS),
        ("ControlException: libfranka: Move command aborted: User Stop pressed!", Event.USER_STOP),
        ("libfranka: UDP receive: Timeout", Event.NETWORK),
        ("RuntimeError: something else", Event.ROBOT_FAILED),
    ],
)
def test_only_a_touch_and_late_packets_are_a_reflex_to_recover_from(text, event):
    assert stopped_by_itself(text).event is event

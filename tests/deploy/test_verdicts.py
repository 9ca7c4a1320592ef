"""Each verdict changes at the value that its sentence names."""

import numpy as np
import pytest

from deploy import verdicts
from deploy.calibration.hand_eye import Errors
from deploy.cameras.base import CameraConfig, Frame
from deploy.cameras.intrinsics import Intrinsics
from deploy.control import safety
from deploy.robots.base import GripperState, RobotState
from deploy.verdicts import BAD, LOOK, OK
from envs.robots import FRANKA
from envs.robots.franka import FR3_LIMITS

HOME = np.array(FRANKA.q_home_rad)
ENVELOPE = safety.Envelope.of(FRANKA)


def state(mode="idle", errors=()):
    return RobotState(1.0, HOME, np.zeros(7), mode, errors)


@pytest.mark.parametrize(
    "word, verdict", [("in", OK), ("doubtful", LOOK), ("unknown", LOOK), ("out", BAD), (None, "not checked")]
)
def test_only_pictures_that_are_out_are_not_fit_for_a_run(word, verdict):
    line = verdicts.look(word, "why")
    assert line.verdict == verdict and "why" in line.said and ("--yes-look" in line.said) == (word == "out")


@pytest.mark.parametrize(
    "mode, errors, verdict, said",
    [
        ("idle", (), OK, "mode idle"),
        ("guiding", (), LOOK, "expected idle"),
        ("user_stopped", (), BAD, "release the user stop"),
        ("reflex", ("joint_reflex",), BAD, "errors: joint_reflex"),
        ("idle", ("joint_reflex",), BAD, "recover"),
    ],
)
def test_a_robot_is_fit_when_it_is_idle_without_errors(mode, errors, verdict, said):
    line = verdicts.robot(state(mode, errors))
    assert line.verdict == verdict and said in line.said


@pytest.mark.parametrize("lost, verdict", [(0, OK), (400, OK), (700, LOOK), (1500, BAD)])
def test_the_connection_is_judged_by_the_share_of_states_that_arrived(lost, verdict):
    times_ms = np.delete(np.arange(10001), np.random.default_rng(0).choice(np.arange(1, 10000), lost, replace=False))
    line = verdicts.connection(times_ms / 1000 + 5, 10.0)
    assert line.verdict == verdict
    assert f"{100 * (10000 - lost) / 10000:.1f} % of 10000 states in 10.0 s" in line.said


def test_a_gap_that_would_stop_a_motion_is_seen_in_an_otherwise_good_connection():
    times_ms = np.delete(np.arange(10001), np.arange(5000, 5025))
    line = verdicts.connection(times_ms / 1000, 10.0)
    assert line.verdict == LOOK and "longest gap 26 ms" in line.said


def test_states_that_are_read_twice_count_once():
    times_ms = np.repeat(np.arange(0, 10001, 2), 3)
    assert "50.0 %" in verdicts.connection(times_ms / 1000, 10.0).said


@pytest.mark.parametrize("times_s", [[], [3.0] * 50, [3.0, 3.001, 3.002]])
def test_a_clock_that_stands_still_is_no_connection(times_s):
    line = verdicts.connection(np.array(times_s), 10.0)
    assert line.verdict == BAD and "lockstep" in line.said


def test_the_arm_is_judged_by_the_room_it_has():
    good = verdicts.limits(HOME, FR3_LIMITS, ENVELOPE)
    assert [line.verdict for line in good] == [OK, OK, OK]
    near = HOME.copy()
    near[3] = FR3_LIMITS.q_max_rad[3] - 0.05
    assert verdicts.limits(near, FR3_LIMITS, ENVELOPE)[0] == verdicts.Line(
        "joint limits", LOOK, "joint 4 is nearest, 0.05 rad from its limit"
    )
    beyond = HOME.copy()
    beyond[6] = FR3_LIMITS.q_max_rad[6] + 0.01
    assert verdicts.limits(beyond, FR3_LIMITS, ENVELOPE)[0].verdict == BAD
    turned = HOME.copy()
    turned[0] = 2.5
    assert "outside the box" in verdicts.limits(turned, FR3_LIMITS, ENVELOPE)[1].said


@pytest.mark.parametrize(
    "width_m, holds, verdict", [(0.08, False, OK), (0.045, True, LOOK), (0.2, False, BAD), (-0.1, False, BAD)]
)
def test_the_gripper_is_judged_by_its_width(width_m, holds, verdict):
    assert verdicts.gripper(GripperState(width_m, holds), 0.08).verdict == verdict


def frames(count=60, grey=120):
    return [Frame(np.full((128, 128, 3), grey, np.uint8), 0.0, i) for i in range(count)]


@pytest.mark.parametrize(
    "changes, age_s, wall_s, verdict, said",
    [
        ({}, 0.03, 2.0, OK, "30.0 frames a second of 128×128, age 30 ms, worst 30 ms"),
        ({}, 0.3, 2.0, BAD, "older than 200 ms"),
        ({}, 0.03, 20.0, BAD, "slower than the policy (10 Hz)"),
        ({"grey": 2}, 0.03, 2.0, LOOK, "lens cap"),
        ({"count": 0}, 0.03, 2.0, BAD, "no frame in 2.0 s"),
    ],
)
def test_the_camera_is_judged_by_rate_age_and_light(changes, age_s, wall_s, verdict, said):
    some = frames(**changes)
    line = verdicts.camera(some, [age_s] * len(some), wall_s, 10.0, 0.2)
    assert line.verdict == verdict and said in line.said


def test_a_camera_slower_than_asked_is_named():
    line = verdicts.camera(frames(), [0.03] * 60, 2.0, 10.0, 0.2, asked_hz=60)
    assert line.verdict == LOOK and "30.0 frames a second" in line.said and "asked for 60 a second" in line.said
    assert verdicts.camera(frames(), [0.03] * 60, 2.0, 10.0, 0.2, asked_hz=30).verdict == OK


def test_a_narrow_lens_is_told_beside_the_one_that_policies_were_trained_with():
    config, lens = CameraConfig(), Intrinsics(640, 480, 600.0, 600.0, 320.0, 240.0)
    line = verdicts.lens(config, lens.cropped("center", 128), 104.9)
    assert line.verdict == LOOK and "44°" in line.said and "105°" in line.said
    assert verdicts.lens(config, Intrinsics.of_fovy(104.9, 128), 104.9).verdict == OK
    assert "unknown" in verdicts.lens(config, None, 104.9).said


def test_the_hand_eye_line_follows_the_errors():
    assert verdicts.hand_eye(Errors(np.array([0.002]), np.array([0.005]))).verdict == OK
    off = verdicts.hand_eye(Errors(np.array([0.02]), np.array([0.005])))
    assert off.verdict == BAD and "20.0 mm" in off.said and "calibrate again" in off.said
    assert "not in the picture" in verdicts.hand_eye(None).said


def test_a_computer_without_a_real_time_kernel_is_told(tmp_path):
    assert "no PREEMPT_RT kernel" in verdicts.kernel(tmp_path).said
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/realtime").write_text("1\n")
    governor = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("powersave\n")
    line = verdicts.kernel(tmp_path)
    assert line.verdict == LOOK and "PREEMPT_RT" not in line.said and "governor powersave" in line.said

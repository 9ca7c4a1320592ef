"""Wrong settings are refused before anything starts, with the right words; flags give the documented defaults."""

import pytest

from deploy import run_real
from deploy.session import run
from deploy.session.settings import check_rate, resolved
from toto_robot.ground.errors import UserError

EMULATOR = {"robot": "fr3", "clock": "realtime"}


def settings(*flags, emulator=None):
    s = run.settings_of(run_real.parser().parse_args(["--policy", "x", *flags]))
    return resolved(s, lambda ip: ((ip, 1339), emulator) if emulator else None)


REAL = ("--robot-ip", "172.16.0.2", "--camera", "realsense")


def test_without_an_address_the_arm_is_emulated_and_the_policys_own_speed_is_kept():
    s = settings()
    assert (s.emulated, s.backend, s.camera, s.clock, s.speed_scale) == (True, "franky", "mujoco", "lockstep", 1.0)
    assert settings("--robot", "panda").backend == "panda_py"


def test_a_real_arm_is_slow_and_on_the_walls_clock():
    s = settings(*REAL)
    assert (s.emulated, s.clock, s.speed_scale) == (False, "realtime", 0.2)
    assert settings(*REAL, "--speed-scale", "0.5").speed_scale == 0.5


def test_an_emulator_at_a_loopback_address_is_recognised_and_nothing_else_there():
    s = settings("--robot-ip", "127.0.0.9", "--yes", emulator=EMULATOR)
    assert s.emulated and s.console == ("127.0.0.9", 1339) and s.clock == "realtime"
    with pytest.raises(UserError, match="not an emulated robot"):  # for example a forwarded port
        settings("--robot-ip", "127.0.0.9", "--camera", "opencv", "--yes")


@pytest.mark.parametrize(
    "flags, words",
    [
        (("--backend", "franky", "--robot", "panda"), "can't drive --robot panda: .*panda_py"),
        (("--backend", "panda_py", "--robot", "fr3"), "libfranka 0.9.2"),
        (("--backend", "frankx"), "What exists: franky"),
        (("--robot", "ur5"), "fr3, panda"),
        ((*REAL, "--yes"), "--i-am-at-the-robot"),
        (("--robot-ip", "172.16.0.2"), "--camera is needed"),
        (("--robot-ip", "172.16.0.2", "--camera", "mujoco"), "not simulated"),
        ((*REAL, "--clock", "lockstep"), "only a simulated robot"),
        (("--clock", "wall"), "lockstep, realtime"),
        (("--backend", "sim", "--robot-ip", "127.0.0.1"), "leave out --robot-ip"),
        (("--speed-scale", "0"), "above 0"),
        (("--speed-scale", "1.5"), "at most 1"),
        (("--home-speed", "nan"), "above 0"),
        (("--home-speed", "0.6"), "at most 0.5"),
        (("--episodes", "0"), "at least 1"),
        (("--workspace", "1", "0", "0", "1", "0", "1"), "X0 < X1"),
        (("--recoveries", "-1"), "0 or more"),
        (("--option", "x"), "KEY=VALUE"),
        (("--option", "colision=20"), "What exists: collision, realtime"),
        (("--option", "collision=much"), "from 1 to 100"),
        (("--option", "realtime=yes"), "enforce"),
        (("--backend", "ros", "--option", "topic=x"), "backend ros: .*What exists: collision, command"),
        (("--backend", "sim", "--option", "collision=20"), "sim has no options"),
        (("--camera", "webcam"), "What exists: mujoco, opencv, realsense, video"),
        (("--camera", "video"), "--camera-file"),
        (("--camera", "opencv", "--camera-file", "x.yaml"), "give one of them"),
        (("--camera-file", "nowhere.yaml"), "can't read the camera file"),
        (("--shift", "fog"), "What exists: all, camera, colour, light, noise"),
        ((*REAL, "--shift", "light"), "172.16.0.2 is not that"),
        (("--shift", "light", "--camera", "opencv"), "the camera is opencv"),
    ],
)
def test_what_cant_be_is_refused_with_the_reason(flags, words):
    with pytest.raises(UserError, match=words):
        settings(*flags)


def test_a_camera_file_is_held_to_the_same_rules(tmp_path):
    file = tmp_path / "camera.yaml"
    for kind, words in (("mujoco", "not simulated"), ("webcam", "What exists")):
        file.write_text(f"kind: {kind}")
        with pytest.raises(UserError, match=words):
            settings("--robot-ip", "172.16.0.2", "--camera-file", str(file))
    file.write_text("kind: realsense")
    assert settings("--robot-ip", "172.16.0.2", "--camera-file", str(file)).camera is None


def test_the_word_of_the_person_at_the_robot_takes_the_place_of_the_confirmation():
    assert settings(*REAL, "--yes", "--i-am-at-the-robot").yes


def test_the_expert_that_sees_the_simulator_is_refused_on_an_arm():
    s = run.settings_of(run_real.parser().parse_args(["--policy", "scripted", *REAL]))
    with pytest.raises(UserError, match="true state"):
        resolved(s, lambda ip: None)


def test_another_arm_or_clock_than_the_emulators_is_refused():
    with pytest.raises(UserError, match="--robot fr3"):
        settings("--robot", "panda", "--robot-ip", "127.0.0.1", emulator=EMULATOR)
    with pytest.raises(UserError, match="realtime"):
        settings("--clock", "lockstep", "--robot-ip", "127.0.0.1", emulator=EMULATOR)


def test_a_shift_is_for_a_scene_that_the_program_simulates_itself():
    assert settings("--shift", "light").shift == settings("--backend", "sim", "--shift", "light").shift == "light"
    with pytest.raises(UserError, match="deploy.emulator --shift light"):
        settings("--robot-ip", "127.0.0.9", "--shift", "light", emulator=EMULATOR)


def test_only_the_policys_own_rate_is_accepted():
    check_rate(None, 10.0, "x")
    check_rate(10.0, 10.0, "x")
    with pytest.raises(UserError, match="10 Hz"):
        check_rate(30.0, 10.0, "x")

"""The simulated scene's camera: the environment's own pixels."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

import envs
from deploy.cameras.base import CameraConfig, CameraError, CameraLost
from deploy.cameras.mujoco_camera import MujocoCamera
from deploy.emulator.console import Console

IP = "127.0.0.61"
CONFIG = CameraConfig(kind="mujoco", device=IP, fps=1000)


@pytest.fixture(scope="module")
def env():
    env = envs.make("franka_cube")
    env.reset(seed=5)
    return env


def test_its_frames_are_the_environments_pixel_by_pixel(env):
    with MujocoCamera(CameraConfig(kind="mujoco", fps=1000), env) as camera:
        for _ in range(3):
            observed = env.step(env.action_space.sample())[0]["rgb"]
            frame = camera.read(1.0)
            np.testing.assert_array_equal(frame.rgb, observed)
            assert frame.sequence == round(1000 * env.data.time)


def test_its_number_stands_still_when_the_simulation_does(env):
    with MujocoCamera(CameraConfig(kind="mujoco", fps=1000), env) as camera:
        first, second = camera.read(1.0), camera.read(1.0)
        assert first.sequence == second.sequence and first.captured_s < second.captured_s


def test_it_keeps_its_rate(env):
    with MujocoCamera(CameraConfig(kind="mujoco", fps=0.01), env) as camera:
        camera.read(0.0)
        with pytest.raises(CameraLost, match="gives 0.01 a second"):
            camera.read(0.01)


@pytest.fixture(params=["lockstep", "realtime"])
def console(request):
    """The console of an emulator that the test runs."""
    command = [sys.executable, "-m", "deploy.emulator", "--ip", IP, "--clock", request.param]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(process.stdout.readline())["ready"]
        with Console(IP) as console:
            console.clock = request.param
            yield console
    finally:
        process.kill()
        process.wait()


def test_an_emulated_arms_camera_shows_what_the_environment_shows(env, console):
    console.ask("reset", seed=7)
    expected = env.reset(seed=7)[0]["rgb"]
    with MujocoCamera(CONFIG) as camera:
        rgb = camera.read(5.0).rgb
    if console.clock == "lockstep":
        np.testing.assert_array_equal(rgb, expected)
    else:  # some milliseconds later, at rest
        assert (rgb != expected).mean() < 0.01


def test_a_shifted_scene_looks_as_the_environment_looks_then_and_anew_with_each_reset():
    command = [sys.executable, "-m", "deploy.emulator", "--ip", IP, "--clock", "lockstep", "--shift", "all"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    env = envs.make("franka_cube", shift="all")
    try:
        assert json.loads(process.stdout.readline())["ready"]
        with Console(IP) as console, MujocoCamera(CONFIG) as camera:
            for number, seed in enumerate((7, 8)):
                console.ask("reset", seed=seed)
                env.reset(seed=seed)
                np.testing.assert_array_equal(camera.read(5.0).rgb, env.sensed(env.view("wrist", 128, 128), number))
            assert (
                camera.read(5.0).rgb != camera.read(5.0).rgb
            ).mean() > 0.5  # the sensor's noise is new in each frame
    finally:
        process.kill()
        process.wait()


def test_an_emulated_arms_camera_tells_the_time_of_the_runs_clock(console):
    with MujocoCamera(CONFIG) as camera:
        first = camera.read(5.0)
        if console.clock == "lockstep":
            now_ms = console.ask("grant", until_ms=first.sequence + 100)["time_ms"]
            frame = camera.read(5.0)
            assert frame.sequence >= now_ms >= first.sequence + 100 and frame.captured_s == frame.sequence / 1000
        else:
            frame = camera.read(5.0)
            assert frame.sequence > first.sequence and first.captured_s < frame.captured_s <= time.monotonic()


def test_a_camera_whose_emulator_has_gone_is_lost(console):
    with MujocoCamera(CONFIG) as camera:
        camera.read(5.0)
        console.ask("shutdown")
        with pytest.raises(CameraLost, match="closed its console|did not answer"):
            for _ in range(1000):
                camera.read(5.0)


def test_no_emulator_is_said_with_what_to_start():
    with pytest.raises(CameraError, match="python -m deploy.emulator.*realsense or opencv"):
        MujocoCamera(CameraConfig(kind="mujoco", device="127.0.0.62")).open()

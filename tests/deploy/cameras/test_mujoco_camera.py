"""The simulated scene's camera: the environment's own pixels."""

import numpy as np
import pytest

import envs
from deploy.cameras.base import CameraConfig, CameraLost
from deploy.cameras.mujoco_camera import MujocoCamera


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

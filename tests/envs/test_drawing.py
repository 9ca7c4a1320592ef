"""Drawing beside other programs: the model stays the user's, and a forked process says what it can't do."""

import functools

import gymnasium as gym
import mujoco
import numpy as np
import pytest

import envs


def test_the_users_own_renderer_draws_the_model_before_and_after_a_reset():
    env = envs.make("franka_pick")
    own = env.model.vis.global_.offwidth, env.model.vis.global_.offheight
    with mujoco.Renderer(env.model, 256, 256) as renderer:
        env.reset(seed=3)
        renderer.update_scene(env.data, "side")
        first = renderer.render()
    assert (env.model.vis.global_.offwidth, env.model.vis.global_.offheight) == own
    frame = env.reset(seed=3)[0]["rgb"]
    with mujoco.Renderer(env.model, 256, 256) as renderer:
        renderer.update_scene(env.data, "side")
        np.testing.assert_array_equal(renderer.render(), first)
    np.testing.assert_array_equal(env.reset(seed=3)[0]["rgb"], frame)  # our own drawing goes on


def reset(context: str) -> tuple[int, ...]:
    """The shape of the pictures of two environments in processes that are started by `context`."""
    vec = gym.vector.AsyncVectorEnv([functools.partial(envs.make, "franka_pick")] * 2, context=context)
    try:
        return vec.reset(seed=1)[0]["rgb"].shape
    finally:
        vec.close(terminate=True)


@pytest.mark.filterwarnings("ignore")
def test_a_process_that_is_forked_after_a_drawing_names_spawn():
    envs.make("franka_pick").reset(seed=0)
    with pytest.raises(envs.EnvError, match='context="spawn"'):
        reset("fork")


def test_gymnasiums_processes_draw_when_they_are_spawned():
    envs.make("franka_pick").reset(seed=0)
    assert reset("spawn") == (2, 128, 128, 3)

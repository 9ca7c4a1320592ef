"""The cube shows, then it is hidden until it is lifted, and nothing in a later frame says where it lies."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

import envs
from envs.looks import training_look
from policies.experts import ScriptedHidden

NAME = "franka_pick_hidden"
LOOK = replace(training_look("wide", np.random.default_rng(0)), noise_std=0.0)


@pytest.fixture(scope="module")
def env():
    return envs.make(NAME)


class Seen:
    """Counts the pixels of the cube in the wrist camera's picture, whatever its colour."""

    def __init__(self, env):
        self.env, self.renderer = env, mujoco.Renderer(env.model, 128, 128)
        self.renderer.enable_segmentation_rendering()

    def cube(self) -> int:
        self.renderer.update_scene(self.env.data, "wrist")
        return int((self.renderer.render()[..., 0] == self.env.task.geom).sum())


def held_steps(env) -> int:
    return env.task.shown_steps + env.task.hidden_steps


def test_the_cube_shows_for_half_a_second_and_then_in_no_frame_before_it_is_lifted(env):
    seen, expert, lifted = Seen(env), ScriptedHidden(), 0
    env.reset(seed=1000)
    for step in range(env.horizon):
        pixels = seen.cube()
        top_m = env.data.xpos[env.task.body][2] + env.task.half_m
        if step < 5:
            assert pixels > 20
        elif top_m < 0.455:  # the cover's top is at 0.46
            assert pixels == 0
        lifted += pixels > 0 and top_m > 0.5
        *_, terminated, _, info = env.step(expert.label(env))
        if terminated:
            break
    assert info["success"] and lifted > 5


def test_no_place_of_the_camera_shows_the_hidden_cube(env):
    """Not even a place in the cover, or so near to it that the cover is clipped."""
    seen, camera = Seen(env), env.model.camera("wrist").id
    env.reset(seed=1001)
    for _ in range(env.task.shown_steps):
        env.step(env.task.stay)
    cube = env.data.xpos[env.task.body]
    for height_m in (0.005, 0.03, 0.055, 0.065, 0.08, 0.12, 0.3):
        for aside_m in (0.0, 0.05, 0.2, 0.6):
            at = cube * (1, 1, 0) + (-aside_m, 0, 0.4 + height_m)
            back = (at - cube) / np.linalg.norm(at - cube)
            right = np.cross((0, 1, 0), back)
            env.data.cam_xpos[camera] = at
            env.data.cam_xmat[camera] = np.stack([right, np.cross(back, right), back], 1).reshape(-1)
            assert seen.cube() == 0
    env.model.geom_rgba[env.task.geom, 3] = 1.0  # and the check can fail
    env.data.cam_xpos[camera] = cube + (-0.05, 0, 0.0)
    env.data.cam_xmat[camera] = np.array([[0, 0, -1], [-1, 0, 0], [0, 1, 0]]).reshape(-1)
    assert seen.cube() > 100


def test_while_the_arm_is_held_actions_do_nothing_and_the_label_is_to_stay(env):
    expert, rng = ScriptedHidden(), np.random.default_rng(0)
    ends = []
    for wild in (False, True):
        env.reset(seed=8)
        for _ in range(held_steps(env)):
            np.testing.assert_array_equal(expert.label(env), np.float32([0] * 7 + [1]))
            obs = env.step(rng.uniform(-1, 1, 8) if wild else env.task.stay)[0]
        ends.append((env.data.qpos.copy(), obs["rgb"]))
    for one, other in zip(*ends):
        np.testing.assert_array_equal(one, other)
    before = env.data.qpos[:7].copy()
    assert np.abs(expert.label(env)[:7]).max() > 0.1
    env.step(np.ones(8))
    env.step(np.ones(8))
    assert np.abs(env.data.qpos[:7] - before).max() > 0.01


def test_frames_and_joints_of_the_hidden_time_are_equal_wherever_the_cube_lies(env):
    """So neither a frame nor the joints, nor how long the arm has been held, say where the cube is."""
    seen = []
    for seed in (9, 10):
        obs, _ = env.reset(seed=seed)
        held = []
        for _ in range(held_steps(env) + 1):
            held.append((obs["rgb"], obs["proprio"], env.drawn_as(LOOK)))
            obs, *_ = env.step(env.task.stay)
        seen.append((held[0], held[6], held[held_steps(env) - 1], held[held_steps(env)]))
    (first, early, late, free), (other, *others) = seen
    assert (first[0] != other[0]).any()
    for (rgb, proprio, drawn), (rgb_, proprio_, drawn_) in zip((early, late, free), others):
        np.testing.assert_array_equal(rgb, rgb_)
        np.testing.assert_array_equal(drawn, drawn_)
        np.testing.assert_allclose(proprio, proprio_, atol=1e-5)
    np.testing.assert_array_equal(early[0], late[0])  # no clock
    assert (late[0] != free[0]).any()  # the plate is gone


def test_the_arm_is_held_for_one_to_three_seconds_after_the_cube_is_hidden_and_starts_at_one_pose(env):
    rng = np.random.default_rng(0)
    steps = []
    for _ in range(600):
        env.task.place(env.data, rng)
        steps.append(env.task.hidden_steps)
    assert env.task.shown_steps == 5 and set(steps) == set(range(10, 31)) and abs(np.mean(steps) - 20) < 1
    np.testing.assert_array_equal(env.task.start_rad(rng), env.task.home_rad())


@pytest.mark.parametrize("look", [{"shift": "all"}, {"appearance": "wide"}, {"shift": "held_out"}], ids=str)
def test_the_cube_is_hidden_and_the_labels_are_the_same_in_every_look(env, look):
    other, expert = envs.make(NAME, render=False, **look), ScriptedHidden()
    env.reset(seed=11), other.reset(seed=11)
    seen = Seen(other)
    for step in range(held_steps(env) + 6):
        label = expert.label(env)
        np.testing.assert_array_equal(expert.label(other), label)
        env.step(label), other.step(label)
        assert (seen.cube() > 0) == (step < 4)


def test_a_state_of_the_hidden_time_comes_back_as_it_was():
    a, b = envs.make(NAME), envs.make(NAME)
    a.reset(seed=12), b.reset(seed=13)
    for _ in range(8):
        frame = a.step(a.task.stay)[0]["rgb"]
    np.testing.assert_array_equal(b.set_state(a.get_state())["rgb"], frame)
    assert b.task.covered(b.data) and b.task.held(b.data) and held_steps(a) == held_steps(b)


def test_only_the_franka_has_it():
    assert [name for name in envs.names() if "hidden" in name] == [NAME]

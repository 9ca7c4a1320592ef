"""Scripted experts: they succeed on every seed of a sample, also from where random actions led, and label any state."""

import mujoco
import numpy as np
import pytest

import envs
from policies.experts import HandMove, ScriptedMove
from policies.experts.choose import SCRIPTED, make_labeller
from policies.experts.hand_pick import HandPick

NAMES = [f"{robot}_{task}" for robot in ("franka", "kuka_gripper", "kuka") for task in ("reach", "move", "cabinet")]


def run(env, expert, seed, wild_steps):
    env.reset(seed=seed)
    for action in np.random.default_rng(seed).uniform(-1, 1, (wild_steps, *env.action_space.shape)):
        env.step(action)
    for _ in range(env.horizon - wild_steps):
        *_, terminated, truncated, info = env.step(expert.label(env))
        if terminated or truncated:
            break
    return info["success"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wild_steps", [0, 15])
def test_the_expert_succeeds_on_every_seed_of_a_sample(name, wild_steps):
    """Also where random actions have led the arm first."""
    env, expert = envs.make(name, render=False), make_labeller("scripted")
    assert [seed for seed in range(1000, 1003) if not run(env, expert, seed, wild_steps)] == []


@pytest.mark.parametrize(
    "name", ["franka_reach", "franka_move", "franka_cabinet", "kuka_reach", "kuka_move", "kuka_cabinet"]
)
def test_the_expert_succeeds_at_pixmcs_protocol(name):
    env, expert = envs.make(f"{name}_pixmc", render=False), make_labeller("scripted")
    assert run(env, expert, 1000, 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_label_is_an_action_in_every_state_and_a_function_of_it(name):
    env, expert = envs.make(name, render=False), make_labeller("scripted")
    env.reset(seed=0)
    for action in np.random.default_rng(0).choice([-1.0, 1.0], (40, *env.action_space.shape)):
        label = expert.label(env)
        assert env.action_space.contains(label)
        np.testing.assert_array_equal(expert.label(env), label)
        env.step(action)


def test_the_cube_goes_to_a_common_point_until_the_goal_is_in_view_and_then_to_the_goal():
    """So the label depends on nothing that the wrist camera doesn't show: the pixels of the goal are counted."""
    env, expert = envs.make("franka_move"), ScriptedMove()
    obs, _ = env.reset(seed=1002)
    slot = env.task.goal.slot
    seen = set()
    for _ in range(env.horizon):
        label, goal = expert.label(env), env.data.mocap_pos[slot].copy()
        env.data.mocap_pos[slot] = goal + (0.0, 0.02, 0.0)
        depends = bool((expert.label(env) != label).any())
        env.data.mocap_pos[slot] = goal
        held = label[-1] < 0 and env.data.body("object").xpos[2] > 0.43
        red, green, blue = np.moveaxis(obs["rgb"].astype(int), -1, 0)
        assert not depends or (held and ((green > red + 15) & (green > blue + 30)).any())
        if held:
            seen.add(depends)
        obs, *_, terminated, _, info = env.step(label)
        if terminated:
            break
    assert info["success"] and seen == {False, True}


def test_a_cube_that_is_past_a_goal_out_of_view_comes_back_to_where_goals_are_seen():
    env, expert = envs.make("franka_move", render=False), ScriptedMove()
    env.reset(seed=1002)
    while expert._in_view(env, env.task.goal.at(env.data)) < 1 or env.data.body("object").xpos[2] < 0.55:
        env.step(expert.label(env))
    labels = set()
    for behind_m in (0.3, 0.35, 0.4):  # behind the camera
        camera = env.data.camera("wrist")
        env.data.mocap_pos[env.task.goal.slot] = camera.xpos + behind_m * camera.xmat.reshape(3, 3)[:, 2]
        labels.add(expert.label(env).tobytes())
    assert len(labels) == 1


def test_the_allegro_hand_turns_back_with_the_cube_before_the_goal_says_where_it_goes():
    """So the label depends on nothing that the wrist camera doesn't show: see `HandMove`."""
    env, expert = envs.make("kuka_move", render=False), HandMove()
    env.reset(seed=1003)
    slot = env.task.goal.slot
    seen = set()
    for _ in range(env.horizon):
        label, goal = expert.label(env), env.data.mocap_pos[slot].copy()
        env.data.mocap_pos[slot] = goal + (0.05, 0.1, 0.05)
        depends = bool((expert.label(env) != label).any())
        env.data.mocap_pos[slot] = goal
        turn = expert.tool(env)[1]
        turned = np.linalg.norm(expert._towards(turn, expert.carrying())) < expert.turned_rad[0]
        assert not depends or (label[-1] < 0 and turned)
        if label[-1] < 0 and env.data.body("object").xpos[2] > 0.45:
            seen.add(depends)
            assert depends == turned
        *_, terminated, _, info = env.step(label)
        if terminated:
            break
    assert info["success"] and seen == {False, True}


@pytest.mark.parametrize("name", ["kuka_reach", "kuka_cabinet"])
def test_near_states_have_near_labels_all_along_an_episode(name):
    """A milliradian in every joint: nothing that the wrist camera or the joints would show."""
    env, expert, rng = envs.make(name, render=False), make_labeller("scripted"), np.random.default_rng(0)
    env.reset(seed=1003)
    for _ in range(env.horizon):
        label, there = expert.label(env), env.snapshot()
        env.data.qpos[:7] += rng.choice([-1e-3, 1e-3], 7)
        mujoco.mj_forward(env.model, env.data)
        assert np.abs(expert.label(env) - label).max() < 0.25
        env.restore(there)
        *_, terminated, _, info = env.step(label)
        if terminated:
            break
    assert info["success"]


def test_the_allegro_hand_turns_a_share_of_the_way_to_the_nearest_face():
    """So the label jumps by no more than that share of a right angle where the cube's yaw lies between two faces."""
    expert, from_base = HandPick(), np.array([0.5, 0.1, -0.1])
    middle = np.arctan2(0.1, 0.5) + np.interp(np.hypot(0.5, 0.1), *expert.heading_rad)
    for off in (-0.7, -0.3, 0.0, 0.4, 0.75):
        for turned in range(4):
            z = expert._grasp(from_base, _yaw(middle + off + turned * np.pi / 2))[:, 2]
            heading = (np.arctan2(z[1], z[0]) - middle + np.pi) % (2 * np.pi) - np.pi
            assert heading == pytest.approx(expert.face_share * off, abs=1e-9)


def _yaw(angle) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def test_the_hand_that_hooks_the_handle_never_closes():
    env, expert = envs.make("kuka_cabinet", render=False), make_labeller("scripted")
    env.reset(seed=1004)
    for _ in range(env.horizon):
        label = expert.label(env)
        assert label[-1] == 1.0
        if env.step(label)[2]:
            break
    assert env.success


def test_a_task_without_an_expert_is_refused_with_what_exists(monkeypatch):
    env = envs.make("kuka_move", render=False)
    env.reset(seed=0)
    monkeypatch.delitem(SCRIPTED["allegro"], "move")
    with pytest.raises(
        envs.EnvError,
        match="does not exist for kuka_move .allegro hand.. What exists: "
        "parallel hand: reach.*allegro hand: reach, cabinet, pick",
    ):
        make_labeller("scripted").label(env)

"""Every environment: determinism, protocol numbers, success rule, observation layout."""

from dataclasses import replace

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from envs.appearance import randomised
from policies.experts import ScriptedPick

NAMES = envs.names()


def rollout(env, seed, steps, action_seed=0):
    rng, out = np.random.default_rng(action_seed), []
    obs, _ = env.reset(seed=seed)
    for _ in range(steps):
        out.append(obs)
        obs, reward, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
    return out + [obs]


@pytest.mark.parametrize("name", NAMES)
def test_gymnasiums_checker_accepts(name):
    check_env(envs.make(name, privileged=True), skip_render_check=True)


@pytest.mark.parametrize("name", NAMES)
def test_stable_baselines3s_checker_accepts(name):
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 is an extra")
    from stable_baselines3.common.env_checker import check_env as check

    check(envs.make(name, render_mode="rgb_array"))


def test_gymnasiums_registry_makes_it():
    env = gym.make("toto_robot/FrankaPick-v0")
    assert env.unwrapped.name == "franka_pick"
    assert gym.make("toto_robot/FrankaPickPixMC-v0", render=False).unwrapped.name == "franka_pick_pixmc"
    assert gym.make("toto_robot/FrankaCube-v0", render=False).unwrapped.name == "franka_cube"


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_pixels_and_numbers(name):
    first = rollout(envs.make(name, privileged=True), 7, 15)
    second = rollout(envs.make(name, privileged=True), 7, 15)
    for a, b in zip(first, second):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
    other = rollout(envs.make(name), 8, 1)
    assert (other[0]["rgb"] != first[0]["rgb"]).any()


@pytest.mark.parametrize("name", NAMES)
def test_restored_state_continues_bit_for_bit(name):
    a, b = envs.make(name, shift="all"), envs.make(name, shift="all")
    rollout(a, 3, 12)
    kept = a.get_state()
    b.reset(seed=99)
    b.set_state(kept)
    rng = np.random.default_rng(1)
    for action in rng.uniform(-1, 1, (12, *a.action_space.shape)):
        (x, rx, *_), (y, ry, *_) = a.step(action), b.step(action)
        np.testing.assert_array_equal(x["rgb"], y["rgb"])
        np.testing.assert_array_equal(x["proprio"], y["proprio"])
        assert rx == ry


def test_a_shift_changes_pixels_but_not_the_scene():
    plain = envs.make("franka_pick", privileged=True).reset(seed=5)[0]
    for shift in ("colour", "light", "camera", "noise", "all"):
        moved = envs.make("franka_pick", privileged=True, shift=shift).reset(seed=5)[0]
        assert (moved["rgb"] != plain["rgb"]).mean() > 0.05, shift
        np.testing.assert_array_equal(moved["privileged"], plain["privileged"])


def test_a_random_look_is_new_in_each_episode_and_never_moves_the_scene():
    plain = envs.make("franka_pick", privileged=True)
    for appearance in ("random", "random_each_step", "cluttered"):
        env = envs.make("franka_pick", privileged=True, appearance=appearance)
        looks = []
        for seed in (5, 6):
            moved = env.reset(seed=seed)[0]
            looks.append(env.look)
            np.testing.assert_array_equal(moved["privileged"], plain.reset(seed=seed)[0]["privileged"])
        assert looks[0] != looks[1]
        assert any(look.distractors for look in looks) == (appearance == "cluttered")


def test_a_look_of_each_step_changes_pixels_never_the_motion_and_comes_back_with_the_state():
    plain, env = envs.make("franka_pick"), envs.make("franka_pick", appearance="random_each_step")
    plain.reset(seed=5), env.reset(seed=5)
    looks, state = [env.look], env.get_state()
    for _ in range(3):
        action = np.full(8, 0.2, np.float32)
        (a, *_), (b, *_) = plain.step(action), env.step(action)
        np.testing.assert_array_equal(a["proprio"], b["proprio"])
        looks.append(env.look)
    assert len({look.object_rgb + look.arm_rgb + look.light_pos_m for look in looks}) == 4
    env.set_state(state)
    again = env.step(action)[0]["rgb"]
    env.set_state(state)
    np.testing.assert_array_equal(env.step(action)[0]["rgb"], again)


def test_another_look_of_a_state_is_drawn_without_a_trace():
    """`drawn_as` gives the picture of an environment with that look, and the episode continues bit for bit."""
    rng = np.random.default_rng(3)
    look = randomised(rng, clutter=True)
    plain, watched, dressed = (
        envs.make("franka_pick"),
        envs.make("franka_pick"),
        envs.make("franka_pick", appearance=look),
    )
    for env in (plain, watched, dressed):
        env.reset(seed=5)
    for _ in range(3):
        action = rng.uniform(-1, 1, 8)
        seen = watched.drawn_as(look)
        np.testing.assert_array_equal(seen, dressed.observe()["rgb"])
        frames = [env.step(action)[0]["rgb"] for env in (plain, watched, dressed)]
        np.testing.assert_array_equal(frames[0], frames[1])
        np.testing.assert_array_equal(plain.data.qpos, watched.data.qpos)
    noisy = replace(look, noise_std=8.0)
    assert (watched.drawn_as(noisy, 1) == watched.drawn_as(noisy, 1)).all()
    assert (watched.drawn_as(noisy, 1) != watched.drawn_as(noisy, 2)).any()


def test_more_looks_of_each_state_never_change_the_episode_and_come_back_with_it():
    plain = envs.make("franka_pick", appearance="random")
    more = envs.make("franka_pick", appearance="random", also=("near", "random", "nominal"))
    assert more.observation_space["rgb_also"].shape == (3, 128, 128, 3)
    plain.reset(seed=5)
    obs, _ = more.reset(seed=5)
    for _ in range(2):
        action = np.full(8, 0.3)
        state = more.get_state()
        np.testing.assert_array_equal(plain.step(action)[0]["rgb"], (obs := more.step(action)[0])["rgb"])
        assert len({frame.tobytes() for frame in (*obs["rgb_also"], obs["rgb"])}) == 4
    more.set_state(state)
    np.testing.assert_array_equal(more.step(action)[0]["rgb_also"], obs["rgb_also"])


def test_an_episode_keeps_its_further_looks_where_that_is_asked():
    kept, anew = (
        envs.make("franka_reach", also=("wide",), also_steady=steady, image_size=32) for steady in (True, False)
    )
    still = np.zeros(kept.action_space.shape)
    moved = []
    for env in (kept, anew):
        (first, _), (then, *_) = env.reset(seed=0), env.step(still)
        moved.append(np.abs(then["rgb_also"].astype(int) - first["rgb_also"]).mean())
    other = np.abs(kept.reset(seed=1)[0]["rgb_also"].astype(int) - kept.reset(seed=0)[0]["rgb_also"]).mean()
    assert moved[0] < 15 < min(moved[1], other)


@pytest.mark.parametrize("name", ["franka_pick", "franka_cube"])
def test_reset_covers_pixmcs_ranges(name):
    env = envs.make(name, render=False, privileged=True)
    pose = []
    for seed in range(300):
        env.reset(seed=seed)
        cube = env.data.body("object")
        pose.append([*cube.xpos[:2], np.arctan2(cube.xmat[3], cube.xmat[0])])
    x, y, yaw = np.array(pose).T
    assert 0.4 <= x.min() < 0.41 and 0.59 < x.max() <= 0.6
    assert -0.2 <= y.min() < -0.18 and 0.18 < y.max() <= 0.2
    assert yaw.min() < -3 and yaw.max() > 3


def test_pixmc_protocol_numbers():
    env = envs.make("franka_pick_pixmc", render=False, privileged=True)
    assert env.control_hz == 60 and env.horizon == 500 and env.action_space.shape == (9,)
    obs, _ = env.reset(seed=0)
    assert obs["proprio"].shape == (18,) and obs["privileged"].shape == (34,)
    before = env.protocol.target.copy()
    env.step(np.ones(9))
    moved = env.protocol.target - before
    free = env.protocol.target < env.robot.scale_high  # a joint at its limit is clamped
    np.testing.assert_allclose(moved[:7][free[:7]], 0.125)
    assert (moved[7:] <= 0.0125 + 1e-12).all()
    assert np.cos(np.arctan2(env.data.body("object").xmat[3], env.data.body("object").xmat[0])) > 0.999


def test_pixmc_reward_is_the_published_formula():
    task = envs.make("franka_pick_pixmc", render=False).task
    tips, cube, action = np.array([[0.5, 0.03, 0.8], [0.5, -0.01, 0.8]]), np.array([0.5, 0, 0.81]), np.full(9, 0.5)
    d = np.linalg.norm(tips - cube, axis=1)
    expected = sum(0.08 / (0.04 + max(x, 0.02)) for x in d) + 2 + 1.28 / (0.04 + 0.01) + 2 - 0.01 * 9 * 0.25
    assert task.reward(tips, cube, abs(task.goal_z_m - cube[2]), action) == pytest.approx(expected)
    low = task.reward(tips, np.array([0.5, 0, 0.4225]), task.goal_z_m - 0.4225, np.zeros(9))
    assert low == pytest.approx(sum(0.08 / (0.04 + x) for x in np.linalg.norm(tips - [0.5, 0, 0.4225], axis=1)))


def test_deployment_protocol_numbers():
    """10 Hz and 1 kHz; ten seconds; torques that keep the arm's limits and rates whatever the actions are."""
    env = envs.make("franka_cube", render=False, privileged=True)
    assert env.control_hz == 10 and env.horizon == 100 and env.model.opt.timestep == 0.001
    obs, _ = env.reset(seed=0)
    assert env.action_space.shape == (8,) and obs["privileged"].shape == (40,)
    torques, rng, limits = [np.zeros(7)], np.random.default_rng(0), env.robot.limits

    def step(count):
        torques.append(env.data.ctrl[:7].copy())
        mujoco.mj_step(env.model, env.data, count)

    for _ in range(30):
        env.protocol.apply(rng.choice([-1.0, 1.0], 8), env.data, step)
        np.testing.assert_allclose(env.data.actuator_force[:7], torques[-1], atol=1e-9)  # no clamping is left to do
    assert len(torques) == 1 + 30 * 100
    assert (np.abs(torques) <= limits.tau_max_nm + 1e-9).all() and np.abs(torques).max() > 10
    assert (np.abs(np.diff(torques, axis=0)) <= 0.001 * limits.dtau_max_nm_s + 1e-9).all()


def test_the_hand_closes_at_its_published_speed_and_holds_with_its_force():
    env = envs.make("franka_cube", render=False)
    env.reset(seed=0)
    width, arms = [], slice(7, 9)
    for _ in range(10):
        env.step(np.array([0] * 7 + [-1], np.float32))
        width.append(env.data.qpos[arms].sum())
    np.testing.assert_allclose(np.diff(width[1:6]), -0.1 / env.control_hz, atol=0.001)
    assert width[-1] < 0.002 and abs(env.data.qpos[7] - env.data.qpos[8]) < 1e-4
    assert (env.model.actuator_forcerange[arms] == [-env.robot.gripper_force_n, env.robot.gripper_force_n]).all()


@pytest.mark.parametrize(
    "name,needed,ends,heights_m",
    [
        ("franka_pick", 10, True, (0.75, 0.65, 0.89)),
        ("franka_pick_pixmc", 10, False, (0.75, 0.65, 0.89)),
        ("franka_cube", 6, True, (0.51, 0.49, 0.69)),
    ],
)
def test_success_needs_consecutive_steps_near_the_goal_height(name, needed, ends, heights_m):
    inside, below, inside_too = heights_m
    env = envs.make(name, render=False)
    env.reset(seed=0)

    def hold(z):
        env.data.qpos[env.task.start + 2] = z
        env.data.qvel[-6:] = 0
        mujoco.mj_forward(env.model, env.data)
        done = env.task.evaluate(env.data, np.zeros(env.action_space.shape))[1]
        env.success = env.success or done
        return done

    assert not any(hold(inside) for _ in range(needed - 1))
    assert not hold(below) and not env.success  # the streak breaks
    assert [hold(inside_too) for _ in range(needed)] == [False] * (needed - 1) + [True]
    _, _, terminated, _, info = env.step(np.zeros(env.action_space.shape))
    assert info["success"] and terminated == ends


def test_a_link_contact_ends_a_pixmc_episode():
    env = envs.make("franka_pick_pixmc", render=False)
    env.reset(seed=0)
    forward = np.eye(9)[1]  # the shoulder: the wrist comes down on the table
    assert any(env.step(forward)[2] for _ in range(60)) and not env.success


@pytest.mark.parametrize("name", ["franka_pick", "franka_cube"])
def test_commands_stay_inside_the_arms_speed_limits(name):
    env = envs.make(name, render=False)
    env.reset(seed=0)
    last, rng = env.protocol.limiter.q_rad.copy(), np.random.default_rng(0)
    for _ in range(60):
        env.step(rng.choice([-1.0, 1.0], 8))
        now = env.protocol.limiter.q_rad.copy()
        assert (np.abs(now - last) <= env.robot.limits.dq_max_rad_s / env.control_hz + 1e-9).all()
        last = now


@pytest.mark.parametrize("name", ["franka_pick", "franka_cube"])
def test_the_gripper_command_has_hysteresis(name):
    env = envs.make(name, render=False)
    env.reset(seed=0)
    for command, opening in ((-1, False), (0.1, False), (0.3, True), (-0.1, True), (-0.3, False)):
        env.step(np.array([0] * 7 + [command], np.float32))
        assert env.protocol.gripper.opening is opening


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: envs.make("franka_pik"), ["franka_pik", "franka_pick_pixmc"]),
        (lambda: envs.make("franka_pick", shift="dark"), ["dark", "colour"]),
        (
            lambda: envs.make("franka_pick", appearance="pretty"),
            ["pretty", "mixed, mixed_grey_card, near_nominal, nominal, random, random_each_step, wide"],
        ),
        (lambda: envs.make("franka_pick", appearance="random", shift="all"), ["random", "all", "one of them"]),
        (lambda: envs.make("franka_pick", image_size=100), ["100", "multiple of 8"]),
        (lambda: envs.make("franka_pick", render=False).step(np.zeros(3)), ["(8,)", "(3,)", "gripper"]),
        (lambda: envs.make("franka_cube", render=False).step(np.zeros((1, 8))), ["(8,)", "(1, 8)", "gripper"]),
        (lambda: (e := envs.make("franka_pick", render=False), e.reset(seed=0), e.step(np.full(8, np.nan))), ["NaN"]),
    ],
)
def test_a_users_mistake_says_what_exists(call, words):
    with pytest.raises(envs.EnvError) as error:
        call()
    assert all(word in str(error.value) for word in words) and error.value.exit_code == 2


def test_the_panda_has_the_published_flange_pose():
    """At q = (0, -π/4, 0, -3π/4, 0, π/2, π/4) Franka's ready pose puts the hand frame at (0.307, 0, 0.590)."""
    env = envs.make("franka_pick", render=False)
    env.data.qpos[:7] = (0, -np.pi / 4, 0, -3 * np.pi / 4, 0, np.pi / 2, np.pi / 4)
    mujoco.mj_kinematics(env.model, env.data)
    base, hand = env.data.body("base"), env.data.body("hand")
    local = base.xmat.reshape(3, 3).T @ (hand.xpos - base.xpos)
    np.testing.assert_allclose(local, [0.30689, 0, 0.590282], atol=1e-4)
    np.testing.assert_allclose(hand.xmat.reshape(3, 3)[:, 2], [0, 0, -1], atol=1e-6)


@pytest.mark.parametrize("name,wild_steps", [("franka_pick", 0), ("franka_cube", 0), ("franka_cube", 15)])
def test_the_scripted_expert_picks_on_every_seed_of_a_sample(name, wild_steps):
    """Also where random actions have led the arm first."""
    env, expert = envs.make(name, render=False), ScriptedPick()
    for seed in range(1000, 1012):
        env.reset(seed=seed)
        for action in np.random.default_rng(seed).uniform(-1, 1, (wild_steps, 8)):
            env.step(action)
        for _ in range(env.horizon - wild_steps):
            *_, terminated, truncated, info = env.step(expert.label(env))
            if terminated or truncated:
                break
        assert info["success"], seed

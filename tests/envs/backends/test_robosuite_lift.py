"""robosuite's Lift behind our adapter, against the real robosuite 1.5.2."""

import subprocess
import sys

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from policies.experts import ScriptedLift
from toto_robot import command, evaluate

robosuite = pytest.importorskip("robosuite", reason="robosuite is an extra: make robosuite")
NAMES = envs.names("robosuite")


def make(name, **options):
    return envs.make(name, backend="robosuite", **options)


def rollout(env, seed, steps):
    rng, out = np.random.default_rng(0), [env.reset(seed=seed)[0]]
    for _ in range(steps):
        obs, reward, *_ = env.step(rng.uniform(-1, 1, 7))
        out.append(obs | {"reward": reward})
    return out


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_gymnasiums_checker_accepts(name):
    check_env(make(name, privileged=True), skip_render_check=True)


@pytest.mark.parametrize("name", NAMES)
def test_stable_baselines3s_checker_accepts(name):
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 is an extra")
    from stable_baselines3.common.env_checker import check_env as check

    check(make(name, render_mode="rgb_array"))


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_pixels_and_numbers_whatever_was_before(name):
    env, other = make(name, privileged=True), make(name, privileged=True)
    first = rollout(env, 7, 8)
    rollout(other, 8, 5)
    assert_same(first, rollout(other, 7, 8))
    assert_same(first, rollout(env, 7, 8))
    assert (env.reset(seed=8)[0]["rgb"] != first[0]["rgb"]).any()
    unseeded = [env.reset()[0] for _ in range(2)]
    assert (unseeded[0]["privileged"] != unseeded[1]["privileged"]).any()


THEIRS = """
import sys

import numpy as np
import robosuite

robot, episode, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
env = robosuite.make("Lift", robots=robot, has_renderer=False, has_offscreen_renderer=True, reward_shaping=True,
                     camera_names="robot0_eye_in_hand", camera_heights=128, camera_widths=128, hard_reset=False,
                     renderer="mujoco", ignore_done=True, seed=0)
env.rng.bit_generator.state = np.random.default_rng(episode).bit_generator.state
seen, rows, rng = env.reset(), [], np.random.default_rng(1)
for _ in range(15):
    after, reward, _, _ = env.step(rng.uniform(-1, 1, 7))
    keys = ("cube_pos", "robot0_joint_pos", "robot0_joint_vel", "robot0_eef_pos", "robot0_eye_in_hand_image")
    rows.append([seen[k] for k in keys] + [reward, env._check_success()])
    seen = after
np.savez(out, *[np.array(column) for column in zip(*rows)])
"""


@pytest.mark.parametrize("name,robot", [("panda_lift", "Panda"), ("iiwa_lift", "IIWA")])
def test_it_is_robosuites_own_environment_step_by_step(name, robot, tmp_path):
    """Rewards, joints, cube and success bit for bit; the picture is robosuite's, the right way up, without its shadows.

    robosuite draws in a process of its own, because it takes the GL display down with it."""
    env = make(name, privileged=True)
    obs, _ = env.reset(seed=3)
    subprocess.run(
        [sys.executable, "-c", THEIRS, robot, str(env._episode), str(tmp_path / "seen.npz")], check=True, timeout=300
    )
    with np.load(tmp_path / "seen.npz") as file:
        theirs = list(zip(*file.values()))
    rng = np.random.default_rng(1)
    for cube, q, dq, tool, picture, reward, success in theirs:
        assert_same(
            [{"cube": env.cube[0], "q": env.data.qpos[:7], "dq": env.data.qvel[:7]}], [{"cube": cube, "q": q, "dq": dq}]
        )
        np.testing.assert_allclose(obs["privileged"][-15:-12], tool, atol=1e-6)
        upright, upside_down = (np.abs(p.astype(float) - obs["rgb"]).mean() for p in (picture[::-1], picture))
        assert upright < 12 and upright < 0.5 * upside_down
        obs, paid, terminated, _, info = env.step(rng.uniform(-1, 1, 7))
        assert paid == reward and info["success"] == terminated == success


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_continues_bit_for_bit(name):
    a, b = make(name), make(name)
    rollout(a, 3, 9)
    b.reset(seed=99)
    assert_same([a.observe()], [b.set_state(a.get_state())])
    assert b.steps == 9
    for action in np.random.default_rng(1).uniform(-1, 1, (4, 7)):
        (x, rx, *_), (y, ry, *_) = a.step(action), b.step(action)
        assert_same([x | {"r": rx}], [y | {"r": ry}])
    np.testing.assert_array_equal(a.reset()[0]["proprio"], b.reset()[0]["proprio"])


def test_two_slots_of_one_worker_equal_single_environments_and_draw_their_own_pictures():
    single = [make("panda_lift", privileged=True) for _ in range(2)]
    with envs.make_vec(
        "panda_lift", 2, backend="robosuite", workers=1, privileged=True, labeller=ScriptedLift()
    ) as vec:
        assert (vec.action_dim, vec.proprio_dim, vec.privileged_dim, vec.control_hz, vec.horizon) == (
            7,
            18,
            33,
            20.0,
            200,
        )
        obs, alone = vec.reset([4, 5]), [e.reset(seed=s)[0] for e, s in zip(single, (4, 5))]
        actions = np.random.default_rng(0).uniform(-1, 1, (4, 2, 7)).astype(np.float32)
        for action in actions:
            obs, reward, *_ = vec.step(action)
            alone, paid, *_ = zip(*(e.step(a) for e, a in zip(single, action)))
            np.testing.assert_array_equal(reward, paid)
        for i in range(2):
            assert obs["rgb"][i].std() > 5
            for key in alone[i]:
                np.testing.assert_array_equal(obs[key][i], alone[i][key])
            np.testing.assert_array_equal(obs["expert"][i], ScriptedLift().label(single[i]))
        states = vec.get_state()
        after = vec.step(actions[0])[0]
        vec.set_state(states)
        np.testing.assert_array_equal(vec.step(actions[0])[0]["rgb"], after["rgb"])


@pytest.mark.parametrize("name", NAMES)
def test_the_scripted_expert_lifts_on_every_seed_of_a_sample(name):
    env, expert = make(name, render=False), ScriptedLift()
    for seed in range(1000, 1004):
        env.reset(seed=seed)
        for _ in range(env.horizon):
            *_, terminated, truncated, info = env.step(expert.label(env))
            if terminated or truncated:
                break
        assert info["success"] and info["steps"] < 80, seed


def test_an_episode_ends_at_the_horizon():
    env = make("panda_lift", render=False)
    env.reset(seed=0)
    ends = [env.step(np.zeros(7))[2:4] for _ in range(env.horizon)]
    assert ends[:-1] == [(False, False)] * 199 and ends[-1] == (False, True)


def test_the_evaluate_command_runs_it():
    compose = lambda policy: command.compose(
        evaluate.EvaluateConfig,
        "evaluate",
        [policy, "env=panda_lift", "backend=robosuite", "episodes=2", "env.workers=1"],
        ("policy",),
    )
    told = evaluate.main(compose("expert"))
    assert told["success"] == 1.0 and told["backend"] == "robosuite" and told["mean_steps"] < 60


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: make("panda_lift", shift="all"), ["shift", "all"]),
        (lambda: make("panda_lift", appearance="random"), ["appearance", "random"]),
        (lambda: make("panda_lift", image_size=100), ["100", "multiple of 8"]),
        (lambda: make("panda_lift", render=False).step(np.zeros(3)), ["(7,)", "(3,)", "gripper"]),
        (lambda: make("panda_lift", render=False).step(np.full(7, np.nan)), ["NaN"]),
        (lambda: make("panda_lift", render=False).snapshot(), ["get_state"]),
    ],
)
def test_a_users_mistake_says_what_is_wrong(call, words):
    with pytest.raises(envs.EnvError) as error:
        call()
    assert all(word in str(error.value) for word in words)

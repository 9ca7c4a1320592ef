"""backend=isaacgym: the worker's rules over MuJoCo are our franka_pick_pixmc, and the errors without Isaac Gym.

Isaac Gym itself can't be installed from an index, so `IsaacScene` is not run here.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import envs
from envs.backends import isaac_gym
from envs.backends import isaacgym_worker as worker
from envs.backends.remote import RemoteVectorEnv

COMMAND = [
    "env",
    f"PYTHONPATH={Path(__file__).parents[3]}",
    sys.executable,
    str(Path(__file__).with_name("mujoco_worker.py")),
    "--rules",
]


def test_the_numbers_are_those_of_our_own_environment():
    env = envs.make("franka_pick_pixmc", render=False, privileged=True)
    robot, task, protocol = env.robot, env.task, env.protocol
    np.testing.assert_array_equal(worker.LOW, robot.scale_low)
    np.testing.assert_array_equal(worker.HIGH, robot.scale_high)
    np.testing.assert_array_equal(worker.HOME, protocol.home_rad(robot))
    np.testing.assert_array_equal(worker.STEP, protocol.scale)
    assert (env.control_hz, env.horizon, task.success_steps) == (
        worker.CONTROL_HZ,
        worker.HORIZON,
        worker.SUCCESS_STEPS,
    )
    assert (task.half_m, task.table_z_m, task.goal_z_m) == (worker.HALF_M, worker.TABLE_Z_M, worker.GOAL_Z_M)
    assert robot.finger_grasp_m == (0, 0, worker.GRASP_M) and tuple(worker.ACTIONS) == env.action_names


def test_a_seed_begins_the_same_episode_as_in_mujoco():
    env = envs.make("franka_pick_pixmc", render=False)
    for seed in (0, 7, 2**40):
        env.reset(seed=seed)
        q, cube = worker.start_of(seed)
        np.testing.assert_array_equal(q, env.data.qpos[:9])
        np.testing.assert_array_equal(cube, env.data.qpos[env.task.start : env.task.start + 3])


def test_the_workers_rules_over_mujoco_are_our_environment():
    """Observation, reward, ends and counters of every step, until the arm touches the table and past the horizon."""
    rng = np.random.default_rng(3)
    with (
        RemoteVectorEnv(COMMAND, "franka_pick_pixmc", 3, image_size=32, privileged=True, render=False) as there,
        envs.VectorEnv("franka_pick_pixmc", 3, workers=1, privileged=True, render=False, image_size=32) as here,
    ):
        assert (there.action_dim, there.proprio_dim, there.privileged_dim) == (9, 18, 34)
        assert (there.control_hz, there.horizon) == (here.control_hz, here.horizon)
        obs, same = there.reset([1, 2, 3]), here.reset([1, 2, 3])
        failed = np.zeros(3, bool)
        for step in range(here.horizon):
            for key in obs:
                np.testing.assert_allclose(obs[key], np.clip(same[key], -5, 5), atol=2e-6)
            actions = rng.uniform(-1, 1, (3, 9)).astype(np.float32) * [[0.1], [0.1], [1.0]]
            active = np.array([step % 5 > 0, True, True])
            (obs, *told, info), (same, *ours, ours_info) = there.step(actions, active), here.step(actions, active)
            for a, b in zip(told + list(info.values()), ours + list(ours_info.values())):
                np.testing.assert_allclose(np.where(active, a, 0), np.where(active, b, 0), rtol=1e-9)
            failed |= told[1]
        assert failed.tolist() == [False, False, True] and told[2][1] and info["steps"].tolist() == [400, 500, 500]


def test_success_is_ten_consecutive_steps_near_the_goal_height():
    class Scene:
        q, dq, force, tips = np.zeros((1, 9)), np.zeros((1, 9)), np.zeros(1), np.zeros((1, 2, 3))
        cube = np.zeros((1, 13))

        def advance(self, targets, active):
            pass

        def pictures(self, size):
            return np.zeros((1, size, size, 3), np.uint8)

    rules = worker.FrankaPick(
        dict(name="franka_pick_pixmc", num_envs=1, image_size=8, privileged=False, render=True), lambda fields: Scene()
    )
    hold = lambda z: (rules.scene.cube.__setitem__((0, 2), z), rules.step(np.zeros((1, 9)), np.ones(1, bool)))[1]
    assert not any(hold(0.75)["success"][0] for _ in range(9))
    assert not hold(0.65)["success"][0]
    assert [bool(hold(0.89)["success"][0]) for _ in range(10)] == [False] * 9 + [True]
    assert hold(0.5)["success"][0] and not hold(0.5)["terminated"][0] and hold(0.35)["terminated"][0]


def test_without_isaac_gym_the_worker_says_which_python_lacks_it():
    with pytest.raises(envs.EnvError) as error:
        envs.make_vec("franka_pick_pixmc", 2, backend="isaacgym", python=sys.executable)
    for words in ("has no Isaac Gym", sys.executable, "Preview 4", "Python 3.6 to 3.8", "env.python", "mujoco_warp"):
        assert words in str(error.value)


@pytest.mark.parametrize(
    "options,words",
    [
        ({}, ["env.python=PATH", "Preview 4", "mujoco_warp"]),
        (dict(python="/no/such/python3.8"), ["/no/such/python3.8"]),
        (dict(python=sys.executable, shift="all"), ["shift='all'"]),
        (dict(python=sys.executable, views=("side",), appearance="random"), ["appearance='random'", "views=('side',)"]),
        (dict(python=sys.executable, labeller=object()), ["no scripted expert", "expert=RUN"]),
    ],
)
def test_what_it_can_not_do_is_said_before_anything_starts(options, words):
    with pytest.raises(envs.EnvError) as error:
        envs.make_vec("franka_pick_pixmc", 2, backend="isaacgym", **options)
    assert all(word in str(error.value) for word in words)


def test_the_worker_runs_from_a_folder_that_holds_nothing_but_its_two_files(tmp_path):
    for name in ("isaacgym_worker.py", "messages.py"):
        (tmp_path / name).write_text((isaac_gym.WORKER.parent / name).read_text())
    with pytest.raises(envs.EnvError, match="has no Isaac Gym"):
        RemoteVectorEnv(
            ["env", "-u", "PYTHONPATH", "-C", "/", sys.executable, str(tmp_path / "isaacgym_worker.py")],
            "franka_pick_pixmc",
            2,
        )
    told = subprocess.run(
        [sys.executable, str(tmp_path / "isaacgym_worker.py"), "--help"],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert "--fd" in told.stdout and told.returncode == 0

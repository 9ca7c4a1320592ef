"""The names of simulators: which environments each has, and the errors for mistakes."""

import sys

import numpy as np
import pytest

import envs
from policies.scoring.rollout import EnvConfig
from toto_robot import command
from toto_robot.evaluate import EvaluateConfig
from toto_robot.train_dagger import TrainConfig


@pytest.mark.parametrize("backend", envs.BACKENDS)
def test_a_backend_tells_its_environments_without_being_installed(backend):
    assert envs.names(backend) == sorted(envs.names(backend)) != []
    assert set(envs.names(backend)) & set(envs.names()) or backend == "robosuite"


def test_mujoco_is_the_default_and_makes_a_vector_env():
    assert EnvConfig().backend == "mujoco"
    with envs.make_vec("franka_pick", 2, workers=1, render=False) as vec:
        assert isinstance(vec, envs.VectorEnv)
        one = envs.make("franka_pick", render=False)
        np.testing.assert_array_equal(vec.reset([3, 4])["proprio"][1], one.reset(seed=4)[0]["proprio"])


@pytest.mark.parametrize(
    "call,words",
    [
        (
            lambda: envs.make_vec("franka_pick", 1, backend="bullet"),
            ["bullet", "isaacgym, mujoco, mujoco_warp, robosuite"],
        ),
        (lambda: EnvConfig(backend="bullet"), ["bullet", "isaacgym, mujoco, mujoco_warp, robosuite"]),
        (
            lambda: envs.make_vec("franka_pick", 1, backend="robosuite"),
            ["franka_pick", "iiwa_lift, panda_lift", "backend=mujoco"],
        ),
        (lambda: envs.make("panda_lift"), ["panda_lift", "franka_pick", "backend=robosuite"]),
        (lambda: envs.make("franka_pick", backend="mujoco_warp"), ["mujoco_warp", "make_vec"]),
        (lambda: envs.make_vec("franka_pick", 1, python="/bin/python"), ["isaacgym", "mujoco"]),
    ],
)
def test_a_users_mistake_says_what_exists(call, words):
    with pytest.raises(envs.EnvError) as error:
        call()
    assert all(word in str(error.value) for word in words) and error.value.exit_code == 2


@pytest.mark.parametrize(
    "backend,name,package,words",
    [
        ("robosuite", "panda_lift", "robosuite", ["robosuite 1.5.2", "make robosuite", "mujoco < 3.10"]),
        ("mujoco_warp", "franka_pick", "mujoco_warp", ["mujoco-warp", "pip install"]),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_what_installs_it(monkeypatch, backend, name, package, words):
    monkeypatch.setitem(sys.modules, package, None)  # what Python does for a name that can't be imported
    with pytest.raises(envs.EnvError) as error:
        envs.make_vec(name, 1, backend=backend)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    "schema,name,more", [(EvaluateConfig, "evaluate", ["policy=random"]), (TrainConfig, "train_dagger", [])]
)
def test_the_commands_take_the_backend_by_its_short_name_and_from_the_environments_yaml(schema, name, more):
    compose = lambda *words: command.compose(schema, name, [*more, *words]).env
    assert compose().backend == "mujoco"
    assert compose("backend=mujoco_warp").backend == compose("env.backend=mujoco_warp").backend == "mujoco_warp"
    assert compose("env=panda_lift").backend == "robosuite"
    with pytest.raises(ValueError, match="mujoco, .*robosuite"):
        compose("backend=bullet")

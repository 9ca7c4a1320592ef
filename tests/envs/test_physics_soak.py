"""The soak of the physics (tests/soak/physics.py) finds nothing in a short run, and finds the faults that it is made
for."""

import importlib.util
from pathlib import Path

import mujoco
import numpy as np
import pytest

import envs

SCRIPT = Path(__file__).parents[1] / "soak" / "physics.py"


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("physics_soak", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", envs.names())
def test_wild_actions_find_nothing(soak, name):
    row = soak.run(name, soak.adversarial, 60, seed=1)
    assert row["found"] == "nothing" and row["steps"] == 60


def test_a_contact_as_soft_as_foam_is_found(soak, monkeypatch):
    make = envs.make

    def soft(name, **options):
        env = make(name, **options)
        env.model.geom_solref[:], env.model.geom_solimp[:] = (0.2, 1), (0.1, 0.2, 0.1, 0.5, 2)
        return env

    monkeypatch.setattr(envs, "make", soft)
    row = soak.run("kuka_gripper_pick", soak.adversarial, 400, seed=0)
    assert "mm deep" in row["found"] and " in " in row["found"] and row["steps"] < 400


def sink(env, depth_m):
    """Puts the cube this deep into the table on which it lies at reset."""
    env.data.qpos[env.task.start + 2] -= depth_m
    mujoco.mj_forward(env.model, env.data)


@pytest.mark.parametrize(
    "break_it,words",
    [
        (lambda env: env.data.qvel.__setitem__(-6, 30.0), "flies at 30 m/s"),
        (lambda env: env.data.qpos.__setitem__(0, np.nan), "not finite"),
        (
            lambda env: env.data.warning.number.__setitem__(int(mujoco.mjtWarning.mjWARN_BADQVEL), 1),
            "MuJoCo warns: mjWARN_BADQVEL",
        ),
        (lambda env: sink(env, 0.036), "36 mm deep: object in table"),
    ],
)
def test_what_may_not_be_is_found(soak, break_it, words):
    env = envs.make("franka_pick", render=False)
    env.reset(seed=0)
    watch = soak.Watch(env)
    watch.see(env)
    break_it(env)
    with pytest.raises(soak.BlowUp, match=words):
        watch.see(env)

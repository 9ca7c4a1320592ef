"""Gymnasium knows every environment after `import toto_robot`, and through its plugin entry point."""

import importlib
import subprocess
import sys
import tomllib

import gymnasium
import pytest

import envs
from toto_robot.ground import gymnasium_ids
from toto_robot.ground.siblings import HOME


def test_every_own_environment_has_an_id():
    assert set(gymnasium_ids.names()) == set(envs.names())
    assert {gymnasium_ids.gymnasium_id(name) for name in envs.names()} <= set(gymnasium.registry)


@pytest.mark.parametrize("first", ["import gymnasium, toto_robot", "import toto_robot, gymnasium"])
def test_importing_toto_robot_registers_them_and_loads_no_simulator(first):
    program = f"""{first}, sys
assert not {{"envs", "mujoco", "torch", "hydra"}} & set(sys.modules)
env = gymnasium.make("toto_robot/FrankaReach-v0", render=False)
print(env.reset(seed=0)[0]["proprio"].shape)"""
    done = subprocess.run([sys.executable, "-c", program], cwd=HOME, capture_output=True, text=True, timeout=60)
    assert done.stdout == "(18,)\n", done.stderr


def test_the_plugin_entry_point_registers_them(monkeypatch):
    (plugin,) = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["entry-points"][
        "gymnasium.envs"
    ].values()
    module, _, function = plugin.partition(":")
    monkeypatch.delitem(gymnasium.registry, "toto_robot/KukaPickPixMC-v0")
    getattr(importlib.import_module(module), function)()
    assert gymnasium.spec("toto_robot/KukaPickPixMC-v0").kwargs == {"name": "kuka_pick_pixmc"}

"""Simulators by name: which environments each has, and single environments in mujoco and robosuite.

The batches of the other simulators (`envs.backends.make_vec`) are built on this module.
"""

from typing import Any

from envs.backends import isaacgym_worker, robosuite_lift
from envs.errors import EnvError
from envs.interface import Interface
from envs.registry import make_own, own_names
from toto_robot.ground.errors import unknown

BACKENDS = ("mujoco", "robosuite", "mujoco_warp", "isaacgym")


def names(backend: str = "mujoco") -> list[str]:
    """Names of the environments that a backend has. The backend need not be installed."""
    if backend not in BACKENDS:
        raise unknown("backend", backend, BACKENDS, error=EnvError)
    if backend == "isaacgym":
        return sorted(isaacgym_worker.NAMES)
    return robosuite_lift.names() if backend == "robosuite" else own_names()


def check(name: str, backend: str) -> None:
    """Raises EnvError unless `backend` has the environment `name`."""
    if name not in names(backend):
        others = [other for other in BACKENDS if other != backend and name in names(other)]
        elsewhere = f"{name} exists with backend={' and with backend='.join(others)}." if others else ""
        kind = "env" if backend == "mujoco" else f"env of backend={backend}:"
        raise unknown(kind, name, names(backend), elsewhere, error=EnvError)


def make(name: str, backend: str = "mujoco", **options) -> Any:
    """The environment `name`; `options` are `RobotEnv`'s. An unknown name is an EnvError that lists what exists.

    `backend`: mujoco or robosuite. The others have batches only (`envs.make_vec`).
    """
    check(name, backend)
    if backend == "robosuite":
        return robosuite_lift.RobosuiteLift(name, **options)
    if backend != "mujoco":
        raise EnvError(f"backend={backend} simulates batches: use envs.make_vec({name!r}, 1, backend={backend!r})")
    return make_own(name, **options)


def interface(name: str, backend: str = "mujoco", image_size: int = 128) -> Interface:
    """What the numbers of the environment `name` mean. No process starts.

    Isaac Gym's and MuJoCo Warp's environments are the same as ours of that name.
    """
    check(name, backend)
    own = "robosuite" if backend == "robosuite" else "mujoco"
    return make(name, own, render=False, image_size=image_size).interface

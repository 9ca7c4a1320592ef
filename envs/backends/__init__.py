"""Simulators by name: `make_vec("franka_pick", 32, backend="mujoco_warp")` has the contract of `envs.VectorEnv`.

mujoco is ours (`envs.robot_env`, `envs.vector`). robosuite runs robosuite's Lift, mujoco_warp our MJCF in batches on a
GPU, isaacgym a worker process in Isaac Gym's own Python. docs/backends.md says what each needs and can do.
"""

from typing import Any

from envs.backends.isaac_gym import IsaacVectorEnv
from envs.backends.single import BACKENDS, check, interface, make, names
from envs.backends.warp_batch import WarpVectorEnv
from envs.errors import EnvError
from envs.vector import VectorEnv

__all__ = ["BACKENDS", "check", "interface", "make", "make_vec", "names"]


def make_vec(name: str, num_envs: int, *, backend: str = "mujoco", python: str | None = None, **options) -> Any:
    """`num_envs` environments `name` in the simulator `backend`; `options` are `envs.VectorEnv`'s.

    Every backend gives the observations, returns and attributes of `envs.VectorEnv`. `python` is the interpreter of the
    backend isaacgym. Raises EnvError for a name that the backend does not have, an option that it can't use, and a
    package that is not installed.
    """
    check(name, backend)
    if python is not None and backend != "isaacgym":
        raise EnvError(f"python= is the interpreter of backend=isaacgym; backend={backend} runs in this one")
    if backend == "mujoco_warp":
        return WarpVectorEnv(name, num_envs, **options)
    if backend == "isaacgym":
        return IsaacVectorEnv(name, num_envs, python=python, **options)
    return VectorEnv(name, num_envs, backend=backend, **options)

"""Simulators by name: `make_vec("franka_pick", 32, backend="mujoco_warp")` has the contract of `envs.VectorEnv`.

mujoco is ours (`envs.robot_env`, `envs.vector`). robosuite runs robosuite's Lift, mujoco_warp our MJCF in batches on a GPU,
isaacgym a worker process in Isaac Gym's own Python. docs/backends.md says what each needs and can do.
"""

from envs.errors import EnvError

BACKENDS = ("mujoco", "robosuite", "mujoco_warp", "isaacgym")


def names(backend: str = "mujoco") -> list[str]:
    """Names of the environments that a backend has; it need not be installed."""
    from envs.backends import isaac_gym, robosuite_lift
    from envs.registry import own_names

    if backend not in BACKENDS:
        raise EnvError(f"backend={backend!r} does not exist; there are: {', '.join(BACKENDS)}")
    return {"robosuite": robosuite_lift.names, "isaacgym": isaac_gym.names}.get(backend, own_names)()


def check(name: str, backend: str) -> None:
    """Raises EnvError unless `backend` has the environment `name`."""
    if name not in names(backend):
        others = [other for other in BACKENDS if other != backend and name in names(other)]
        elsewhere = f" ({name} is one of backend={' and backend='.join(others)})" if others else ""
        on = "" if backend == "mujoco" else f" with backend={backend}"
        raise EnvError(f"env={name!r} does not exist{on}; there are: {', '.join(names(backend))}{elsewhere}")


def interface(name: str, backend: str = "mujoco", image_size: int = 128):
    """What the numbers of the environment `name` mean (`envs.interface.Interface`), without starting a process. Isaac Gym's and
    MuJoCo Warp's environments are ours of the same name."""
    check(name, backend)
    from envs.registry import make

    return make(
        name, "robosuite" if backend == "robosuite" else "mujoco", render=False, image_size=image_size
    ).interface


def make_vec(name: str, num_envs: int, *, backend: str = "mujoco", python: str | None = None, **options):
    """`num_envs` environments `name` in the simulator `backend`; `options` are `envs.VectorEnv`'s.

    Every backend gives the observations, returns and attributes of `envs.VectorEnv`. `python` is the interpreter of the
    backend isaacgym. Raises EnvError for a name that the backend has not, an option that it can't take, and a package
    that is not installed.
    """
    check(name, backend)
    if python is not None and backend != "isaacgym":
        raise EnvError(f"python= is the interpreter of backend=isaacgym; backend={backend} runs in this one")
    if backend == "mujoco_warp":
        from envs.backends.warp_batch import WarpVectorEnv

        return WarpVectorEnv(name, num_envs, **options)
    if backend == "isaacgym":
        from envs.backends.isaac_gym import IsaacVectorEnv

        return IsaacVectorEnv(name, num_envs, python=python, **options)
    from envs.vector import VectorEnv

    return VectorEnv(name, num_envs, backend=backend, **options)

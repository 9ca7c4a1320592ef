"""Names of environments: robot × task × protocol, as in `franka_pick` and `franka_pick_pixmc`."""

import functools

import gymnasium as gym

from envs.errors import EnvError
from envs.protocols import PROTOCOLS
from envs.robots import ROBOTS
from envs.tasks import TASKS


@functools.cache
def _parts() -> dict[str, tuple]:
    return {
        f"{robot.name}_{task.name}{PROTOCOLS[p].suffix}": (robot, task.for_hand(robot.hand), PROTOCOLS[p])
        for robot in ROBOTS.values()
        for task in TASKS.values()
        for p in task.protocols
        if PROTOCOLS[p].fits(robot)
    }


def own_names() -> list[str]:
    """The name of every environment that is composed here."""
    return sorted(_parts())


def make(name: str, backend: str = "mujoco", **options):
    """The environment `name`; options are `RobotEnv`'s. An unknown name is an error that lists what exists.

    `backend`: mujoco, or robosuite; the others have batches only (`envs.make_vec`).
    """
    from envs.backends import check

    check(name, backend)
    if backend == "robosuite":
        from envs.backends.robosuite_lift import RobosuiteLift

        return RobosuiteLift(name, **options)
    if backend != "mujoco":
        raise EnvError(f"backend={backend} simulates batches: use envs.make_vec({name!r}, 1, backend={backend!r})")
    from envs.robot_env import RobotEnv

    return RobotEnv(*_parts()[name], name=name, **options)


def register_all() -> None:
    """Puts every environment into Gymnasium's registry, e.g. `toto_robot/FrankaPick-v0`."""
    for name in own_names():
        camel = "".join(word.capitalize() for word in name.split("_")).replace("Pixmc", "PixMC")
        gym.register(
            f"toto_robot/{camel}-v0",
            entry_point="envs.registry:make",
            kwargs={"name": name},
            disable_env_checker=True,
            order_enforce=True,
        )

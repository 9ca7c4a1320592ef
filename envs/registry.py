"""Names of environments: robot × task × protocol, as in `franka_pick` and `franka_pick_pixmc`."""

import functools

import gymnasium as gym

from envs.errors import EnvError
from envs.protocols import PROTOCOLS
from envs.robots import ROBOTS
from envs.tasks import TASKS


@functools.cache
def _parts() -> dict[str, tuple]:
    return {f"{robot.name}_{task.name}{PROTOCOLS[p].suffix}": (robot, task.for_hand(robot.hand), PROTOCOLS[p])
            for robot in ROBOTS.values() for task in TASKS.values() for p in task.protocols if PROTOCOLS[p].fits(robot)}


def names() -> list[str]:
    """Every environment's name."""
    return sorted(_parts())


def make(name: str, **options):
    """The environment `name`; options are `RobotEnv`'s. An unknown name is an error that lists what exists."""
    from envs.robot_env import RobotEnv

    if name not in _parts():
        raise EnvError(f"env={name!r} does not exist; there are: {', '.join(names())}")
    return RobotEnv(*_parts()[name], name=name, **options)


def register_all() -> None:
    """Puts every environment into Gymnasium's registry, e.g. `toto_robot/FrankaPick-v0`."""
    for name in names():
        camel = "".join(word.capitalize() for word in name.split("_")).replace("Pixmc", "PixMC")
        gym.register(f"toto_robot/{camel}-v0", entry_point="envs.registry:make", kwargs={"name": name},
                     disable_env_checker=True, order_enforce=True)

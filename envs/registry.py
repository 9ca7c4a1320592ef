"""Names of our own environments: robot × task × protocol, as in `franka_pick` and `franka_pick_pixmc`."""

import functools

import gymnasium as gym

from envs.protocols import PROTOCOLS
from envs.robot_env import RobotEnv
from envs.robots import ROBOTS
from envs.tasks import TASKS


@functools.cache
def _parts() -> dict[str, tuple]:
    """{name: (robot, task, protocol)}"""
    return {
        f"{robot.name}_{task.name}{PROTOCOLS[p].suffix}": (robot, task.for_hand(robot.hand), PROTOCOLS[p])
        for robot in ROBOTS.values()
        for task in TASKS.values()
        for p in task.protocols
        if PROTOCOLS[p].fits(robot) and task.knows_hand(robot.hand)
    }


def own_names() -> list[str]:
    """The name of every environment that is composed here."""
    return sorted(_parts())


def make_own(name: str, **options) -> RobotEnv:
    """The environment `name` of `own_names`; `options` are `RobotEnv`'s."""
    return RobotEnv(*_parts()[name], name=name, **options)


def register_all() -> None:
    """Puts every environment into Gymnasium's registry, e.g. `toto_robot/FrankaPick-v0`."""
    for name in own_names():
        camel = "".join(word.capitalize() for word in name.split("_")).replace("Pixmc", "PixMC")
        gym.register(
            f"toto_robot/{camel}-v0",
            entry_point="envs:make",
            kwargs={"name": name},
            disable_env_checker=True,
            order_enforce=True,
        )

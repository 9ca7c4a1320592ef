"""Names of our own environments: robot × task × protocol, as in `franka_pick` and `franka_pick_pixmc`."""

import functools

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

"""`robot=` beside `env=`: the same task with another robot, e.g. `env=franka_pick robot=iiwa_gripper`."""

import re
from pathlib import Path

import yaml

from toto_robot.ground.errors import UserError, unknown

ALSO = {"iiwa": "kuka", "iiwa_gripper": "kuka_gripper", "panda": "franka"}
"""Other names of the robots."""
_NAME = re.compile(r"(?P<robot>\w+?)(?P<task>_(?:reach|cabinet|pick(?:_clutter|_hidden)?|move|cube)(?:_pixmc)?)")


def with_robot(argv: list[str], conf: Path, names: list[str]) -> list[str]:
    """`argv` with `robot=` merged into `env=`, or into the environment that the command's YAML `conf` names.

    `names` are the environments that exist. Raises UserError listing the robots that do the task.
    """
    given = dict(a.split("=", 1) for a in argv if a.startswith(("robot=", "env=")))
    if "robot" not in given:
        return argv
    defaults = {
        key: value
        for each in yaml.safe_load(conf.read_text())["defaults"]
        if isinstance(each, dict)
        for key, value in each.items()
    }
    robot, env = given["robot"], given.get("env") or defaults.get("env") or ""
    if env == "none":
        raise UserError(
            f"robot={robot}: env=none has no robot of ours. Leave robot= out; data.robot={robot} names the robot of "
            "the demonstrations."
        )
    known = _NAME.fullmatch(env)
    if known is None:
        given_env = f"env={env}" if env else "no env="
        raise UserError(f"robot={robot}: {given_env} is not ROBOT_TASK. Write env=franka_pick robot={robot}.")
    robots = [n.removesuffix(known["task"]) for n in names if n.endswith(known["task"])]
    name = ALSO.get(robot, robot)
    if name not in robots:
        also = [other for other, own in ALSO.items() if own in robots]
        raise unknown(f"robot with env={env}:", robot, robots + also)
    return [a for a in argv if not a.startswith(("robot=", "env="))] + [f"env={name}{known['task']}"]

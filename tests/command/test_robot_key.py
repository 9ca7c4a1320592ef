"""`robot=` beside `env=`."""

import pytest

from demos.inspect import InspectConfig
from policies.dagger.train import TrainConfig
from toto_robot import command
from toto_robot.evaluate import EvaluateConfig
from toto_robot.ground.errors import UserError


def env_of(*argv: str) -> str:
    return command.compose(TrainConfig, "train_dagger", list(argv)).env.name


@pytest.mark.parametrize(
    "argv, name",
    [
        (["env=franka_pick", "robot=iiwa_gripper"], "kuka_gripper_pick"),
        (["robot=iiwa", "env=franka_reach_pixmc"], "kuka_reach_pixmc"),
        (["robot=kuka"], "kuka_pick"),
        (["env=kuka_gripper_cabinet", "robot=franka"], "franka_cabinet"),
        (["env=franka_pick_clutter", "robot=panda"], "franka_pick_clutter"),
        (["env=kuka_move"], "kuka_move"),
    ],
)
def test_robot_is_the_same_task_with_another_robot(argv, name):
    assert env_of(*argv) == name
    assert command.compose(EvaluateConfig, "evaluate", ["expert", *argv], ("policy",)).env.name == name


def test_a_robot_that_does_not_do_the_task_is_refused_with_those_that_do():
    with pytest.raises(UserError, match="Unknown robot .*'ur5'.*franka, iiwa, iiwa_gripper, kuka, kuka_gripper, panda"):
        env_of("env=franka_reach", "robot=ur5")
    with pytest.raises(UserError, match="kuka_gripper.*What exists: franka, iiwa, kuka, panda"):
        env_of("env=franka_pick_pixmc", "robot=kuka_gripper")
    with pytest.raises(UserError, match="panda_lift is not ROBOT_TASK. Write env=franka_pick robot=kuka"):
        env_of("env=panda_lift", "robot=kuka")


def test_a_command_without_environments_has_no_such_key():
    with pytest.raises(UserError, match="Unknown key 'robot'"):
        command.compose(InspectConfig, "inspect", ["a", "robot=kuka"], ("path",))


def test_without_an_environment_the_error_says_which_key_names_the_robot():
    with pytest.raises(UserError, match="data.robot=fr3"):
        env_of("env=none", "robot=fr3")

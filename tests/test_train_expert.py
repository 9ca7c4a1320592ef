import json

import pytest

from toto_robot import command, train_dagger
from toto_robot.ground.errors import UserError
from toto_robot.train_expert import ExpertConfig, main

TINY = [
    "threads=1",
    "env.workers=1",
    "episodes=1",
    "algo.num_envs=4",
    "algo.total_steps=512",
    "algo.steps_per_round=256",
]
PPO = [*TINY, "algo.ppo.n_steps=32", "run=ppo"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, command_process):
    """The real command on the real environment, as a process."""
    folder = tmp_path_factory.mktemp("work")
    done = command_process(folder, "toto_robot.train_expert", *PPO)
    assert done.returncode == 0, done.stderr
    return folder, done


def last_line(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_command_ends_with_the_success_line_and_then_the_json_line(trained):
    lines = trained[1].stdout.splitlines()
    assert lines[-2].startswith("success ") and lines[-2].endswith("Wilson)")
    keys = "env policy episodes successes success wilson95 mean_steps train_seconds env_steps peak_memory_gb"
    assert list(json.loads(lines[-1])) == keys.split()


def test_the_runs_folder_is_complete(trained):
    run = trained[0] / "runs" / "ppo"
    for name in (
        "config.yaml",
        "metrics.jsonl",
        "learning_curve.png",
        "tb",
        "policy/policy.yaml",
        "result.json",
        "rollouts.mp4",
    ):
        assert (run / name).exists(), name
    assert not list(run.rglob("*.zip")) and not list(run.rglob("*.pkl"))  # nothing that would have to be unpickled


def test_the_expert_of_a_run_does_in_the_simulators_process_what_its_policy_does(trained, command_process):
    as_policy = command_process(
        trained[0], "toto_robot.evaluate", "ppo", "env=franka_reach", "episodes=1", "env.workers=1"
    )
    as_expert = command_process(
        trained[0], "toto_robot.evaluate", "expert", "expert=ppo", "env=franka_reach", "episodes=1", "env.workers=1"
    )
    ours, theirs, own = last_line(as_policy), last_line(as_expert), json.loads(trained[1].stdout.splitlines()[-1])
    same = ("env", "episodes", "successes", "mean_steps")
    assert [ours[k] for k in same] == [theirs[k] for k in same] == [own[k] for k in same]


def test_dagger_learns_from_the_expert_of_a_run(trained, command_process):
    argv = [
        "env=franka_reach",
        "encoder=privileged",
        "expert=runs/ppo",
        "run=student",
        "episodes=0",
        "threads=1",
        "env.workers=1",
        "dagger.rounds=1",
        "dagger.num_envs=4",
        "dagger.first_round_steps=80",
        "learner.updates_per_round=10",
    ]
    assert last_line(command_process(trained[0], "toto_robot.train_dagger", *argv))["env_steps"] == 80


def test_demonstrations_are_recorded_by_the_expert_of_a_run(trained, command_process):
    argv = ["out=set", "env=franka_reach", "expert=ppo", "episodes=1", "keep=all", "num_envs=1", "env.workers=1"]
    assert last_line(command_process(trained[0], "demos.record", *argv))["episodes"] == 1


def test_an_expert_of_another_environment_is_refused_before_anything_starts(trained, monkeypatch):
    monkeypatch.chdir(trained[0])
    argv = ["env=franka_pick", "encoder=privileged", "expert=ppo", "run=wrong"]
    with pytest.raises(UserError, match="trained in env=franka_reach"):
        train_dagger.main(command.compose(train_dagger.TrainConfig, "train_dagger", argv))
    assert not (trained[0] / "runs" / "wrong").exists()


def test_a_policy_from_pixels_on_frozen_features_is_one_that_evaluate_loads(tmp_path, command_process):
    argv = [
        *TINY,
        "algo=ppo_mvp",
        "env=franka_reach_pixmc",
        "encoder=dvae_codes",
        "encoder.pooling=mean",
        "encode_processes=1",
        "algo.total_steps=16",
        "algo.ppo.n_steps=4",
        "episodes=0",
        "run=pixels",
    ]
    done = command_process(tmp_path, "toto_robot.train_expert", *argv)
    assert last_line(done)["env_steps"] == 16
    argv = ["pixels", "env=franka_reach_pixmc", "episodes=1", "env.workers=1", "encode_processes=1"]
    assert last_line(command_process(tmp_path, "toto_robot.evaluate", *argv))["episodes"] == 1


@pytest.mark.parametrize(
    "argv",
    [
        ["algo=trpo"],
        ["env.name=franka_fly"],
        ["encoder=resnet"],
        ["algo.gamma=2"],
        ["algo.at_success=win"],
        ["algo.lr=0"],
        ["policy.feature_dropout=0.5"],
        ["algo.ppo.epochs=0"],
    ],
)
def test_every_mistake_is_the_users_and_leaves_no_run_behind(argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:
        main(command.compose(ExpertConfig, "train_expert", argv))
    assert error.value.exit_code == 2 and argv[-1].split("=")[1] in str(error.value)
    assert not list(tmp_path.iterdir())

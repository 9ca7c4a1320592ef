import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toto_robot import command
from toto_robot.train_dagger import TrainConfig, main

TINY = [
    "encoder=privileged",
    "run=tiny",
    "episodes=1",
    "threads=1",
    "dagger.rounds=2",
    "dagger.num_envs=4",
    "dagger.first_round_steps=160",
    "dagger.steps_per_round=40",
    "learner.updates_per_round=20",
    "env.workers=1",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, command_process):
    """The real command on the real environment, as a process."""
    folder = tmp_path_factory.mktemp("work")
    done = command_process(folder, "toto_robot.train_dagger", *TINY)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_command_ends_with_the_success_line_and_then_the_json_line(trained):
    lines = trained[1].stdout.splitlines()
    assert lines[-2].startswith("success ") and lines[-2].endswith("Wilson)")
    keys = "env policy episodes successes success wilson95 mean_steps train_seconds env_steps"
    keys += " expert_queries interventions expert_steps peak_memory_gb"
    assert list(json.loads(lines[-1])) == keys.split()


def test_the_runs_folder_is_complete_and_its_video_plays(trained):
    from toto_robot.video.decode import read_frames

    run = trained[0] / "runs" / "tiny"
    for name in ("config.yaml", "metrics.jsonl", "learning_curve.png", "tb", "policy/policy.yaml", "result.json"):
        assert (run / name).exists()
    frames, _ = read_frames(run / "rollouts.mp4")
    assert len(frames) > 20
    assert sorted(p.name for p in trained[0].iterdir()) == ["runs"]


def test_evaluating_the_saved_policy_gives_the_runs_own_result(trained, command_process):
    done = command_process(trained[0], "toto_robot.evaluate", "tiny", "episodes=1", "env.workers=1")
    assert done.returncode == 0, done.stderr
    ours, theirs = (json.loads(text.splitlines()[-1]) for text in (done.stdout, trained[1].stdout))
    same = ("env", "episodes", "successes", "success", "wilson95", "mean_steps")
    assert [ours[k] for k in same] == [theirs[k] for k in same]


def test_a_mistake_is_one_line_with_exit_code_two_and_leaves_no_run_behind(tmp_path, command_process):
    done = command_process(tmp_path, "toto_robot.train_dagger", "env=franka_pik")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout, done.stderr
    assert "franka_pick, franka_pick_clutter" in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "argv",
    [
        ["encoder=vgg"],
        ["policy=rnn"],
        ["encoder=none", "expert=oracle"],
        ["encoder=none", "env.name=franka_fly"],
        ["dagger.rounds=0"],
        ["encoder.name=resnet50"],
        ["encoder.pooling=max"],
    ],
)
def test_every_mistake_is_the_users_and_leaves_no_run_behind(argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:
        main(command.compose(TrainConfig, "train_dagger", argv))
    assert error.value.exit_code == 2 and argv[-1].split("=")[1] in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_person_at_a_terminal_shows_the_task_takes_the_arm_and_gives_it_back(tmp_path):
    """Two rounds of a second each: keys in the first, then t, a key, t."""
    terminal, inside = os.openpty()
    settings = [
        "gate=hg",
        "gate.person=keyboard",
        "gate.live=view.png",
        "dagger=person",
        "dagger.rounds=2",
        "dagger.num_envs=1",
        "dagger.first_round_steps=20",
        "dagger.steps_per_round=40",
        "encoder=privileged",
        "learner.updates_per_round=5",
        "learner.batch_size=8",
        "episodes=1",
        "run=taught",
        "threads=1",
    ]
    command = [sys.executable, "-m", "toto_robot.train_dagger", "env=franka_pick", *settings]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        command, stdin=inside, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env
    )
    committed = tmp_path / "runs" / "taught" / "checkpoints" / "round_0000" / "state.json"
    until = time.time() + 120
    while not committed.exists() and process.poll() is None and time.time() < until:
        os.write(terminal, b"w")
        time.sleep(0.1)
    os.write(terminal, b"tw")  # 40 steps at 20 Hz: the arm is taken at the first of them
    time.sleep(0.5)
    os.write(terminal, b"t")
    out, err = process.communicate(timeout=120)
    os.close(terminal), os.close(inside)
    assert process.returncode == 0, err
    result = json.loads(out.splitlines()[-1])
    assert "t takes the arm" in err and (tmp_path / "view.png").read_bytes()[:4] == b"\x89PNG"
    assert result["interventions"] == 1 and 20 < result["expert_queries"] == result["expert_steps"] < 60

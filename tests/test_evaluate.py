import json

import pytest
import torch

from toto_robot import command
from toto_robot.evaluate import EvaluateConfig, main
from toto_robot.ground.errors import UserError


def run(capsys, *argv):
    cfg = command.compose(EvaluateConfig, "evaluate", [*argv, "episodes=2", "num_envs=2", "env.workers=1"], ("policy",))
    command.print_json(main(cfg))
    return capsys.readouterr().out


def test_the_expert_lifts_the_cube_and_the_json_line_has_exactly_the_promised_keys(capsys):
    out = run(capsys, "expert", "env=franka_pick")
    line = json.loads(out.splitlines()[-1])
    assert list(line) == ["env", "policy", "episodes", "successes", "success", "wilson95", "mean_steps"]
    assert (line["env"], line["policy"], line["successes"]) == ("franka_pick", "expert", 2)
    assert "success 2/2 = 100.0 %" in out.splitlines()[0]


def test_random_actions_run_under_a_shift_and_in_the_other_protocol(capsys):
    line = json.loads(run(capsys, "policy=random", "env=franka_pick_pixmc", "shift=all").splitlines()[-1])
    assert (line["env"], line["successes"]) == ("franka_pick_pixmc", 0)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ({"policy": "nowhere"}, "No policy at 'nowhere'"),
        ({"policy": "random", "shift": "colr"}, "all, blur, camera, cloth, colour"),
        ({"policy": "random", "episodes": 0}, "episodes"),
        ({"policy": "random", "threads": 0}, "threads: expected"),
        ({"policy": "random", "protocol": "trials"}, "episodes, trials16"),
        ({"policy": "expert", "expert": "oracle"}, "scripted"),
    ],
)
def test_a_mistake_says_what_exists(argv, words):
    with pytest.raises(UserError, match=words):
        main(EvaluateConfig(**argv))


def test_the_papers_sixteen_trials_stand_beside_the_episodes(capsys):
    out = run(capsys, "expert", "env=franka_pick", "protocol=trials16", "num_envs=4")
    line = json.loads(out.splitlines()[-1])
    assert line["episodes"] == 2 and line["protocol"] == "trials16" and line["trials"] == "16/16"
    assert len(set(line["trials_seeds"])) == 16 and line["trials_wilson95"][1] == 1.0
    assert out.splitlines()[0].startswith("trials16: success 16/16 = 100.0 % (95 % CI 80.6–100.0, Wilson)")


def test_the_embedded_policy_picks_the_cube(capsys):
    line = json.loads(run(capsys, "bc_cube", "env=franka_cube", "encode_processes=1").splitlines()[-1])
    assert (line["policy"], line["successes"]) == ("bc_cube", 2)


def test_a_policy_does_not_run_at_another_rate():
    with pytest.raises(
        UserError,
        match="bc_cube does not fit env=franka_pick: it acts at 10 Hz and env=franka_pick at 20 Hz.* franka_cube",
    ):
        main(EvaluateConfig(policy="bc_cube", episodes=1, encode_processes=1))


def test_threads_are_those_of_pytorch_in_this_process():
    before = torch.get_num_threads()
    try:
        with pytest.raises(UserError, match="nowhere"):
            main(command.compose(EvaluateConfig, "evaluate", ["nowhere", f"threads={before + 1}"], ("policy",)))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)

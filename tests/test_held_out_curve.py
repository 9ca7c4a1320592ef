import json

import pytest

from toto_robot import command
from toto_robot.ground.errors import UserError
from toto_robot.held_out_curve import HeldOutCurveConfig, main


def run(folder, errors, **more):
    folder.mkdir()
    rows = [
        {
            "round": i,
            "epochs": 5 * i + 5,
            "updates": 10 * i,
            "loss": 0.1,
            "held_out_error": error,
            "held_out_mean_action": 0.8,
            "held_out_previous_action": None,
            "held_out/x_m": error / 10,
        }
        | more
        for i, error in enumerate(errors)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def test_the_line_has_the_smallest_error_of_each_run(tmp_path):
    runs = [run(tmp_path / "a", (0.5, 0.2, 0.3)), run(tmp_path / "b", (0.4,))]
    line = main(HeldOutCurveConfig(runs, out=str(tmp_path / "c.png")))
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert line["runs"][runs[0]] == {
        "epoch": 10,
        "error": 0.2,
        "mean_action": 0.8,
        "previous_action": None,
        "dimensions": {"x_m": pytest.approx(0.02)},
    }
    assert line["runs"][runs[1]]["epoch"] == 5


def test_what_is_no_run_with_held_out_episodes_is_a_users_error(tmp_path):
    for runs, words in (
        ([], "needs runs="),
        ([str(tmp_path)], "has no metrics.jsonl"),
        ([run(tmp_path / "a", (0.5,), held_out_error=None)], "data.held_out=0.1"),
    ):
        with pytest.raises(UserError, match=words):
            main(command.compose(HeldOutCurveConfig, "held_out_curve", [f"runs=[{','.join(runs)}]"]))
    with pytest.raises(UserError, match="titles: expected 1"):
        HeldOutCurveConfig(["a"], ["b", "c"])

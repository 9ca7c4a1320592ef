"""Runs of one name are seeds of one condition."""

import json

import pytest
from PIL import Image

from toto_robot.compare import CompareConfig, by_condition, main
from toto_robot.ground.errors import UserError


def run(folder, values):
    folder.mkdir()
    rows = [{"env_steps": 100 * (i + 1), "eval_success": v} for i, v in enumerate(values)]
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(r) + "\n" for r in [*rows, {"env_steps": 999, "eval_success": None}])
    )
    return str(folder)


def test_seeds_of_a_condition_share_a_line(tmp_path):
    runs = [
        run(tmp_path / "toto-0", [0.1, 0.9]),
        run(tmp_path / "toto-1", [0.2, 1.0]),
        run(tmp_path / "codes", [0, 0.5]),
    ]
    assert {k: len(v) for k, v in by_condition(runs).items()} == {"toto": 2, "codes": 1}
    out = main(CompareConfig(runs=runs, out=str(tmp_path / "a.png")))
    assert out["last"]["toto"] == {"seeds": 2, "steps": 200, "success": [0.9, 1.0]}
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_panels_stand_side_by_side(tmp_path):
    a, b = run(tmp_path / "toto_mean-0", [0.1, 0.9]), run(tmp_path / "toto_grid-0", [0.2, 1.0])
    out = main(
        CompareConfig(runs=[a], second=[b], titles=["mean pooling", "grid pooling"], out=str(tmp_path / "a.png"))
    )
    assert set(out["last"]) == {"toto_mean", "toto_grid"}
    assert Image.open(tmp_path / "a.png").width > 1.5 * Image.open(tmp_path / "a.png").height


def test_runs_that_cannot_be_compared_are_named(tmp_path):
    with pytest.raises(UserError, match="not a run"):
        main(CompareConfig(runs=[str(tmp_path)]))
    with pytest.raises(UserError, match="runs="):
        CompareConfig()
    with pytest.raises(UserError, match="eval_every"):
        main(CompareConfig(runs=[run(tmp_path / "a", [])]))
    with pytest.raises(UserError, match="different steps"):
        main(CompareConfig(runs=[run(tmp_path / "b-0", [1]), run(tmp_path / "b-1", [1, 1])]))


def test_an_axis_that_would_hide_a_point_is_refused(tmp_path):
    runs = [run(tmp_path / "toto-0", [0.6, 0.9])]
    main(CompareConfig(runs=runs, lowest=60, out=str(tmp_path / "a.png")))
    with pytest.raises(UserError, match=r"lowest=70 would hide toto \(1 seed\) at 60 %"):
        main(CompareConfig(runs=runs, lowest=70, out=str(tmp_path / "a.png")))
    with pytest.raises(UserError, match="expected 0 to 99"):
        CompareConfig(runs=runs, lowest=100)

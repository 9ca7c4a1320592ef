"""The table of a comparison: every score in its cell, and intervals that hold the spread of seeds and episodes."""

import json

import pytest

from policies.scoring.statistics import over_seeds95
from toto_robot import verdict
from toto_robot.ground.errors import UserError


def run(root, name, successes, **shifts):
    folder = root / name
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps({"successes": successes, "episodes": 100}, indent=1))
    for shift, scored in shifts.items():
        line = json.dumps({"successes": scored, "episodes": 100})
        (folder / f"shift_{shift}.json").write_text(f"a table\n{line}\n")
    return str(folder)


def test_an_interval_over_seeds_holds_the_spread_of_the_seeds_and_of_the_episodes():
    mean, low, high = over_seeds95([(90, 100), (10, 100), (50, 100)])
    assert mean == pytest.approx(0.5) and low < 0.2 and high > 0.8
    mean, low, high = over_seeds95([(50, 50)] * 3)
    assert mean == 1.0 == high and 0.96 < low < 1.0
    narrow, wide = over_seeds95([(300, 600)]), over_seeds95([(30, 60)])
    assert narrow[2] - narrow[1] < wide[2] - wide[1]
    assert over_seeds95([(3, 9), (5, 9)]) == over_seeds95([(3, 9), (5, 9)])


def test_every_score_stands_in_the_cell_of_its_condition_and_look(tmp_path):
    runs = [run(tmp_path, f"toto-{seed}", 98 + seed, light=90) for seed in (0, 1)] + [run(tmp_path, "codes-0", 40)]
    line = verdict.main(verdict.VerdictConfig(runs=runs, out=str(tmp_path / "t.md"), title="pick"))
    assert line["rows"]["toto"]["nominal"]["mean"] == 98.5 and line["rows"]["toto"]["light"]["seeds"] == 2
    text = (tmp_path / "t.md").read_text()
    assert "| input | seeds | nominal | light |" in text
    assert "| codes | 1 | 40 (" in text and text.count("–") >= 4 and "| – |" in text


def test_numbers_of_demonstrations_are_columns_in_their_order(tmp_path):
    runs = [run(tmp_path, f"clone_toto-{count}-{seed}", count) for count in (10, 5, 40) for seed in (0, 1)]
    verdict.main(verdict.VerdictConfig(runs=runs, out=str(tmp_path / "t.md")))
    assert "| input | seeds | 5 | 10 | 40 |" in (tmp_path / "t.md").read_text()


def test_a_folder_that_is_no_scored_run_is_named(tmp_path):
    with pytest.raises(UserError, match="CONDITION-SEED"):
        verdict.read([str(tmp_path / "toto")])
    (tmp_path / "toto-0").mkdir()
    with pytest.raises(UserError, match="toto-0/result.json"):
        verdict.read([str(tmp_path / "toto-0")])

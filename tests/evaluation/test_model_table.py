import json

import pytest
import yaml

from toto_robot.evaluation.model_table import markdown, read_row
from toto_robot.ground.errors import UserError


def run(folder, init=None, **result):
    (folder / "probe").mkdir(parents=True)
    result = {"parameters": 2_000_000, "tokens": 1000, "flops": 2e9, "held_out": 2.5, **result}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "config.yaml").write_text(yaml.safe_dump({"init": init}))
    scores = [
        {"encoder": "e", "layer": layer, "pooling": pooling, "r2": 0.1 * layer, "error_mm": 50.0 - layer}
        for layer in (1, 2)
        for pooling in ("mean", "attention", "grid")
    ]
    (folder / "probe" / "probe.json").write_text(json.dumps({"scores": scores}))
    return folder


def test_a_row_has_the_costs_of_every_run_it_came_from_and_its_best_layer(tmp_path):
    first = run(tmp_path / "first", tokens=3000, flops=6e9)
    row = read_row(run(tmp_path / "second", init=str(first / "model")))
    assert (row.tokens, row.flops, row.loss) == (4000, 8e9, 2.5)
    assert row.probes["grid"] == (2, 0.2, 48.0)
    assert markdown([row]).splitlines()[2] == (
        "| second | 2.00M | 4,000 | 8.00e+09 | 2.500 | 2, 0.200, 48.0 | 2, 0.200, 48.0 | 2, 0.200, 48.0 |"
    )


def test_weights_from_a_folder_that_is_no_run_cost_nothing_known(tmp_path):
    assert read_row(run(tmp_path / "a", init=str(tmp_path / "elsewhere"))).tokens == 1000


def test_an_unfinished_run_or_one_without_a_probe_is_refused(tmp_path):
    folder = run(tmp_path / "a")
    (folder / "probe" / "probe.json").unlink()
    with pytest.raises(UserError, match="toto_robot.probe"):
        read_row(folder)
    with pytest.raises(UserError, match="toto_robot.pretrain"):
        read_row(tmp_path)

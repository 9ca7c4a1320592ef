import json

import numpy as np
import pytest

from toto_robot.evaluation.scaling import T_975, fit, load_run
from toto_robot.ground.errors import UserError
from toto_robot.scaling import ScalingConfig, main


def test_an_exact_power_law_is_found_and_its_interval_is_a_point():
    macs = np.array([1e14, 3e14, 1e15, 2e16])
    law = fit(macs, 7.32 * macs**-0.0378)
    assert law.factor == pytest.approx(7.32) and law.exponent == pytest.approx(0.0378)
    assert law.exponent95 == pytest.approx((0.0378, 0.0378))
    assert law(macs) == pytest.approx(7.32 * macs**-0.0378)


def test_the_interval_is_the_one_of_linear_regression():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    macs = np.geomspace(1e13, 1e17, 6)
    loss = 5 * macs**-0.05 * np.exp(rng.normal(0, 0.02, 6))
    theirs, law = stats.linregress(np.log(macs), np.log(loss)), fit(macs, loss)
    t = stats.t.ppf(0.975, 4)
    assert law.exponent == pytest.approx(-theirs.slope)
    assert law.exponent95[0] == pytest.approx(-theirs.slope - t * theirs.stderr, rel=1e-3)
    assert np.log(law.factor95[1] / law.factor) == pytest.approx(t * theirs.intercept_stderr, rel=1e-3)
    assert pytest.approx(stats.t.ppf(0.975, np.arange(1, 11)), abs=1e-3) == T_975


def test_the_interval_covers_the_truth_nineteen_times_in_twenty():
    rng, macs, hits = np.random.default_rng(1), np.geomspace(1e13, 1e16, 5), 0
    for _ in range(400):
        low, high = fit(macs, 5 * macs**-0.05 * np.exp(rng.normal(0, 0.02, 5))).exponent95
        hits += low <= 0.05 <= high
    assert 0.92 < hits / 400 < 0.98


@pytest.mark.parametrize("macs", [[1e14, 1e15], [1e14, 1e14, 1e14]])
def test_too_few_runs_or_equal_ones_are_refused(macs):
    with pytest.raises(UserError, match="runs"):
        fit(macs, [3.0] * len(macs))


def test_the_command_draws_the_runs_and_refuses_other_folders(tmp_path):
    for name, scale in (("a1", 1), ("a2", 4), ("a3", 16)):
        (tmp_path / name).mkdir()
        lines = [{"step": s, "flops": 200.0 * s * scale, "held_out": 3 * (100 * s * scale) ** -0.05} for s in (1, 2, 4)]
        (tmp_path / name / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (tmp_path / name / "result.json").write_text(json.dumps({"parameters": 10 * scale}))
    result = main(
        ScalingConfig(runs=[str(tmp_path / name) for name in ("a1", "a2", "a3")], out=str(tmp_path / "s.png"))
    )
    assert result["exponent"] == pytest.approx(0.05) and (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert load_run(tmp_path / "a2").macs.tolist() == [400, 800, 1600]
    with pytest.raises(UserError, match="not a finished run"):
        load_run(tmp_path)
    (tmp_path / "a2" / "log.jsonl").write_text('{"step": 1, "tokens": 100, "held_out": 3.0}\n')
    with pytest.raises(UserError, match="does not say what compute it took"):
        load_run(tmp_path / "a2")

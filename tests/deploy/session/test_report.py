"""Numbers that are printed: percentiles, shares, the live line."""

import numpy as np

from deploy.control.plan import Period
from deploy.session.report import Counts, Timings, outcome_line, periods_line, status_line


def test_percentiles_are_in_milliseconds_and_leave_out_what_was_not_measured():
    timings = Timings()
    for i in range(1, 101):
        timings.add(inference=i / 1000, command=float("nan"))
    assert timings.summary() == {"inference": {"p50_ms": 50.5, "p99_ms": 99.01, "max_ms": 100.0, "n": 100}}
    assert timings.table().row_count == 1


def test_the_share_of_missed_periods_of_none_is_none():
    assert Counts().missed_share() == 0.0
    assert Counts(periods=8, missed=2).missed_share() == 0.25


def test_the_share_of_missed_periods_is_told_beside_the_rate():
    line = periods_line(Counts(periods=848, missed=27, late=5, limited=3), 0.1)
    assert line.startswith("10 Hz: 27 of 848 control periods (3.2 %) without an action in time, 5 actions dropped")
    assert periods_line(Counts(), 0.1) == "no control period was run"


def test_an_outcome_tells_the_seed_with_which_it_can_be_run_again():
    assert outcome_line(3, 77, 41, True) == "episode 3: success after 41 steps (seed 77)"
    assert "no success" in outcome_line(1, 0, 5, False)


def test_the_live_line_tells_state_rate_and_how_far_the_arm_is_behind():
    q = np.zeros(7)
    period = Period(0, 4, 4, 1.0, "run", np.zeros(8), q, q + 0.012, 0.08, "", 0, 0.0, 0.05, False)
    line = status_line("run", 0, 2, period, 9.7, Counts(missed=3), 0.021)
    assert "RUN" in line and "episode 1/2" in line and "9.7 Hz" in line and "21 ms" in line and "12 mrad" in line
    assert "INIT" in status_line("init", 0, 2, None, 0, Counts(), 0)

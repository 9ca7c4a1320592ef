"""The harness of the benchmarks, on a machine that a fake clock makes slower, faster and busy."""

import random

import numpy as np
import pytest

from benchmarks.alternation import BUSY, Ratio, alternate, repeated


class FakeMachine:
    """A clock that only work moves: a call of cost c takes c times the slowness of that moment, in seconds."""

    def __init__(self, slowness=lambda now_s: 1.0):
        self.now_s, self.slowness, self.calls = 0.0, slowness, []

    def clock(self):
        return self.now_s

    def work(self, name, cost_s, units=1.0):
        def call():
            self.calls.append(name)
            self.now_s += cost_s * self.slowness(self.now_s)

        return repeated(call, units, self.clock)


def two(machine, seconds=9.0, rounds=9):
    """A thing of 10 ms and a peer of 30 ms: the thing is three times as fast."""
    return alternate({"thing": machine.work("thing", 0.01), "peer": machine.work("peer", 0.03)}, seconds, rounds)


def test_a_steady_machine_gives_the_exact_ratio_without_a_warning():
    rounds = two(FakeMachine())
    ratio = rounds.ratio("thing", "peer")
    assert ratio.median == pytest.approx(3) and ratio.spread < 1e-9 and rounds.warning() == ""
    assert rounds.unit_s("thing") == pytest.approx(0.01) and rounds.rate("peer") == pytest.approx(100 / 3)


@pytest.mark.parametrize("end", [0.3, 3.0])
def test_a_drift_cancels_in_the_ratio_where_it_spoils_two_measurements_in_a_row(end):
    """The machine's slowness goes from 1 to `end` while it is measured."""
    drift = lambda now_s: 1 + (end - 1) * min(now_s / 18, 1)
    ratio = two(FakeMachine(drift)).ratio("thing", "peer")
    assert ratio.median == pytest.approx(3, rel=0.02)
    machine = FakeMachine(drift)
    in_a_row = [machine.work(name, cost)(9.0) for name, cost in (("thing", 0.01), ("peer", 0.03))]
    assert abs(in_a_row[1] / in_a_row[0] / 3 - 1) > 0.3


def test_a_busy_machine_is_named_in_a_warning():
    draw = random.Random(0)
    rounds = two(FakeMachine(lambda now_s: draw.choice([1, 1, 8])), seconds=0.5)
    ratio = rounds.ratio("thing", "peer")
    assert ratio.spread > BUSY
    assert "the machine was busy" in rounds.warning() and "thing / peer" in rounds.warning()


def test_only_ratios_that_were_asked_for_are_judged():
    draw = random.Random(0)
    assert two(FakeMachine(lambda now_s: draw.choice([1, 8])), seconds=0.5).warning() == ""


def test_the_windows_of_a_round_run_forth_and_back_after_a_warm_up():
    machine = FakeMachine()
    two(machine, seconds=0.0, rounds=2)
    assert machine.calls == ["thing", "peer"] + 2 * ["thing", "peer", "peer", "thing"]


def test_the_warm_up_is_not_counted():
    slow_start = FakeMachine(lambda now_s: 100.0 if now_s == 0 else 1.0)
    rounds = two(slow_start)
    assert rounds.seconds["thing"].max() == pytest.approx(0.01) and len(rounds.seconds["thing"]) == 9


def test_a_unit_is_a_part_of_a_call_and_a_scale_makes_a_share():
    machine = FakeMachine()
    things = {"batch": machine.work("batch", 0.4, units=32), "matmul": machine.work("matmul", 0.1, units=1e9)}
    rounds = alternate(things, 9.0)
    assert rounds.unit_s("batch") == pytest.approx(0.4 / 32)
    # 5e7 FLOP a frame at 80 frames/s are 4 GFLOP/s of the 10 that the product reaches.
    assert rounds.ratio("batch", "matmul", scale=5e7).median == pytest.approx(0.4)


def test_a_ratio_is_shown_with_its_spread():
    ratio = Ratio(np.array([1.0, 2.0, 3.0, 4.0, 5.0]) / 5)
    assert ratio.times() == "0.60× (0.40 to 0.80)" and ratio.share() == "60 % (40 to 80)"
    assert ratio.spread == pytest.approx(2 / 3)


def test_too_few_rounds_are_named_in_a_warning():
    rounds = two(FakeMachine(), rounds=2)
    assert rounds.warning() == ""
    rounds.ratio("thing", "peer")
    assert "fewer than 3 rounds" in rounds.warning()

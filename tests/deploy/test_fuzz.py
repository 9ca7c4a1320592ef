"""The soak's fuzz with small counts; `make soak` has the full ones."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))

import deploy_fuzz


@pytest.mark.parametrize("kind, count", [("actions", 30), ("cameras", 3), ("faults", 4)])
def test_nothing_out_of_limits_is_sent_and_the_arm_is_let_go(kind, count):
    rows = deploy_fuzz.fuzz({kind: count}, seed=1)
    assert rows[0]["count"] >= count

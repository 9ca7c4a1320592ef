import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.scoring.statistics import summary_line, wilson95


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(197, 200, 0.9568, 0.9949), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_matches_published_values(k, n, low, high):
    # 81/263: Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    assert wilson95(k, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_contains_the_rate_and_stays_a_probability(kn):
    low, high = wilson95(*kn)
    assert 0 <= low <= kn[0] / kn[1] <= high <= 1


def test_the_summary_line_is_the_one_promised():
    assert summary_line(197, 200) == "success 197/200 = 98.5 % (95 % CI 95.7–99.5, Wilson)"


@pytest.mark.parametrize("kn", [(1, 0), (3, 2), (-1, 5)])
def test_impossible_counts_are_refused(kn):
    with pytest.raises(ValueError, match="expected"):
        wilson95(*kn)

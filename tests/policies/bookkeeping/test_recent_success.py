"""The success that a training run reports for its newest episodes."""

from hypothesis import given
from hypothesis import strategies as st

from policies.bookkeeping.recent_success import NEWEST, mean_outcome, settled, still_needed


def test_the_newest_episodes_count_in_whatever_order_they_ended():
    assert mean_outcome(settled([], 10, 5)) is None
    old, new = [(step, False, 1.0) for step in range(50)], [(step, True, 2.0) for step in range(50, 50 + NEWEST)]
    for ended in (old + new, new + old):
        counted = settled(ended, 50 + NEWEST + 50, 50)
        assert mean_outcome(counted) == 1.0 and mean_outcome(counted, 2) == 2.0


def test_short_episodes_count_no_more_than_those_that_take_longer():
    """Half of the episodes fail, which takes ten times as long: ten slots begin with one, ten with a success."""
    episodes = [(0, 100, False)] * 10 + [(0, 10, True), (10, 110, False)] * 10
    for now, expected in ((60, None), (100, 10 / 20), (110, 10 / 30)):
        ended = [(start, success) for start, end, success in episodes if end <= now]
        assert mean_outcome(settled(ended, now, 100)) == expected


@given(
    st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=300),
    st.integers(0, 400),
    st.integers(0, 400),
    st.integers(1, 100),
)
def test_what_is_forgotten_is_never_asked_for_again(ended, first, later, horizon):
    now, then = sorted((first, later))
    assert sorted(settled(still_needed(ended, now, horizon), then, horizon)) == sorted(settled(ended, then, horizon))


def test_what_is_kept_does_not_grow_with_the_run():
    ended = [(step, True) for step in range(10_000)]
    assert len(still_needed(ended, 10_000, 50)) == NEWEST + 49


def test_of_episodes_that_began_together_all_count_or_none():
    ended = [(0, False)] * 5 + [(7, True)] * 60 + [(7, False)] * 60
    assert mean_outcome(settled(ended, 100, 50)) == 0.5

from hypothesis import given
from hypothesis import strategies as st

from policies.seeds import EVALUATION, TRAINING, WATCHING, evaluation_seeds, stream, training_seed, watching_seeds

seeds = st.integers(-(2**63), 2**63)


@given(seeds, st.integers(0, 2**40))
def test_training_never_reaches_a_seed_of_evaluation(seed, index):
    drawn = training_seed(seed, index)
    assert drawn in TRAINING and drawn not in WATCHING and drawn not in EVALUATION


@given(seeds, st.integers(0, 50))
def test_evaluation_seeds_stay_in_their_ranges_and_never_repeat(seed, count):
    for drawn, among in ((evaluation_seeds(seed, count), EVALUATION), (watching_seeds(seed, count), WATCHING)):
        assert len(set(drawn)) == count and all(s in among for s in drawn)


@given(seeds, st.integers(1, 50))
def test_a_longer_list_begins_with_the_shorter_one(seed, count):
    assert evaluation_seeds(seed, count + 7)[:count] == evaluation_seeds(seed, count)


def test_the_ranges_are_disjoint_and_fit_31_bits():
    ranges = sorted([TRAINING, WATCHING, EVALUATION], key=lambda r: r.start)
    assert all(a.stop <= b.start for a, b in zip(ranges, ranges[1:])) and ranges[-1].stop <= 2**31


def test_streams_differ_by_every_part_of_their_key_and_never_change():
    assert stream(0, "mixing", 1) != stream(0, "mixing", 2) != stream(1, "mixing", 2)
    assert stream(0, "mixing", 1)[0] == stream(0, "mixing", 1)[0]
    assert training_seed(0, 0) == training_seed(0, 1) - 1

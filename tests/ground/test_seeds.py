"""Stored files and runs depend on these numbers."""

import numpy as np

from toto_robot.ground.seeds import key64, keyed_generator, keyed_rng, stream


def test_the_numbers_of_each_kind_of_key_are_those_of_the_first_version():
    assert stream(0, "dropout", 3)[:2] == [1249181652, 872515198] and key64(1, "block", 2) == 6770820575587060568
    assert keyed_rng(3, 5).integers(1000) == np.random.default_rng((3, 5)).integers(1000)
    assert keyed_generator(3, 5, salt=7).initial_seed() == 3 * 1_000_003 + 5 + 7
    assert stream("a") == stream("a") != stream("b") and len(stream("a")) == 8

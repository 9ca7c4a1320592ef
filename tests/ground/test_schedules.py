import math

from hypothesis import given
from hypothesis import strategies as st

from toto_robot.ground.schedules import learning_rate, overlapping_rate


def test_warm_up_is_linear_and_the_cosine_goes_from_the_peak_to_the_final_rate():
    rates = [learning_rate(s, peak=2.0, warmup_steps=4, steps=105, final=0.1) for s in range(105)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    assert rates[4] == 2.0 and math.isclose(rates[104], 0.2) and math.isclose(rates[54], 1.1)


@given(st.integers(0, 50), st.integers(1, 200), st.floats(0, 1))
def test_the_rate_is_never_above_the_peak_and_never_falls_during_warm_up_nor_rises_after(warmup, steps, final):
    rates = [learning_rate(s, peak=1.0, warmup_steps=warmup, steps=steps, final=final) for s in range(steps)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert all(a < b for a, b in zip(rates[:warmup], rates[1:warmup]))
    assert all(a >= b for a, b in zip(rates[warmup:], rates[warmup + 1 :]))


def test_the_overlapping_rate_multiplies_the_warm_up_with_a_cosine_over_the_whole_run():
    rates = [overlapping_rate(s, peak=2.0, warmup_steps=4, steps=100, final=0.1) for s in range(101)]
    cosine = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * s / 100)) for s in range(101)]
    assert rates[:4] == [2.0 * w * c for w, c in zip((0.25, 0.5, 0.75, 1.0), cosine)]
    assert rates[50] == 2.0 * cosine[50] and math.isclose(rates[100], 0.2)

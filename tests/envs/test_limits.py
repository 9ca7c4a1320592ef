"""The limiter never lets a command past the published limits, and can always stop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import EnvError
from envs.robots import FRANKA
from envs.robots.franka import FR3_LIMITS
from envs.robots.limits import JointLimiter, JointLimits


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.01, 0.05, 0.1]), st.floats(0.01, 10))
def test_any_targets_stay_inside_position_speed_and_acceleration(seed, dt_s, wildness):
    limiter, rng = JointLimiter(FRANKA.limits, dt_s), np.random.default_rng(seed)
    limiter.reset(rng.uniform(FRANKA.limits.q_min_rad, FRANKA.limits.q_max_rad))
    before, speed = limiter.q_rad.copy(), np.zeros(7)
    for _ in range(80):
        now = limiter.step(limiter.q_rad + wildness * rng.standard_normal(7))
        dq = (now - before) / dt_s
        assert (now >= FRANKA.limits.q_min_rad).all() and (now <= FRANKA.limits.q_max_rad).all()
        assert (np.abs(dq) <= FRANKA.limits.dq_max_rad_s + 1e-9).all()
        assert (np.abs(dq - speed) <= FRANKA.limits.ddq_max_rad_s2 * dt_s * (1 + 1e-6) + 1e-9).all()
        before, speed = now, dq


def test_a_reachable_target_is_reached_exactly():
    limiter = JointLimiter(FRANKA.limits, 0.05)
    limiter.reset(FRANKA.q_home_rad)
    goal = np.array(FRANKA.q_home_rad) + 0.3
    for _ in range(40):
        limiter.step(goal)
    np.testing.assert_allclose(limiter.q_rad, goal, atol=1e-9)


def test_restore_continues_exactly():
    a, b = JointLimiter(FRANKA.limits, 0.05), JointLimiter(FRANKA.limits, 0.05)
    a.reset(FRANKA.q_home_rad)
    a.step(np.ones(7))
    b.restore(a.state())
    np.testing.assert_array_equal(a.step(np.zeros(7)), b.step(np.zeros(7)))


def test_limits_of_the_wrong_length_are_refused():
    with pytest.raises(EnvError, match="dq_max_rad_s"):
        JointLimits([0, 0], [1, 1], [1], [1, 1], [1, 1], [1, 1], [1, 1])


def libfrankas_greatest_speed(q):
    """computeUpperLimitsJointVelocity of rate_limiting.h, without its tolerance."""
    law = [
        (2.62, 0.30, 12.0, 2.75010),
        (2.62, 0.20, 5.17, 1.79180),
        (2.62, 0.20, 7.00, 2.90650),
        (2.62, 0.30, 8.00, -0.1458),
        (5.26, 0.35, 34.0, 2.81010),
        (4.18, 0.35, 11.0, 4.52050),
        (5.26, 0.35, 34.0, 3.01960),
    ]
    return np.array(
        [
            min(top, max(0.0, np.sqrt(max(0.0, twice * (end - x))) - offset))
            for (top, offset, twice, end), x in zip(law, q)
        ]
    )


def test_the_fr3s_speeds_near_its_ends_are_libfrankas():
    rng = np.random.default_rng(0)
    for q in rng.uniform(FR3_LIMITS.q_min_rad, FR3_LIMITS.q_max_rad, (500, 7)):
        np.testing.assert_allclose(FR3_LIMITS.speeds_rad_s(q)[1], libfrankas_greatest_speed(q), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.02, 0.1]), st.floats(0.01, 10))
def test_commands_for_an_fr3_keep_the_speeds_that_depend_on_the_position(seed, dt_s, wildness):
    limiter, rng = JointLimiter(FR3_LIMITS, dt_s, margin_rad=0.03), np.random.default_rng(seed)
    limiter.reset(rng.uniform(FR3_LIMITS.q_min_rad, FR3_LIMITS.q_max_rad))
    way = rng.standard_normal(7)
    for _ in range(80):
        before, speed = limiter.q_rad.copy(), limiter.dq_rad_s.copy()
        dq = (limiter.step(limiter.q_rad + wildness * (way + 0.3 * rng.standard_normal(7))) - before) / dt_s
        low, high = FR3_LIMITS.speeds_rad_s(limiter.q_rad)
        assert (dq >= low - 1e-9).all() and (dq <= high + 1e-9).all()
        assert (np.abs(dq - speed) <= FR3_LIMITS.ddq_max_rad_s2 * dt_s * (1 + 1e-6) + 1e-9).all()

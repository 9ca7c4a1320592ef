"""The limiter never lets a command past the published limits, and can always stop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import EnvError
from envs.robots import FRANKA
from envs.robots.limits import JointLimiter, JointLimits


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2 ** 32 - 1), st.sampled_from([0.001, 0.01, 0.05, 0.1]), st.floats(0.01, 10))
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

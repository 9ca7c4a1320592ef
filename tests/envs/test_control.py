"""From slow commands to 1 kHz torques: no command can break a limit, and the law is MuJoCo's own."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import EnvError
from envs.protocols import Deployment
from envs.protocols.actuators import position_actuators
from envs.robot_env import RobotEnv
from envs.robots import FRANKA
from envs.robots.control import ArmController, JointImpedance, SetPoints
from envs.tasks import TASKS

LIMITS = FRANKA.limits
HOME = np.array(FRANKA.q_home_rad)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.05, 0.1]), st.floats(0.01, 5))
def test_set_points_of_any_commands_keep_speed_acceleration_and_jerk(seed, period_s, wildness):
    rng = np.random.default_rng(seed)
    controller = ArmController(FRANKA, period_s, max_lead_rad=10)
    controller.reset(rng.uniform(LIMITS.q_min_rad + 0.02, LIMITS.q_max_rad - 0.02))
    start = controller.limiter.q_rad
    q_d = np.vstack(
        [np.tile(start, (4, 1))] + [controller.command(wildness * rng.standard_normal(7), start) for _ in range(30)]
    )
    assert (q_d >= LIMITS.q_min_rad).all() and (q_d <= LIMITS.q_max_rad).all()
    for order, top in ((1, LIMITS.dq_max_rad_s), (2, LIMITS.ddq_max_rad_s2), (3, LIMITS.dddq_max_rad_s3)):
        rate = np.abs(np.diff(q_d, order, axis=0)) / 0.001**order
        assert (rate <= top * (1 + 1e-6) + 1e-4).all(), order


def test_at_constant_speed_set_points_are_late_by_the_delay():
    points = SetPoints(LIMITS, 0.1)
    points.reset(np.zeros(7))
    for k in range(1, 6):
        q_d = points.push(np.full(7, 0.03 * k))
    np.testing.assert_allclose(q_d[:, 0], 0.03 * (4 + np.arange(1, 101) / 100) - 0.3 * points.delay_s, atol=1e-12)
    assert points.delay_s == pytest.approx(0.051)  # half of 100 ms, and of the 4 ms that the jerk limit needs


def test_a_loop_that_falls_silent_makes_the_arm_stop_and_hold():
    controller = ArmController(FRANKA, 0.1, max_lead_rad=10)
    controller.reset(HOME)
    for _ in range(8):
        controller.command(np.full(7, 0.06), HOME)
    rest = [controller.command(np.zeros(7), HOME) for _ in range(4)]
    assert np.ptp(rest[-1], axis=0).max() == 0
    np.testing.assert_array_equal(rest[-1][-1], controller.limiter.q_rad)


def test_a_command_never_leads_the_measured_joints_by_more_than_it_may():
    controller = ArmController(FRANKA, 0.1, max_lead_rad=0.2)
    controller.reset(HOME)
    for _ in range(30):
        controller.command(np.full(7, 0.06), HOME)  # an obstacle holds the arm
    assert np.abs(controller.limiter.q_rad - HOME).max() == pytest.approx(0.2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 10))
def test_torques_stay_inside_their_limit_and_rate_whatever_comes(seed, wildness):
    rng, law = np.random.default_rng(seed), JointImpedance(FRANKA)
    last = np.zeros(7)
    for _ in range(50):
        tau = law.torque(*(wildness * rng.standard_normal((4, 7)) * [[1], [1], [3], [5]]))
        assert (np.abs(tau) <= LIMITS.tau_max_nm + 1e-9).all() and (np.abs(tau - last) <= 1 + 1e-9).all()
        last = tau


def test_restore_continues_exactly():
    a, b = (ArmController(FRANKA, 0.1, max_lead_rad=0.2) for _ in range(2))
    rng = np.random.default_rng(0)
    a.reset(HOME)
    for _ in range(3):
        for q_d in a.command(rng.uniform(-0.06, 0.06, 7), HOME):
            a.torque(q_d, HOME, np.zeros(7), np.zeros(7))
    b.restore(a.state())
    for _ in range(3):
        increment = rng.uniform(-0.06, 0.06, 7)
        x, y = a.command(increment, HOME), b.command(increment, HOME)
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(a.torque(x[0], HOME, HOME, HOME), b.torque(y[0], HOME, HOME, HOME))


class Affine(Deployment):
    """The same law with MuJoCo's position servos inside the physics step, without Coriolis torque and rate limit."""

    @classmethod
    def actuators(cls, robot):
        return position_actuators(robot, robot.impedance_k_nm_rad, robot.impedance_d_nms_rad, robot.finger_servos())

    def torque(self, q_d, q, dq, coriolis):
        return q_d


def test_the_arm_moves_as_under_mujocos_own_servos():
    ours, theirs = (RobotEnv(FRANKA, TASKS["cube"], p, name="cube", render=False) for p in (Deployment, Affine))
    theirs.protocol.controller.torque = theirs.protocol.torque
    for seed in range(3):
        rng, apart, moved = np.random.default_rng(seed), 0.0, 0.0
        for env in (ours, theirs):
            env.reset(seed=seed)
        action, start = np.zeros(8), ours.data.qpos[:7].copy()
        for _ in range(20):
            action = np.clip(action + rng.uniform(-0.7, 0.7, 8), -1, 1)
            action[1] = -abs(action[1])  # away from the table
            for env in (ours, theirs):
                env.step(action)
            apart = max(apart, np.abs(ours.data.qpos[:7] - theirs.data.qpos[:7]).max())
            moved = max(moved, np.abs(ours.data.qpos[:7] - start).max())
        assert apart < 0.004 < 0.1 < moved  # the rest is the Coriolis torque, up to 3 N·m


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: SetPoints(LIMITS, 0.0305), "whole number"),
        (lambda: SetPoints(replace(LIMITS, dddq_max_rad_s3=np.ones(7)), 0.1), "jerk"),
        (lambda: JointImpedance(replace(FRANKA, impedance_k_nm_rad=())), "impedance_k_nm_rad"),
    ],
)
def test_a_mistake_is_said(call, words):
    with pytest.raises(EnvError, match=words):
        call()

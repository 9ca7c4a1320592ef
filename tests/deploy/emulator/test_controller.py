"""Each check of the controller latches its own error, on a fake clock and an arm that follows exactly."""

import numpy as np
import pytest
from bench import POSITION, TORQUE, VELOCITY, Bench, Q
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.emulator.controller import Command, Planner
from deploy.emulator.wire import Control, Generator, MoveStatus, Reply, RobotMode
from envs.robots.franka import ARM_LIMITS


def smooth(joint=0, size=0.3, seconds=2.0):
    """A cosine from Q to Q + size in one joint, one point a millisecond."""
    s = (1 - np.cos(np.pi * np.arange(1, int(seconds * 1000) + 1) / seconds / 1000)) / 2
    return Q + size * s[:, None] * np.eye(7)[joint]


def at_speed(dq, joint=0, ddq=5.0):
    """Points from rest at Q up to the speed `dq` within acceleration and jerk limits, and on at that speed."""
    jerk, v, a, points, q = 2000.0, 0.0, 0.0, [], Q.copy()
    while v < dq:
        a = min(a + jerk * 1e-3, ddq, np.sqrt(max(2 * jerk * (dq - v), 0)) + 1e-9)
        v = min(v + a * 1e-3, dq)
        q = q + v * 1e-3 * np.eye(7)[joint]
        points.append(q)
    return points


def test_a_smooth_motion_breaks_no_rule_and_ends_in_success():
    bench = Bench()
    assert bench.move(*POSITION) is MoveStatus.MOTION_STARTED
    assert bench.controller.mode is RobotMode.MOVE
    bench.positions(smooth())
    bench.tick(Command(q_rad=bench.controller.q_d, finished=True))
    assert bench.controller.ended is MoveStatus.SUCCESS and bench.controller.mode is RobotMode.IDLE
    assert bench.controller.violations == [] and bench.controller.lost_packets == 0


def test_a_start_elsewhere_is_an_invalid_start_pose():
    bench = Bench()
    bench.move(*POSITION)
    bench.tick(Command(q_rad=Q + 0.01))
    bench.assert_reflex("joint_position_motion_generator_start_pose_invalid")


def test_a_position_behind_the_limit_violates_it():
    q = Q.copy()
    q[3] = ARM_LIMITS["fr3"].q_max_rad[3] - 2e-6
    bench = Bench(q=q)
    bench.move(*POSITION)
    bench.positions([q, q + 4e-6 * np.eye(7)[3]])
    bench.assert_reflex("joint_motion_generator_position_limits_violation")


def test_too_fast_is_a_velocity_violation():
    bench = Bench("panda")
    bench.move(*POSITION)
    bench.positions(at_speed(2.3))
    bench.assert_reflex("joint_motion_generator_velocity_limits_violation")


def test_an_fr3_must_be_slower_near_a_joints_end():
    q = Q.copy()
    q[0] = 2.60
    for speed, error in ((1.0, None), (1.35, "joint_motion_generator_velocity_limits_violation")):
        bench = Bench(q=q)
        bench.move(*VELOCITY)
        for dq in np.diff([Q[0], *(p[0] for p in at_speed(speed))]) * 1000:
            bench.tick(Command(dq_rad_s=dq * np.eye(7)[0]))
            bench.controller.q_d[0] = 2.60
        assert bench.errors == ([error] if error else [])


def test_too_much_acceleration_is_a_velocity_discontinuity():
    bench = Bench()
    bench.move(*POSITION)
    dq, q = 0.0, Q.copy()
    for ddq in (4, 8, 11):
        dq += ddq * 1e-3
        q = q + dq * 1e-3 * np.eye(7)[0]
        bench.tick(Command(q_rad=q))
    bench.assert_reflex("joint_motion_generator_velocity_discontinuity")


def test_too_much_jerk_is_an_acceleration_discontinuity():
    bench = Bench()
    bench.move(*POSITION)
    bench.positions([Q, Q + 8e-6 * np.eye(7)[0]])
    bench.assert_reflex("joint_motion_generator_acceleration_discontinuity")


def test_stopping_dead_at_the_end_of_a_motion_is_a_velocity_discontinuity():
    bench = Bench()
    bench.move(*POSITION)
    points = at_speed(0.5)
    bench.positions(points)
    bench.tick(Command(q_rad=points[-1] + 0.5e-3 * np.eye(7)[0], finished=True))
    bench.assert_reflex("joint_motion_generator_velocity_discontinuity")


def test_velocity_commands_move_the_arm_and_are_checked():
    bench = Bench()
    bench.move(*VELOCITY)
    for dq in (0.005, 0.015):
        bench.tick(Command(dq_rad_s=dq * np.eye(7)[2]))
    assert bench.controller.q_d[2] == pytest.approx(2e-5)
    bench.tick(Command(dq_rad_s=0.5 * np.eye(7)[2]))
    bench.assert_reflex("joint_motion_generator_velocity_discontinuity")


def test_a_torque_out_of_range_is_a_range_violation():
    bench = Bench()
    bench.move(*TORQUE)
    for i in range(1, 15):
        bench.tick(Command(tau_nm=0.99 * i * np.eye(7)[6]))
        if bench.errors:
            break
    bench.assert_reflex("tau_j_range_violation")
    assert i == 13


def test_a_torque_that_changes_too_fast_is_a_torque_discontinuity():
    bench = Bench()
    bench.move(*TORQUE)
    bench.tick(Command(tau_nm=np.eye(7)[0]))
    assert bench.tick(Command(tau_nm=2 * np.eye(7)[0]))[0] == 2
    bench.tick(Command(tau_nm=3.1 * np.eye(7)[0]))
    bench.assert_reflex("controller_torque_discontinuity")


@pytest.mark.parametrize(
    "wrong, error",
    [
        ({"dq_rad_s": 2.7 * np.eye(7)[1]}, "joint_velocity_violation"),
        ({"q_rad": Q + 3 * np.eye(7)[0]}, "joint_position_limits_violation"),
        ({"tau_ext_nm": 20.5 * np.eye(7)[4]}, "joint_reflex"),
        ({"wrench": -20.5 * np.eye(6)[2]}, "cartesian_reflex"),
    ],
)
def test_what_the_arm_measures_under_torque_control_ends_the_motion(wrong, error):
    bench = Bench()
    bench.move(*TORQUE)
    bench.tick(Command())
    assert bench.errors == []
    bench.wrong = wrong
    bench.tick(Command())
    bench.assert_reflex(error)


def test_the_thresholds_of_a_collision_are_the_set_ones():
    bench = Bench()
    behaviour = {
        f"{what}_{side}_{phase}": np.full(n, 40.0)
        for what, n in (("tau", 7), ("force", 6))
        for side in ("lower", "upper")
        for phase in ("acceleration", "nominal")
    }
    assert bench.controller.set("SetCollisionBehavior", behaviour) is Reply.SUCCESS
    bench.move(*TORQUE)
    bench.wrong = {"tau_ext_nm": 39.0 * np.eye(7)[0]}
    bench.tick(Command())
    assert bench.errors == []
    bench.wrong = {"tau_ext_nm": 41.0 * np.eye(7)[0]}
    bench.tick(Command())
    bench.assert_reflex("joint_reflex")


def test_nineteen_lost_packets_in_a_row_are_allowed_and_twenty_are_not():
    bench = Bench()
    bench.move(*POSITION)
    bench.tick(Command(q_rad=Q))
    for _ in range(19):
        bench.tick()
    assert bench.errors == [] and bench.controller.success_rate == pytest.approx(0.81)
    bench.tick(Command(q_rad=Q))
    for _ in range(20):
        bench.tick()
    bench.assert_reflex("communication_constraints_violation")
    assert bench.controller.lost_packets == 39


def test_in_lockstep_only_what_the_network_loses_counts():
    bench = Bench(enforce_timing=False)
    bench.move(*POSITION)
    bench.tick(Command(q_rad=Q))
    for _ in range(50):
        bench.tick()
    assert bench.errors == [] and bench.controller.lost_packets == 50
    for _ in range(20):
        bench.tick(lost=True)
    bench.assert_reflex("communication_constraints_violation")


def test_a_motion_without_a_first_command_ends():
    bench = Bench()
    bench.move(*POSITION)
    for _ in range(101):
        bench.tick()
    bench.assert_reflex("communication_constraints_violation")


def test_a_lost_position_is_extrapolated_at_constant_acceleration():
    bench, points = Bench(), smooth()
    bench.move(*POSITION)
    bench.positions(points[:300])
    dq, ddq = bench.controller.dq_d, bench.controller.ddq_d
    bench.tick()
    assert np.allclose(bench.controller.q_d, points[299] + (dq + ddq * 1e-3) * 1e-3)
    bench.positions(points[301:400])
    assert bench.errors == [] and np.allclose(bench.controller.q_d, points[399])


def test_a_lost_torque_is_repeated():
    bench = Bench()
    bench.move(*TORQUE)
    bench.tick(Command(tau_nm=np.eye(7)[0]))
    assert (bench.tick() == np.eye(7)[0]).all()


@pytest.mark.parametrize(
    "mode, command",
    [(POSITION, {"q_rad": Q * np.nan}), (VELOCITY, {"dq_rad_s": Q * np.inf}), (TORQUE, {"tau_nm": Q * np.nan})],
)
def test_numbers_that_are_not_finite_are_an_input_error_and_never_reach_the_arm(mode, command):
    bench = Bench()
    bench.move(*mode)
    tau = bench.tick(Command(**command))
    assert bench.controller.ended is MoveStatus.INPUT_ERROR_ABORTED
    assert bench.controller.violations == ["invalid_input"] and np.isfinite(tau).all()


@pytest.mark.parametrize(
    "control, generator",
    [
        (Control.JOINT_IMPEDANCE, Generator.CARTESIAN_POSITION),
        (Control.JOINT_IMPEDANCE, Generator.CARTESIAN_VELOCITY),
        (Control.CARTESIAN_IMPEDANCE, Generator.JOINT_POSITION),
        (Control.JOINT_IMPEDANCE, Generator.NONE),
    ],
)
def test_modes_that_are_not_emulated_are_refused(control, generator):
    bench = Bench()
    assert bench.move(control, generator) is MoveStatus.NOT_POSSIBLE
    assert bench.controller.mode is RobotMode.IDLE


def test_a_second_motion_is_refused_while_one_runs():
    bench = Bench()
    bench.move(*POSITION)
    assert bench.move(*TORQUE) is MoveStatus.NOT_POSSIBLE


def test_a_stopped_motion_is_preempted_and_the_arm_brakes_within_its_limits():
    bench = Bench()
    bench.move(*POSITION)
    bench.positions(at_speed(0.5))
    bench.controller.stop_move()
    assert bench.controller.ended is MoveStatus.PREEMPTED
    speeds = []
    for _ in range(100):
        bench.tick()
        speeds.append(bench.controller.dq_d[0])
    assert speeds[-1] == 0 and np.abs(np.diff([0.5, *speeds])).max() < 10.001e-3


def test_a_reflex_needs_recovery_and_a_user_stop_its_release():
    bench = Bench()
    bench.controller.latch("joint_reflex", found=False)
    assert bench.controller.violations == [] and bench.controller.reflexes == 1
    assert bench.move(*POSITION) is MoveStatus.NOT_POSSIBLE
    assert bench.controller.set("SetLoad", {"m_load": np.ones(1)}) is Reply.NOT_POSSIBLE
    assert bench.controller.recover() is Reply.SUCCESS
    assert bench.controller.mode is RobotMode.AUTOMATIC_ERROR_RECOVERY
    for _ in range(2):
        bench.tick()
    assert bench.controller.mode is RobotMode.IDLE

    bench.move(*POSITION)
    bench.controller.user_stop(True)
    assert bench.controller.ended is MoveStatus.USER_STOP_ABORTED
    assert bench.controller.recover() is Reply.NOT_POSSIBLE
    assert bench.move(*POSITION) is MoveStatus.NOT_POSSIBLE
    bench.controller.user_stop(False)
    assert bench.controller.mode is RobotMode.IDLE


def test_a_setter_that_the_arm_refuses_changes_nothing():
    controller = Bench().controller
    before = controller.settings["joint_stiffness"].copy()
    assert controller.set("SetJointImpedance", {"joint_stiffness": np.full(7, 1e9)}) is Reply.INVALID_ARGUMENT
    np.testing.assert_array_equal(controller.settings["joint_stiffness"], before)
    assert controller.set("SetJointImpedance", {"joint_stiffness": np.full(7, 100.0)}) is Reply.SUCCESS


@pytest.mark.parametrize(
    "top, control", [(3.0, POSITION), (0.0, POSITION), (np.nan, POSITION), (1.0, TORQUE), (1.0, VELOCITY)]
)
def test_asynchronous_motions_are_joint_positions_with_speeds_that_the_arm_has(top, control):
    assert Bench().move(*control, use_async=True, top=top) is MoveStatus.INVALID_ARGUMENT


def test_an_asynchronous_target_outside_the_limits_is_a_violation():
    bench = Bench()
    bench.move(*POSITION, use_async=True)
    bench.tick(Command(q_rad=Q + 3 * np.eye(7)[0]))
    bench.assert_reflex("joint_motion_generator_position_limits_violation")


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.lists(st.floats(-0.4, 0.4), min_size=7, max_size=7)), min_size=1, max_size=5
    ),
    st.sampled_from(["fr3", "panda"]),
)
def test_the_robot_itself_keeps_its_limits_on_the_way_to_any_targets(targets, arm):
    limits = ARM_LIMITS[arm]
    planner = Planner(limits, np.full(7, 1.0), Q)
    path = [Q] * 3
    for wait_ms, offset in targets:
        planner.target_rad = Q + offset
        path += [planner.step() for _ in range(wait_ms)]
    path += [planner.step() for _ in range(1500)]
    dq = np.diff(path, axis=0) * 1e3
    ddq = np.diff(dq, axis=0) * 1e3
    assert (np.abs(dq) <= 1.0 + 1e-9).all()
    assert (np.abs(ddq) <= limits.ddq_max_rad_s2 + 1e-6).all()
    assert (np.abs(np.diff(ddq, axis=0) * 1e3) <= limits.dddq_max_rad_s3 * (1 + 1e-6)).all()
    assert np.allclose(path[-1], planner.target_rad, atol=1e-9)

"""The real pylibfranka against the emulator."""

from importlib.util import find_spec

import numpy as np
import pytest

if not find_spec("pylibfranka"):  # importing it would keep the other client out of this process
    pytest.skip("pylibfranka is not installed", allow_module_level=True)


@pytest.fixture
def robot(lockstep):
    lockstep.console.ask("release_user_stop")
    lockstep.console.ask("reset", seed=1)
    assert lockstep.console.ask("info")["mode"] == "idle"
    return lockstep


def test_it_reads_the_state(robot):
    s = robot.client("pylibfranka", "state")
    physics = robot.console.ask("physics")
    assert s["mode"] == "Idle" and s["errors"] == []
    assert np.allclose(s["q"], physics["qpos"][:7], atol=1e-6)
    assert np.allclose(s["gravity"], s["tau_J"], atol=0.3)  # Desk's data of the hand leave out the fingers


def test_setters_come_back_in_the_state(robot):
    s = robot.client("pylibfranka", "setters")
    assert s["m_load"] == pytest.approx(0.5) and s["F_x_Cload"] == pytest.approx([0, 0, 0.05])
    assert s["F_T_EE"][14] == pytest.approx(0.1034 + 0.1)


def test_a_joint_motion_at_1_khz_arrives_and_breaks_no_rule(robot):
    before = robot.console.ask("counters")["violations"]
    s = robot.client("pylibfranka", "joint_motion")
    assert s["mode"] == "Idle"
    assert np.allclose(s["q"], s["goal"], atol=1e-3)
    assert s["success_rate"] == 1.0
    assert robot.console.ask("counters")["violations"] == before


def test_an_impedance_law_in_torques_holds_the_arm(robot):
    s = robot.client("pylibfranka", "torque_hold")
    assert s["worst"] < 1e-3 and s["mode"] == "Idle"


def test_asynchronous_targets_are_reached_and_reported(robot):
    s = robot.client("pylibfranka", "async_targets")
    assert np.allclose(s["q"], s["goal"], atol=0.011)
    assert "REACHED" in s["status"].upper()


def test_the_gripper_homes_moves_and_says_when_it_holds_nothing(robot):
    s = robot.client("pylibfranka", "gripper")
    assert s["homing"] and s["move"] and s["version"] == 3
    assert s["open"] == pytest.approx(0.08, abs=1e-3) and s["width"] == pytest.approx(0.06, abs=1e-3)
    assert not s["empty_grasp"] and not s["is_grasped"]


def test_a_reflex_is_a_control_exception_and_recoverable(robot):
    s = robot.client("pylibfranka", "until_error", on_line=robot.inject(name="reflex", error="cartesian_reflex"))
    assert s["type"] == "ControlException" and "motion aborted by reflex" in s["message"]
    assert "cartesian_reflex" in s["message"]
    assert s["mode"] == "Reflex" and s["errors"] == s["last"] == ["cartesian_reflex"]
    assert s["recovered"] == "Idle"


def test_a_user_stop_stays_until_it_is_released(robot):
    s = robot.client("pylibfranka", "until_error", on_line=robot.inject(name="user_stop"))
    assert s["type"] == "ControlException" and "User Stop pressed" in s["message"]
    assert s["mode"] == "UserStopped"
    assert "command not possible" in s["after"]["message"]
    assert robot.client("pylibfranka", "state")["mode"] == "UserStopped"
    robot.console.ask("release_user_stop")
    assert robot.client("pylibfranka", "state")["mode"] == "Idle"


def test_lost_packets_end_a_motion(robot):
    s = robot.client("pylibfranka", "until_error", on_line=robot.inject(name="packet_loss", share=1.0, duration_ms=30))
    assert s["type"] == "ControlException" and "communication_constraints_violation" in s["message"]
    assert s["recovered"] == "Idle"


def test_a_closed_connection_is_an_error_of_the_network(robot):
    s = robot.client("pylibfranka", "until_error", on_line=robot.inject(name="tcp_close"))
    assert s["type"] in ("NetworkException", "RuntimeError")


def test_a_gap_in_the_states_is_a_timeout(robot):
    s = robot.client("pylibfranka", "until_error", on_line=robot.inject(name="udp_gap", duration_ms=1500))
    assert s["type"] == "NetworkException" and "Timeout" in s["message"]


def test_another_version_is_refused(robot):
    robot.console.ask("fault", name="version", version=9)
    s = robot.client("pylibfranka", "connect_only")
    robot.console.ask("fault", name="version", version=None)
    assert s["type"] == "FrankaException" and not s["is_runtime_error"]
    assert robot.client("pylibfranka", "connect_only") == {"connected": True}


def test_the_asynchronous_handler_tells_of_a_reflex(robot):
    s = robot.client("pylibfranka", "async_until_error", on_line=robot.inject(name="reflex"))
    assert "ABORTED" in s["status"].upper() and "joint_reflex" in s["message"]


def test_a_jump_in_position_is_a_discontinuity(robot):
    s = robot.client("pylibfranka", "jump")
    assert s["type"] == "ControlException"
    assert s["errors"] == ["joint_motion_generator_velocity_limits_violation"]
    assert s["recovered"] == "Idle"


def test_cartesian_motions_are_refused(robot):
    s = robot.client("pylibfranka", "cartesian")
    assert "command not possible in the current mode" in s["message"] and s["mode"] == "Idle"


def test_a_failing_gripper_is_a_command_exception(robot):
    robot.console.ask("fault", name="gripper_fail")
    s = robot.client("pylibfranka", "gripper_fails")
    assert s["type"] == "CommandException"
    assert robot.client("pylibfranka", "gripper_fails") == {"move": True}

"""The real franky against the emulator."""

from importlib.util import find_spec

import mujoco
import numpy as np
import pytest

import envs
from deploy.emulator.arm import F_T_NE

if not find_spec("franky"):  # importing it would keep the other client out of this process
    pytest.skip("franky-control is not installed", allow_module_level=True)


@pytest.fixture
def robot(lockstep):
    lockstep.console.ask("release_user_stop")
    lockstep.console.ask("reset", seed=2)
    assert lockstep.console.ask("info")["mode"] == "idle"
    return lockstep


def test_the_model_that_it_downloads_is_the_arm_in_mujoco(robot):
    s = robot.client("franky", "state")
    env = envs.make("franka_cube", render=False)
    model, data = env.model, mujoco.MjData(env.model)
    data.qpos[:7] = s["q"]
    mujoco.mj_forward(model, data)
    base = data.body("link0")
    turn = base.xmat.reshape(3, 3)

    def pose(body, offset=np.eye(4)):
        T = np.eye(4)
        T[:3, :3] = turn.T @ data.body(body).xmat.reshape(3, 3)
        T[:3, 3] = turn.T @ (data.body(body).xpos - base.xpos)
        return T @ offset

    flange = np.eye(4)
    flange[2, 3] = 0.107
    wanted = [pose("link1"), pose("link4"), pose("link7"), pose("link7", flange), pose("link7", flange @ F_T_NE)]
    assert np.allclose(s["poses"], wanted, atol=1e-6)
    assert np.allclose(pose("hand")[:3, 3], wanted[3][:3, 3], atol=1e-6)

    tcp, jacp, jacr = turn @ wanted[4][:3, 3] + base.xpos, np.zeros((3, model.nv)), np.zeros((3, model.nv))
    mujoco.mj_jac(model, data, jacp, jacr, tcp, model.body("link7").id)
    assert np.allclose(s["jacobian"], np.vstack([turn.T @ jacp[:, :7], turn.T @ jacr[:, :7]]), atol=1e-6)

    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, full, data.qM)
    rotors = 0.1 * np.eye(7)  # a client's model has the links only; Desk's data of the hand leave out the fingers
    assert np.allclose(s["mass"], full[:7, :7] - rotors, atol=0.02)


def test_a_joint_motion_arrives_and_breaks_no_rule(robot):
    before = robot.console.ask("counters")
    s = robot.client("franky", "joint_motion")
    assert np.allclose(s["q"], s["goal"], atol=1e-3)
    after = robot.console.ask("counters")
    assert after["violations"] == before["violations"] and after["lost_packets"] == before["lost_packets"]


def test_the_impedance_tracker_follows_targets_at_20_hz(robot):
    before = robot.console.ask("counters")["violations"]
    s = robot.client("franky", "tracker")
    assert np.allclose(s["q"], s["goal"], atol=0.01)
    assert robot.console.ask("counters")["violations"] == before


def test_the_gripper_homes_and_moves(robot):
    s = robot.client("franky", "gripper")
    assert s["homing"] and s["move"]
    assert s["open"] == pytest.approx(0.08, abs=1e-3) and s["width"] == pytest.approx(0.03, abs=1e-3)


@pytest.mark.parametrize(
    "fault, kind, text",
    [
        ({"name": "reflex"}, "ControlException", "joint_reflex"),
        ({"name": "user_stop"}, "ControlException", "User Stop pressed"),
        (
            {"name": "packet_loss", "share": 1.0, "duration_ms": 30},
            "ControlException",
            "communication_constraints_violation",
        ),
        ({"name": "udp_gap", "duration_ms": 1500}, "NetworkException", "Timeout"),
    ],
)
def test_an_injected_fault_gives_its_exception(robot, fault, kind, text):
    s = robot.client("franky", "until_error", on_line=robot.inject(**fault))
    assert s["type"] == kind and text in s["message"]
    if fault["name"] == "user_stop":
        assert "command not possible" in s["after"]["message"]
    elif kind == "ControlException":
        assert s["recovered"].endswith("Idle")

"""An independent judge: the same clients do the same things at franky-sim, which others wrote (`make compat`).

It has no limits, no errors and no console, so what is compared is what both have: states, joint motion, torques, the
tracker, the hand. Its clock is the wall's."""

import importlib.util
import select
import subprocess
import sys

import numpy as np
import pytest
from emulated import Running

from deploy.control.kinematics import Kinematics
from envs.robots import ROBOTS

if not importlib.util.find_spec("franky_sim"):
    pytest.skip("franky-sim is not installed (make compat)", allow_module_level=True)

LAG_RAD = 0.05
"""How far the joints may be behind when a motion has ended: franky-sim's servo lags by some hundredths on two cores."""
franky = pytest.mark.skipif(not importlib.util.find_spec("franky"), reason="franky-control is not installed")
pylibfranka = pytest.mark.skipif(not importlib.util.find_spec("pylibfranka"), reason="pylibfranka is not installed")


class FrankySim(Running):
    """Its server as a process; only the address and the clients are `Running`'s."""

    def __init__(self, ip="127.91.7.3"):
        self.ip = ip
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "franky_sim.run_server", "-s", "mujoco", "--hostname", ip],
            stdout=subprocess.PIPE,
            text=True,
        )
        while "Connect to the server" not in (line := self._line()):
            assert line, f"franky-sim ended with {self.process.poll()}"

    def _line(self) -> str:
        assert select.select([self.process.stdout], [], [], 60)[0], "franky-sim said nothing for 60 s"
        return self.process.stdout.readline()

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def theirs():
    server = FrankySim()
    yield server
    server.close()


@pytest.fixture(params=["ours", "theirs"])
def robot(request, lockstep):
    return lockstep if request.param == "ours" else request.getfixturevalue("theirs")


@pylibfranka
def test_a_state_has_a_pose_and_no_errors(robot):
    s = robot.client("pylibfranka", "state")
    assert s["mode"] == "Idle" and s["errors"] == [] and len(s["q"]) == 7
    T = np.array(s["O_T_EE"]).reshape(4, 4).T
    assert np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-5) and 0.2 < np.linalg.norm(T[:3, 3]) < 1.2


@pylibfranka
def test_both_put_the_hand_in_the_same_place(lockstep, theirs):
    """The pose of each server's state against our kinematics of the joints in the same state."""
    kinematics = Kinematics(ROBOTS["franka"])
    for server in (lockstep, theirs):
        s = server.client("pylibfranka", "state")
        T = np.array(s["O_T_EE"]).reshape(4, 4).T
        assert np.allclose(T[:3, 3], kinematics.tcp_m(kinematics.frames(np.array(s["q"])))[0], atol=1e-3)


@pylibfranka
def test_a_joint_motion_at_1_khz_arrives(robot):
    s = robot.client("pylibfranka", "joint_motion")
    assert s["mode"] == "Idle" and np.allclose(s["q"], s["goal"], atol=LAG_RAD)


@pylibfranka
def test_torques_hold_the_arm(robot):
    s = robot.client("pylibfranka", "torque_hold")
    assert s["worst"] < 0.02 and s["mode"] == "Idle"


@franky
def test_frankys_joint_motion_arrives(robot):
    s = robot.client("franky", "joint_motion")
    assert np.allclose(s["q"], s["goal"], atol=LAG_RAD)


@franky
def test_frankys_tracker_follows(robot):
    s = robot.client("franky", "tracker")
    assert np.allclose(s["q"], s["goal"], atol=0.05)


@franky
def test_the_hand_moves_to_a_width(robot):
    s = robot.client("franky", "gripper")
    assert s["homing"] and s["move"] and s["width"] == pytest.approx(0.03, abs=2e-3)

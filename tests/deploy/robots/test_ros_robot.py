"""The ROS backend with a real ROS master, rospy and actions (`make compat`); the node behind them is the test's."""

import importlib
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("rospy", reason="rospy is not installed (make compat)")

import franka_ros

from deploy.control.machine import Event
from deploy.robots import registry, ros_robot
from deploy.robots.base import Address, RobotFault
from toto_robot.ground.errors import UserError


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait(condition, what: str, seconds: float = 10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen in {seconds} s"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A master, and the node; rospy has one master for each process, so the tests share them."""
    folder, port = tmp_path_factory.mktemp("ros"), free_port()
    franka_ros.generate(folder)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    os.environ.update(ROS_MASTER_URI=f"http://127.0.0.1:{port}", ROS_IP="127.0.0.1", ROS_HOME=str(folder / "home"))
    master = subprocess.Popen(
        [sys.executable, "-c", "import rosmaster; rosmaster.rosmaster_main()", "--core", "-p", str(port)]
    )
    wait(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "the master's start")
    node = franka_ros.start(folder)
    yield Address("127.0.0.1", "fr3", {"port": str(port)})
    for process in (node, master):
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def arm(address):
    robot = registry.module("ros").make(address)
    wait(lambda: _connected(robot), "a connection", 20)
    return robot


def _connected(robot) -> bool:
    try:
        robot.connect()
        return True
    except RobotFault:
        return False


@pytest.fixture
def happen(arm):
    from std_msgs.msg import String

    publisher = arm.node.rospy.Publisher("/test", String, queue_size=1)
    wait(lambda: publisher.get_num_connections(), "the test's connection")
    yield lambda what: publisher.publish(String(data=what))
    publisher.publish(String(data="release"))
    wait(lambda: arm.observe().mode == "move", "the release")


def test_states_set_points_and_a_stop_that_brakes(arm):
    wait(lambda: arm._command.get_num_connections(), "the controller's subscription")
    before = arm.observe()
    assert before.mode == "move" and before.errors == () and before.q_rad.shape == (7,)
    arm.start()
    assert arm.moving
    for k in range(1, 201):
        arm.act(before.q_rad + 2e-4 * k)
        arm.serve()
        time.sleep(1e-3)
    speed = arm._dq_d.max()
    arm.stop()
    wait(lambda: arm.serve() or not arm.moving, "rest")
    last = arm._q_d
    assert speed > 0.05 and (last > before.q_rad + 0.04).all() and (last < before.q_rad + 0.08).all()
    wait(lambda: np.abs(arm.observe().q_rad - last).max() < 1e-6, "the arm's arrival")


def test_a_touch_ends_the_motion_and_is_recovered_from(arm, happen):
    arm.start()
    happen("reflex")
    with pytest.raises(RobotFault, match="joint_reflex") as fault:
        wait(lambda: arm.serve(), "the reflex")
    assert fault.value.event is Event.REFLEX and not arm.moving and arm.observe().errors == ("joint_reflex",)
    arm.recover()
    wait(lambda: arm.observe().mode == "move", "the recovery")
    arm.start()
    happen("reflex_hard")
    with pytest.raises(RobotFault, match="joint_velocity_violation") as fault:
        wait(lambda: arm.serve(), "the reflex")
    assert fault.value.event is Event.LIMITS


def test_a_user_stop_is_one_and_recovery_is_refused(arm, happen):
    arm.start()
    happen("user_stop")
    with pytest.raises(RobotFault) as fault:
        wait(lambda: arm.serve(), "the user stop")
    assert fault.value.event is Event.USER_STOP and arm.observe().mode == "user_stopped"
    with pytest.raises(RobotFault, match="refused its automatic error recovery .*user stop is pressed"):
        arm.recover()


def test_silence_is_a_lost_connection(arm, happen):
    happen("silence")
    time.sleep(0.2)
    with pytest.raises(RobotFault, match="nothing on /franka_state_controller/franka_states") as fault:
        wait(lambda: arm.observe() is None, "the loss")
    assert fault.value.event is Event.NETWORK
    happen("release")
    wait(lambda: _connected(arm), "the states' return")


def test_the_hand_grasps_opens_and_changes_its_mind(address, arm):
    hand = registry.module("ros").make_gripper(address)
    hand.connect()
    assert hand.observe().width_m == pytest.approx(0.08)
    hand.command(True)
    wait(lambda: hand.serve() or abs(hand.observe().width_m - 0.045) < 1e-6, "the grasp")
    hand.command(False)
    wait(lambda: hand.serve() or hand.observe().width_m > 0.06, "the opening")
    hand.command(True)
    wait(lambda: hand.serve() or abs(hand.observe().width_m - 0.045) < 1e-6, "the second grasp")
    wait(lambda: hand.serve() or hand._running is None, "its end")


def test_an_action_that_nobody_serves_and_a_master_that_is_not_there_are_told(address, arm, monkeypatch):
    monkeypatch.setattr(ros_robot, "ACTION_S", 0.3)
    lost = ros_robot.RosGripper(Address(address.ip, "fr3", address.options | {"grasp": "/nowhere"}))
    with pytest.raises(RobotFault, match="nobody serves the action /nowhere") as fault:
        lost.connect()
    assert fault.value.event is Event.GRIPPER_FAILED
    with pytest.raises(RobotFault, match="no ROS master at http://127.0.0.1:9"):
        ros_robot.RosRobot(Address("127.0.0.1", "fr3", {"port": "9"})).connect()
    with pytest.raises(UserError, match="backend ros: .*What exists: collision, command"):
        ros_robot.settings({"topic": "x"})

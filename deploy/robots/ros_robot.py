"""`--backend ros`: an arm behind ROS 1, e.g. franka_ros. Topics and actions are options (`--option joint_states=/my/topic`).

Set-points go to a position controller that follows them (std_msgs/Float64MultiArray, as of
`joint_group_position_controller`); the state comes from sensor_msgs/JointState. Gripper and recovery are plain topics
(std_msgs/Bool: true closes; std_msgs/Empty), for a small node beside the driver that calls its actions, whose message
packages this machine then needn't have. There is no joint-state field for a reflex or a user stop, so those show as an arm
that doesn't follow; a controller behind ROS has to stop the arm by itself.
"""

import os
import threading
import time
import xmlrpc.client

import numpy as np

from deploy.control.machine import Event
from deploy.robots.base import Address, Features, GripperState, RobotFault, RobotState
from deploy.robots.registry import client
from toto_robot.errors import UserError

INSTALL = ("On Debian: `apt install python3-rospy python3-sensor-msgs python3-std-msgs`, or source your ROS workspace; "
           "--robot-ip is the machine of the ROS master.")
DEFAULTS = {
    "joint_states": "/joint_states",
    "command": "/joint_group_position_controller/command",
    "recover": "/toto_robot/recover",
    "gripper_states": "/franka_gripper/joint_states",
    "gripper_command": "/toto_robot/close_gripper",
    "joints": ",".join(f"panda_joint{i}" for i in range(1, 8)),
    "port": "11311",
}
SILENT_S = 0.5
"""Without a state for as long the connection counts as lost."""


def topics(options: dict) -> dict:
    """`DEFAULTS` with `options` over them; UserError for an option that does not exist."""
    wrong = sorted(set(options) - set(DEFAULTS))
    if wrong:
        raise UserError(f"--option {wrong[0]}: the backend ros has {', '.join(DEFAULTS)}.")
    return DEFAULTS | options


class RosNode:
    """One rospy node in this process."""

    def __init__(self, address: Address):
        self.topics = topics(address.options)
        self.uri = f"http://{address.ip or '127.0.0.1'}:{self.topics['port']}"
        os.environ["ROS_MASTER_URI"] = self.uri
        self.rospy = client("rospy", INSTALL)
        self.sensor, self.std = client("sensor_msgs.msg", INSTALL), client("std_msgs.msg", INSTALL)
        self._changed, self._newest, self._came_s = threading.Condition(), None, 0.0

    def open(self, name: str, states: str, event: Event) -> None:
        """Registers at the master and listens to the JointState topic `states`."""
        try:
            xmlrpc.client.ServerProxy(self.uri).getPid("/toto_robot")
        except OSError as error:
            raise RobotFault(event, f"no ROS master at {self.uri} ({error})") from error
        self.rospy.init_node(name, anonymous=True, disable_signals=True)
        self.rospy.Subscriber(states, self.sensor.JointState, self._take, queue_size=1, tcp_nodelay=True)

    def _take(self, message) -> None:
        with self._changed:
            self._newest, self._came_s = message, time.monotonic()
            self._changed.notify_all()

    def newest(self, event: Event):
        """The newest JointState; RobotFault where none has come for `SILENT_S`."""
        with self._changed:
            fresh = lambda: self._newest is not None and time.monotonic() - self._came_s < SILENT_S  # noqa: E731
            if not self._changed.wait_for(fresh, 4 * SILENT_S):
                raise RobotFault(event, f"no joint states from the ROS master at {self.uri} for {4 * SILENT_S} s")
            return self._newest


class RosRobot:
    features = Features("ros", ("fr3", "panda"), 7, False, "rospy")

    def __init__(self, address: Address):
        self.node, self.moving = RosNode(address), False

    def connect(self) -> None:
        node, topic = self.node, self.node.topics
        node.open("toto_robot_arm", topic["joint_states"], Event.NETWORK)
        self._names = topic["joints"].split(",")
        publisher = node.rospy.Publisher
        self._command = publisher(topic["command"], node.std.Float64MultiArray, queue_size=1, tcp_nodelay=True)
        self._recover = publisher(topic["recover"], node.std.Empty, queue_size=1)
        self.observe()

    def observe(self) -> RobotState:
        message = self.node.newest(Event.NETWORK)
        try:
            at = [message.name.index(name) for name in self._names]
        except ValueError as error:
            raise RobotFault(Event.NETWORK, f"the joint states name {', '.join(message.name)}, not all of "
                             f"{', '.join(self._names)}; give --option joints=...") from error
        speed = message.velocity or [0.0] * len(message.position)
        return RobotState(message.header.stamp.to_sec(), np.array(message.position)[at], np.array(speed)[at],
                          "move" if self.moving else "idle")

    def start(self) -> None:
        if self._command.get_num_connections() == 0:
            raise RobotFault(Event.NETWORK, f"nobody listens to {self.node.topics['command']}: load the controller, or give "
                             "--option command=...")
        self.moving = True

    def act(self, q_d_rad: np.ndarray) -> np.ndarray:
        self._command.publish(self.node.std.Float64MultiArray(data=list(map(float, q_d_rad))))
        return np.asarray(q_d_rad)

    def serve(self) -> None:
        """The servo loop is the controller's."""

    def stop(self) -> None:
        """The controller holds the last set-point, which the gate has brought to rest or the arm is at."""
        self.act(self.observe().q_rad)
        self.moving = False

    def recover(self) -> None:
        self._recover.publish(self.node.std.Empty())

    def disconnect(self) -> None:
        self.moving = False
        self.node.rospy.signal_shutdown("the deployment has ended")


class RosGripper:
    """Publishes True to close and False to open (std_msgs/Bool), for a node that turns them into the hand's actions."""

    def __init__(self, address: Address):
        self.node = RosNode(address)

    def connect(self) -> None:
        self.node.open("toto_robot_gripper", self.node.topics["gripper_states"], Event.GRIPPER_FAILED)
        self._command = self.node.rospy.Publisher(self.node.topics["gripper_command"], self.node.std.Bool, queue_size=1)

    def observe(self) -> GripperState:
        fingers = self.node.newest(Event.GRIPPER_FAILED).position
        return GripperState(float(np.sum(fingers)), False)

    def command(self, close: bool) -> None:
        self._command.publish(self.node.std.Bool(data=close))

    def serve(self) -> None:
        pass

    def disconnect(self) -> None:
        self.node.rospy.signal_shutdown("the deployment has ended")


def make(address: Address) -> RosRobot:
    return RosRobot(address)


def make_gripper(address: Address) -> RosGripper:
    return RosGripper(address)

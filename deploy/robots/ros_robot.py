"""`--backend ros`: an arm behind ROS 1 and franka_ros. Topics and actions are options (`--option grasp=/my/action`).

States come as franka_msgs/FrankaState of the franka_state_controller; their mode and errors show reflexes and the user
stop. Set-points go as std_msgs/Float64MultiArray to a controller that follows joint positions, such as ros_controllers'
`JointGroupPositionController`, which has to be loaded and running. franka_hw's rate limiter stays active. Recovery,
grasping and opening are franka_ros' own actions. The hand's width comes as sensor_msgs/JointState.
"""

import os
import threading
import time
import xmlrpc.client
from typing import Any

import numpy as np

from deploy.control.machine import Event
from deploy.robots.base import Address, Features, GripperState, RobotFault, RobotState, stopped_by_itself
from deploy.robots.libfranka import FORCE_N, OPEN_M, SPEED_M_S, contact, thresholds
from deploy.robots.vendor import client
from envs.robots.franka import ARM_LIMITS
from toto_robot.ground.errors import unknown

INSTALL = (
    "Source the workspace that has franka_ros; rospy, actionlib and the common messages are also packages of Debian "
    "(python3-rospy, python3-actionlib). --robot-ip is the machine of the ROS master."
)
DEFAULTS = {
    "states": "/franka_state_controller/franka_states",
    "command": "/joint_group_position_controller/command",
    "recovery": "/franka_control/error_recovery",
    "gripper_states": "/franka_gripper/joint_states",
    "grasp": "/franka_gripper/grasp",
    "move": "/franka_gripper/move",
    "port": "11311",
    "collision": "20",  # franka_control's default
}
MODES = ("other", "idle", "move", "guiding", "reflex", "user_stopped", "other")
"""The mode for each number in FrankaState.robot_mode."""
SILENT_S = 0.5
"""After this time without a state the connection counts as lost."""
ACTION_S, RECOVERY_S = 2.0, 20.0
"""The longest times for an action's server to answer and for a recovery to end. A real recovery takes 0.4 to 16 s."""
BRAKE = 0.5
"""A stop brakes with this share of the acceleration limits."""


def settings(options: dict) -> dict:
    """`DEFAULTS` with `options` over them. Raises UserError for an option that does not exist, or a wrong value."""
    wrong = sorted(set(options) - set(DEFAULTS))
    if wrong:
        raise unknown("--option of the backend ros:", wrong[0], DEFAULTS)
    thresholds(DEFAULTS | options)
    return DEFAULTS | options


class RosNode:
    """One rospy node in this process: the newest message of one topic, and clients of actions. Its faults have the
    class `event`."""

    def __init__(self, address: Address, event: Event):
        self.options, self.event = settings(address.options), event
        self.uri = f"http://{address.ip or '127.0.0.1'}:{self.options['port']}"
        os.environ["ROS_MASTER_URI"] = self.uri
        self.rospy, self.actionlib = client("rospy", INSTALL), client("actionlib", INSTALL)
        self._changed, self._came_s = threading.Condition(), 0.0
        self._newest: Any = None
        self._topic = ""

    def open(self, name: str, topic: str, kind) -> None:
        """Registers at the master and listens to `topic`."""
        try:
            xmlrpc.client.ServerProxy(self.uri).getPid("/toto_robot")
        except OSError as error:
            raise RobotFault(self.event, f"no ROS master at {self.uri} ({error})") from error
        if self.rospy.get_node_uri() is None:
            self.rospy.init_node(name, anonymous=True, disable_signals=True)
        self._topic = topic
        self.rospy.Subscriber(topic, kind, self._take, queue_size=1, tcp_nodelay=True)

    def _take(self, message) -> None:
        with self._changed:
            self._newest, self._came_s = message, time.monotonic()
            self._changed.notify_all()

    def newest(self):
        """The newest message. Raises RobotFault if it is older than `SILENT_S` and no other comes."""
        with self._changed:
            fresh = lambda: self._newest is not None and time.monotonic() - self._came_s < SILENT_S
            if not self._changed.wait_for(fresh, 4 * SILENT_S):
                raise RobotFault(
                    self.event, f"nothing on {self._topic} from the ROS master at {self.uri} for {4 * SILENT_S} s"
                )
            return self._newest

    def action(self, name: str, kind):
        """A client of the action `name`. Raises RobotFault if no server answers."""
        found = self.actionlib.SimpleActionClient(name, kind)
        if not found.wait_for_server(self.rospy.Duration(ACTION_S)):
            raise RobotFault(
                self.event, f"nobody serves the action {name} at {self.uri}: start franka_ros, or give --option"
            )
        return found

    def close(self) -> None:
        self.rospy.signal_shutdown("the deployment has ended")


class RosRobot:
    features = Features("ros", ("fr3", "panda"), 7, False, "rospy")

    def __init__(self, address: Address):
        self.node, self.moving = RosNode(address, Event.NETWORK), False
        self._messages, self._std = client("franka_msgs.msg", INSTALL), client("std_msgs.msg", INSTALL)
        self._brake_rad_s2 = BRAKE * ARM_LIMITS[address.arm].ddq_max_rad_s2
        self._command: Any = None
        self._recovery: Any = None
        # The last set-point, its speed and its time; and whether the arm brakes.
        self._q_d, self._dq_d = np.zeros(7), np.zeros(7)
        self._sent_s, self._stopping = 0.0, False

    def connect(self) -> None:
        names = self.node.options
        self.node.open("toto_robot_arm", names["states"], self._messages.FrankaState)
        publisher = self.node.rospy.Publisher
        self._command = publisher(names["command"], self._std.Float64MultiArray, queue_size=1, tcp_nodelay=True)
        self.observe()
        self._recovery = self.node.action(names["recovery"], self._messages.ErrorRecoveryAction)

    def observe(self) -> RobotState:
        m = self.node.newest()
        errors = tuple(name for name in m.current_errors.__slots__ if getattr(m.current_errors, name))
        return RobotState(
            m.time,
            np.array(m.q),
            np.array(m.dq),
            MODES[m.robot_mode],
            errors,
            m.control_command_success_rate,
            contact(m.tau_ext_hat_filtered, m.O_F_ext_hat_K, thresholds(self.node.options)),
        )

    def start(self) -> None:
        if self._command.get_num_connections() == 0:
            raise RobotFault(
                Event.NETWORK,
                f"nobody listens to {self.node.options['command']}: load the controller, or give --option command=...",
            )
        self._q_d, self._dq_d = self.observe().q_rad, np.zeros(7)
        self._sent_s, self._stopping, self.moving = time.monotonic(), False, True

    def act(self, q_d_rad: np.ndarray) -> np.ndarray:
        q_d, now_s = np.array(q_d_rad, np.float64), time.monotonic()
        self._dq_d, self._q_d = (q_d - self._q_d) / max(now_s - self._sent_s, 1e-3), q_d
        self._sent_s = now_s
        self._command.publish(self._std.Float64MultiArray(data=q_d.tolist()))
        return q_d

    def serve(self) -> None:
        """Watches the arm, and brakes it after `stop`. The servo loop is the controller's."""
        if not self.moving:
            return
        state = self.observe()
        if state.mode in ("reflex", "user_stopped"):
            self.moving = False
            said = ", ".join(f'"{error}"' for error in state.errors)
            raise stopped_by_itself(
                "user stop" if state.mode == "user_stopped" else f"reflex: {said or 'motion aborted'}"
            )
        if self._stopping:
            passed_s = time.monotonic() - self._sent_s
            reach = self._brake_rad_s2 * passed_s
            dq = self._dq_d - np.clip(self._dq_d, -reach, reach)
            self.act(self._q_d + dq * passed_s)
            self._dq_d, self.moving = dq, bool(dq.any())

    def stop(self) -> None:
        """Lets `serve` brake from now on. The controller then holds the last set-point."""
        self._stopping = True

    def recover(self) -> None:
        state = self._recovery.send_goal_and_wait(
            self._messages.ErrorRecoveryGoal(), self.node.rospy.Duration(RECOVERY_S)
        )
        if state != self.node.actionlib.GoalStatus.SUCCEEDED:
            raise RobotFault(
                Event.REFLEX, f"the arm refused its automatic error recovery ({self._recovery.get_goal_status_text()})"
            )

    def disconnect(self) -> None:
        self.moving = False
        self.node.close()


class RosGripper:
    def __init__(self, address: Address):
        self.node = RosNode(address, Event.GRIPPER_FAILED)
        self._messages, self._sensor = client("franka_gripper.msg", INSTALL), client("sensor_msgs.msg", INSTALL)
        self._grasp: Any = None
        self._move: Any = None
        self._running: Any = None
        self._what = ""

    def connect(self) -> None:
        names = self.node.options
        self.node.open("toto_robot_gripper", names["gripper_states"], self._sensor.JointState)
        self._grasp = self.node.action(names["grasp"], self._messages.GraspAction)
        self._move = self.node.action(names["move"], self._messages.MoveAction)

    def observe(self) -> GripperState:
        return GripperState(float(np.sum(self.node.newest().position)), False)

    def command(self, close: bool) -> None:
        if self._running is not None:
            self._running.cancel_goal()
        if close:
            goal = self._messages.GraspGoal(width=0.0, speed=SPEED_M_S, force=FORCE_N)
            goal.epsilon.inner = goal.epsilon.outer = OPEN_M
        else:
            goal = self._messages.MoveGoal(width=OPEN_M, speed=SPEED_M_S)
        self._running, self._what = (self._grasp, "grasp") if close else (self._move, "open")
        self._running.send_goal(goal)

    def serve(self) -> None:
        status = self.node.actionlib.GoalStatus
        if self._running is None or self._running.get_state() in (status.PENDING, status.ACTIVE):
            return
        done, self._running = self._running, None
        if done.get_state() != status.SUCCEEDED:
            raise RobotFault(Event.GRIPPER_FAILED, f"{self._what}: {done.get_goal_status_text() or 'failed'}")

    def disconnect(self) -> None:
        self.node.close()


def make(address: Address) -> RosRobot:
    return RosRobot(address)


def make_gripper(address: Address) -> RosGripper:
    return RosGripper(address)

"""A franka_ros to test with: its topics and actions under their names, and an arm that follows.

    python franka_ros.py MESSAGES_FOLDER       a node of the master at ROS_MASTER_URI

The messages have fewer fields than franka_ros' own; both ends of a test use these. The topic /test takes what happens
to the arm: reflex, reflex_hard, user_stop, release, silence.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

MESSAGES = {
    "franka_msgs": {
        "Errors": "bool joint_reflex\nbool joint_velocity_violation\n",
        "FrankaState": "float64[7] q\nfloat64[7] dq\nfloat64[7] tau_ext_hat_filtered\nfloat64[6] O_F_ext_hat_K\n"
        "float64 time\nfloat64 control_command_success_rate\nuint8 robot_mode\n"
        "franka_msgs/Errors current_errors\n",
    },
    "franka_gripper": {"GraspEpsilon": "float64 inner\nfloat64 outer\n"},
}
ACTIONS = {
    "franka_msgs": {"ErrorRecovery": ("", "", "")},
    "franka_gripper": {
        "Grasp": (
            "float64 width\nfranka_gripper/GraspEpsilon epsilon\nfloat64 speed\nfloat64 force\n",
            "bool success\nstring error\n",
            "",
        ),
        "Move": ("float64 width\nfloat64 speed\n", "bool success\nstring error\n", ""),
    },
}
ENVELOPE = {
    "Goal": "Header header\nactionlib_msgs/GoalID goal_id\n{name}Goal goal\n",
    "Result": "Header header\nactionlib_msgs/GoalStatus status\n{name}Result result\n",
    "Feedback": "Header header\nactionlib_msgs/GoalStatus status\n{name}Feedback feedback\n",
}
IDLE, MOVE, REFLEX, USER_STOPPED = 1, 2, 4, 5


def definitions(package: str) -> dict[str, str]:
    """Name of a message → its text, those of the package's actions among them."""
    found = dict(MESSAGES[package])
    for name, parts in ACTIONS.get(package, {}).items():
        for part, text in zip(ENVELOPE, parts):
            found[f"{name}{part}"], found[f"{name}Action{part}"] = text, ENVELOPE[part].format(name=name)
        found[f"{name}Action"] = "".join(f"{name}Action{part} action_{part.lower()}\n" for part in ENVELOPE)
    return found


def generate(folder: Path) -> None:
    """Python modules of the messages in `folder`, made by ROS' own generator."""
    import rospy
    from genpy import generate_initpy
    from genpy.generator import MsgGenerator

    share = next(p for p in Path(rospy.__file__).parents if (p / "share/std_msgs").exists()) / "share"
    search = {name: [str(share / name / "msg")] for name in ("std_msgs", "actionlib_msgs")}
    for package in MESSAGES:
        texts, out = folder / "text" / package, folder / package / "msg"
        texts.mkdir(parents=True)
        out.mkdir(parents=True)
        search[package] = [str(texts)]
        for name, text in definitions(package).items():
            (texts / f"{name}.msg").write_text(text)
        files = [str(path) for path in texts.iterdir()]
        assert MsgGenerator().generate_messages(package, files, str(out), search) == 0
        (folder / package / "__init__.py").touch()
        generate_initpy.write_modules(str(out))


class Node:
    """The arm, its hand and their action servers."""

    def __init__(self):
        import actionlib
        import rospy
        from franka_gripper.msg import GraspAction, MoveAction
        from franka_msgs.msg import ErrorRecoveryAction, Errors, FrankaState
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Float64MultiArray, String

        self.rospy, self.State, self.Errors, self.JointState = rospy, FrankaState, Errors, JointState
        self.q = np.array([0, -0.785, 0, -2.356, 0, 1.571, 0.785])
        self.q_d, self.width_m, self.mode, self.errors, self.silent = self.q.copy(), 0.08, MOVE, Errors(), False
        rospy.init_node("franka_ros")
        rospy.Subscriber("/joint_group_position_controller/command", Float64MultiArray, self.take, tcp_nodelay=True)
        rospy.Subscriber("/test", String, self.happen)
        self.states = rospy.Publisher("/franka_state_controller/franka_states", FrankaState, queue_size=1)
        self.fingers = rospy.Publisher("/franka_gripper/joint_states", JointState, queue_size=1)
        self.servers = [
            actionlib.SimpleActionServer(name, kind, do, auto_start=False)
            for name, kind, do in (
                ("/franka_control/error_recovery", ErrorRecoveryAction, self.recover),
                ("/franka_gripper/grasp", GraspAction, self.grasp),
                ("/franka_gripper/move", MoveAction, self.move),
            )
        ]
        [server.start() for server in self.servers]

    def take(self, message):
        if self.mode == MOVE:
            self.q_d = np.array(message.data)

    def happen(self, message):
        if message.data.startswith("reflex"):
            self.mode = REFLEX
            self.errors = self.Errors(
                **{"joint_velocity_violation" if "hard" in message.data else "joint_reflex": True}
            )
        elif message.data in ("user_stop", "release"):
            self.mode = USER_STOPPED if message.data == "user_stop" else MOVE
        self.silent = message.data == "silence"

    def recover(self, goal):
        if self.mode == USER_STOPPED:
            return self.servers[0].set_aborted(text="the user stop is pressed")
        self.mode, self.errors, self.q_d = MOVE, self.Errors(), self.q.copy()
        self.servers[0].set_succeeded()

    def grasp(self, goal):
        self._fingers(self.servers[1], 0.045 if goal.force > 0 else goal.width)

    def move(self, goal):
        self._fingers(self.servers[2], goal.width)

    def _fingers(self, server, width_m):
        while abs(self.width_m - width_m) > 1e-9 and not server.is_preempt_requested():
            self.width_m += float(np.clip(width_m - self.width_m, -1e-3, 1e-3))
            self.rospy.sleep(0.01)
        server.set_preempted() if server.is_preempt_requested() else server.set_succeeded()

    def run(self):
        rate = self.rospy.Rate(200)
        while not self.rospy.is_shutdown():
            before, self.q = self.q, self.q + 0.5 * (self.q_d - self.q) * (self.mode == MOVE)
            if not self.silent:
                self.states.publish(
                    self.State(
                        q=self.q.tolist(),
                        dq=(200 * (self.q - before)).tolist(),
                        robot_mode=self.mode,
                        time=self.rospy.get_time(),
                        current_errors=self.errors,
                        control_command_success_rate=1.0,
                    )
                )
                self.fingers.publish(self.JointState(name=["left", "right"], position=[self.width_m / 2] * 2))
            rate.sleep()


def start(folder: Path, **environment) -> subprocess.Popen:
    """The node as a process."""
    return subprocess.Popen([sys.executable, __file__, str(folder)], **environment)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    Node().run()

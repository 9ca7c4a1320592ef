"""`--backend pylibfranka`: Franka's own Python client, in torque mode, with the scene's control law in this process.

The 1 kHz loop runs in this process: each `serve` reads a state and answers it with torques of
`envs.robots.control.JointImpedance`. That is exactly the law of the simulated scene, but it needs a real-time kernel
and its own core. On a busy desktop about half of the answers come late, and 20 in a row end the motion (measured,
real_robot.md). The client's asynchronous position handler is not used: it stops at every target, its errors don't
raise, and its authors call it experimental.
"""

from typing import Any

import numpy as np

from deploy.control.machine import Event
from deploy.robots.base import Address, Features, RobotFault, RobotState, stopped_by_itself
from deploy.robots.libfranka import LibfrankaGripper, robot_state, set_flags, thresholds
from deploy.robots.vendor import client
from envs.robots import ROBOTS
from envs.robots.control import JointImpedance

INSTALL = "Install it with `pip install pylibfranka==0.21.3` (Linux, x86-64, glibc 2.34 or newer)."
REST_RAD_S = 0.005
"""An arm whose joints are all slower than this is at rest."""
REST_CYCLES = 2000
"""After this many milliseconds of damping, control is given back in any case."""


class PylibfrankaRobot:
    features = Features("pylibfranka", ("fr3",), 7, True, "pylibfranka")

    def __init__(self, address: Address):
        self.address = address
        self._client = client("pylibfranka", INSTALL)
        self._law = JointImpedance(ROBOTS["franka"])
        self._robot: Any = None
        self._model: Any = None
        self._control: Any = None
        self._state: Any = None
        """The state that was answered last."""
        self._stopping = 0
        """Milliseconds since the stop began; 0 without a stop."""
        self.q_d_rad = np.array(ROBOTS["franka"].q_home_rad)
        self._thresholds = thresholds(address.options)

    def connect(self) -> None:
        config = self._client.RealtimeConfig
        enforce = self.address.options.get("realtime") == "enforce"
        try:
            self._robot = self._client.Robot(self.address.ip, config.kEnforce if enforce else config.kIgnore)
            self._model = self._robot.load_model()
        except Exception as error:  # its exceptions have several bases
            raise RobotFault(Event.NETWORK, f"no connection to {self.address.ip}: {error}") from error

    @property
    def moving(self) -> bool:
        return self._control is not None

    def observe(self) -> RobotState:
        try:
            s = self._state if self.moving and self._state is not None else self._robot.read_once()
        except Exception as error:
            raise self._fault(error) from error
        return robot_state(s, set_flags(s.current_errors), self._thresholds)

    def start(self) -> None:
        try:
            self._robot.set_collision_behavior(*self._thresholds)
            self.q_d_rad, self._stopping, self._state = np.array(self._robot.read_once().q), 0, None
            self._law.reset()
            self._control = self._robot.start_torque_control()
        except Exception as error:
            raise self._fault(error) from error
        self.serve()  # the state that reported the start waits for its answer

    def act(self, q_d_rad: np.ndarray) -> np.ndarray:
        self.q_d_rad = np.array(q_d_rad, np.float64)
        return self.q_d_rad

    def serve(self) -> None:
        """Reads one state and answers it."""
        if self._control is None:
            return
        try:
            s, _ = self._control.readOnce()
            self._state, q, dq = s, np.array(s.q), np.array(s.dq)
            target = q if self._stopping else self.q_d_rad
            command = self._client.Torques(list(self._law.torque(target, q, dq, np.array(self._model.coriolis(s)))))
            if self._stopping:
                self._stopping += 1
                command.motion_finished = bool(np.abs(dq).max() < REST_RAD_S or self._stopping > REST_CYCLES)
            self._control.writeOnce(command)
        except Exception as error:
            self._control = None
            raise self._fault(error) from error
        if command.motion_finished:
            self._control = None

    def stop(self) -> None:
        """Lets `serve` damp the arm from now on until it is at rest."""
        self._stopping = 1

    def recover(self) -> None:
        try:
            self._robot.automatic_error_recovery()
        except Exception as error:
            raise self._fault(error) from error

    def disconnect(self) -> None:
        self._control = self._robot = None

    def _fault(self, error: Exception) -> RobotFault:
        if isinstance(error, self._client.NetworkException):
            return RobotFault(Event.NETWORK, str(error))
        return stopped_by_itself(f"{type(error).__name__}: {error}")


class PylibfrankaGripper(LibfrankaGripper):
    """Commands block in this client, and the width can't be read before they are done."""

    def __init__(self, address: Address):
        super().__init__(address, client("pylibfranka", INSTALL))

    def command(self, close: bool) -> None:
        try:
            self._move(close)
        except Exception as error:
            raise RobotFault(Event.GRIPPER_FAILED, str(error)) from error

    def serve(self) -> None:
        pass


def make(address: Address) -> PylibfrankaRobot:
    return PylibfrankaRobot(address)


def make_gripper(address: Address) -> PylibfrankaGripper:
    return PylibfrankaGripper(address)

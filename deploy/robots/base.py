"""A robot and a gripper as the control loop sees them, and the errors that they may raise.

    robot = backend.make(Address(...))
    robot.features                     # known before anything is connected
    robot.connect()
    robot.start()                      # takes control of the arm, which is at rest
    every 1 ms: robot.act(q_d_rad); robot.serve()
    robot.stop(); while robot.moving: robot.serve()
    robot.disconnect()

A package adds a backend through the entry-point group `toto_robot.robots`: a module, or an object, with `make` and
`make_gripper`, under the backend's name.
"""

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from deploy.control.machine import Event
from deploy.control.safety import Contact


class RobotFault(Exception):
    """An error that ends the motion. `event` is its class: REFLEX, USER_STOP, NETWORK, LIMITS or GRIPPER_FAILED."""

    def __init__(self, event: Event, message: str):
        super().__init__(" ".join(message.split()))
        self.event = event


@dataclass(frozen=True)
class Features:
    """What is known about a robot before it is connected."""

    backend: str
    arms: tuple[str, ...]
    """Arms that this client supports: fr3, panda."""
    joints: int
    serves: bool
    """Whether `serve` is the arm's servo loop. Then nothing may block the process for longer than a millisecond."""
    client: str
    """The client library, with its version where that is known."""


@dataclass(frozen=True)
class Address:
    """Where a robot is."""

    ip: str
    arm: str
    """fr3 or panda."""
    options: dict
    """Settings of the backend, e.g. the topics of `ros`."""


@dataclass(frozen=True)
class RobotState:
    """What an arm measures."""

    time_s: float
    """The arm's own clock."""
    q_rad: np.ndarray
    dq_rad_s: np.ndarray
    mode: str
    """idle, move, guiding, reflex, user_stopped or other."""
    errors: tuple[str, ...] = ()
    success_rate: float | None = None
    """Share of the last 100 commands that arrived in time; None if the arm does not report it."""
    contact: Contact = Contact()


class Robot(Protocol):
    """One arm behind its client."""

    features: Features

    @property
    def moving(self) -> bool:
        """Whether this client controls the arm."""

    def connect(self) -> None: ...

    def observe(self) -> RobotState:
        """The newest state. Raises RobotFault if the connection is lost."""

    def start(self) -> None:
        """Takes control of the arm, which is at rest."""

    def act(self, q_d_rad: np.ndarray) -> np.ndarray:
        """Commands the set-point (J,). Returns what was sent. Raises RobotFault if the arm has stopped by itself."""

    def serve(self) -> None:
        """Does what the arm needs in each servo period. Raises RobotFault if the arm has stopped by itself."""

    def stop(self) -> None:
        """Begins to bring the arm to rest. `moving` turns false when its control is given back."""

    def recover(self) -> None:
        """Asks the arm for its own error recovery. Raises RobotFault if it refuses."""

    def disconnect(self) -> None: ...


@dataclass(frozen=True)
class GripperState:
    """What a gripper measures."""

    width_m: float
    """Distance between the fingers."""
    holds: bool
    """Whether it reports that it has grasped something."""


class Gripper(Protocol):
    """One gripper behind its client."""

    def connect(self) -> None: ...
    def observe(self) -> GripperState: ...

    def command(self, close: bool) -> None:
        """Begins to close or to open. A running command is replaced."""

    def serve(self) -> None:
        """Watches the command. Raises RobotFault if it has failed."""

    def disconnect(self) -> None: ...


RECOVERABLE = {"joint_reflex", "cartesian_reflex", "communication_constraints_violation"}
"""The errors after a touch or a late packet. After any other error a person looks at the arm first."""


def stopped_by_itself(message: str) -> RobotFault:
    """The fault that an error text of libfranka means. Its texts and names of errors are the same in every client."""
    low = message.lower()
    if "user stop" in low or "userstop" in low or "user_stop" in low:
        return RobotFault(Event.USER_STOP, message)
    if names := set(re.findall(r'"(\w+)"', low)):
        return RobotFault(Event.REFLEX if names <= RECOVERABLE else Event.LIMITS, message)
    if any(word in low for word in ("udp", "tcp", "net exception", "network", "connection", "socket")):
        return RobotFault(Event.NETWORK, message)
    return RobotFault(Event.ROBOT_FAILED, message)

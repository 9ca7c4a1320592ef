"""What a robot is to the control loop, and the errors that it may raise.

    robot = backend.make(Address(...))
    robot.features                     # known before anything is connected
    robot.connect()
    robot.start()                      # takes control of the arm, at rest where it is
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
    """Something that ends the motion. `event` is its class: REFLEX, USER_STOP, NETWORK, LIMITS or GRIPPER_FAILED."""

    def __init__(self, event: Event, message: str):
        super().__init__(" ".join(message.split()))
        self.event = event


@dataclass(frozen=True)
class Features:
    """What is known of a robot before it is connected."""

    backend: str
    arms: tuple[str, ...]
    """Arms that this client can speak to: fr3, panda."""
    joints: int
    serves: bool
    """Whether `serve` is the arm's servo loop, so that nothing may keep the process longer than a millisecond."""
    client: str
    """The client library and its version, or what has to be installed."""


@dataclass(frozen=True)
class Address:
    """Where a robot is."""

    ip: str
    arm: str
    """fr3 or panda."""
    options: dict
    """Settings of one backend, e.g. topics of `ros`."""


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
    """Share of the last 100 commands that arrived in time; None where the arm doesn't tell."""
    contact: Contact = Contact()


class Robot(Protocol):
    features: Features
    moving: bool
    """Whether this client controls the arm."""

    def connect(self) -> None: ...

    def observe(self) -> RobotState:
        """The newest state. RobotFault where the connection is lost."""

    def start(self) -> None:
        """Take control, at rest where the arm is."""

    def act(self, q_d_rad: np.ndarray) -> np.ndarray:
        """Command the set-point (J,); what was actually sent. RobotFault where the arm has stopped by itself."""

    def serve(self) -> None:
        """What the arm needs in each servo period. RobotFault where the arm has stopped by itself."""

    def stop(self) -> None:
        """Begin to bring the arm to rest; `moving` turns false when control is given back."""

    def recover(self) -> None:
        """The arm's own error recovery; RobotFault where it refuses."""

    def disconnect(self) -> None: ...


@dataclass(frozen=True)
class GripperState:
    width_m: float
    """Between the fingers."""
    holds: bool
    """Whether it says that it has grasped something."""


class Gripper(Protocol):
    def connect(self) -> None: ...
    def observe(self) -> GripperState: ...

    def command(self, close: bool) -> None:
        """Begin to close or to open; replaces a command that is under way."""

    def serve(self) -> None:
        """RobotFault where a command has failed."""

    def disconnect(self) -> None: ...


RECOVERABLE = {"joint_reflex", "cartesian_reflex", "communication_constraints_violation"}
"""What a touch, or a late packet, does to the arm; after any other error a person looks first."""


def stopped_by_itself(message: str) -> RobotFault:
    """The fault behind an error text of libfranka: its texts, and its names of errors, are the same in every client."""
    low = message.lower()
    if "user stop" in low or "userstop" in low or "user_stop" in low:
        return RobotFault(Event.USER_STOP, message)
    if names := set(re.findall(r'"(\w+)"', low)):
        return RobotFault(Event.REFLEX if names <= RECOVERABLE else Event.LIMITS, message)
    if any(word in low for word in ("udp", "tcp", "net exception", "network", "connection", "socket")):
        return RobotFault(Event.NETWORK, message)
    return RobotFault(Event.ROBOT_FAILED, message)

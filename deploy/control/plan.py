"""What the robot's process gets and gives: the plan of a run, its connections, and the record of a control period."""

import contextlib
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Semaphore

import numpy as np

from deploy.control import machine
from deploy.control.shared import FrameSlot, History
from envs.robots.limits import JointLimits


@dataclass
class Plan:
    """The episodes of a run, and the rules for them."""

    seeds: list[int]
    """One for each episode."""
    periods: int
    """The largest number of control periods in an episode."""
    period_s: float
    home_rad: np.ndarray
    """(J,)"""
    limits: JointLimits
    """The arm's published limits. Measured states must stay inside them."""
    home_speed: float = 0.2
    """Share of the limits for the way home."""
    max_age_s: float = 0.25
    """An action is dropped as late if its frame is older than this when the period begins."""
    dry: bool = False
    """Do everything but move."""
    rules: machine.Rules = field(default_factory=machine.Rules)
    look_frames: int = 0
    """Number of frames that the policy compares with its training pictures before anything moves."""
    yes_look: bool = False
    """Go on where the frames do not look like the training pictures."""
    camera_hz: float | None = None
    """The rate that the camera was asked for; None if it has none, and in lockstep."""


def heard(connection: Connection) -> tuple[list, bool]:
    """The messages that have come, and whether the other end is gone."""
    messages: list = []
    try:
        while connection.poll():
            messages.append(connection.recv())
    except (EOFError, OSError):
        return messages, True
    return messages, False


@dataclass
class Links:
    """The connections of the robot's process to the others."""

    main: Connection
    policy: Connection
    frames: FrameSlot
    history: History
    orders: Semaphore
    """Orders to the camera in lockstep."""

    def tell(self, message: tuple) -> None:
        """Sends a message to the main process. If that has ended, the kernel asks this process to end too."""
        with contextlib.suppress(OSError):
            self.main.send(message)


@dataclass
class Period:
    """The record of one control period. Times are on the run's clock."""

    episode: int
    index: int
    asked: int
    """The request whose action was applied; -1 without an action."""
    start_s: float
    state: str
    applied: np.ndarray
    q_rad: np.ndarray
    q_d_rad: np.ndarray
    """The last command before the period."""
    width_m: float
    limited: str
    late: int
    """Actions that were dropped since the last period."""
    lag_s: float
    """How late the period began, on the wall's clock."""
    latency_s: float
    """Time from the frame's capture to the first set-point; nan without an action."""
    success: bool

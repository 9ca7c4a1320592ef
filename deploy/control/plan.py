"""What a run is to do, what its process is connected to, and what it tells of each control period."""

import contextlib
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import numpy as np

from deploy.control import machine
from deploy.control.shared import FrameSlot, History
from envs.robots.limits import JointLimits


@dataclass
class Plan:
    """What is to be run."""

    seeds: list[int]
    """One episode each."""
    periods: int
    """Control periods that an episode may take."""
    period_s: float
    home_rad: np.ndarray
    limits: JointLimits
    """The arm's published ones: what it measures must stay inside."""
    home_speed: float = 0.2
    """Share of the limits with which it goes home."""
    max_age_s: float = 0.25
    """An action whose frame is older than this when its period begins is late and is dropped."""
    dry: bool = False
    """Everything but motion."""
    rules: machine.Rules = field(default_factory=machine.Rules)
    look_frames: int = 0
    """Frames that the policy compares with its training pictures before anything moves; 0 for none."""
    yes_look: bool = False
    """Go on where they are out of what it was trained on."""


def heard(connection: Connection) -> tuple[list, bool]:
    """What has come, and whether nobody is at the other end any more."""
    messages = []
    try:
        while connection.poll():
            messages.append(connection.recv())
    except (EOFError, OSError):
        return messages, True
    return messages, False


@dataclass
class Links:
    """The other processes, as this one sees them."""

    main: Connection
    policy: Connection
    frames: FrameSlot
    history: History
    orders: object
    """Semaphore of the camera in lockstep."""

    def tell(self, message: tuple) -> None:
        """To the main process. Where that has ended nobody hears it, and the kernel asks this process to end too."""
        with contextlib.suppress(OSError):
            self.main.send(message)


@dataclass
class Period:
    """One control period, as it is recorded. Times on the run's clock."""

    episode: int
    index: int
    asked: int
    """The request whose action was applied; -1 for none."""
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
    """How late the period began, by the wall."""
    latency_s: float
    """From the frame's capture to the first set-point; nan without an action."""
    success: bool

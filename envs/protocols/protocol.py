"""A protocol: how a policy's action becomes motion of a robot, how often, and how an episode ends."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import mujoco
import numpy as np

from envs.interface import ActionSpec
from envs.robots.robot import Robot


class Protocol(ABC):
    """One robot's protocol. A subclass sets the numbers and implements the abstract methods.

    The public numbers of a subclass belong to `envs.fingerprint`. A public number in this base class would change every
    fingerprint, so there are only annotations here.
    """

    name: str
    """The key in `PROTOCOLS`."""
    suffix: str
    """The last part of an environment's name, after robot_task."""
    random_yaw: bool
    """Whether objects turn about the vertical axis at reset."""
    success_steps: int
    """Consecutive steps in the goal that make a success."""
    ends_at_success: bool
    """Whether success ends the episode. Otherwise it runs on to the horizon."""
    ends_at_failure: bool
    """Whether a contact on an arm link, or a fallen object, ends the episode."""
    expert_gain_per_s: float
    """How fast an expert may close its error. A larger gain overshoots because of the loop's delay."""
    control_hz: float
    """Actions a second."""
    physics_dt_s: float
    """Time step of the physics."""
    horizon_s: float
    """Length of an episode."""
    horizon: int
    """Length of an episode in control steps."""
    max_step_rad: float
    """The increment of an arm joint that an action of 1.0 stands for."""
    action_names: tuple[str, ...]
    """(A,)"""
    _meaning: str
    """What an action means, as recorded sets hold it. Episodes join an older set only if the text is equal, so it stays
    as it was, whatever the docstring says. It begins with an underscore to stay out of the fingerprint."""

    def __init__(self, robot: Robot):
        self.robot = robot

    @classmethod
    def meaning(cls) -> str:
        """What an action means, in the words that recorded sets hold. The words never change."""
        return " ".join(cls._meaning.split())

    @staticmethod
    @abstractmethod
    def fits(robot: Robot) -> bool:
        """Whether the robot publishes what this protocol needs."""

    @staticmethod
    @abstractmethod
    def home_rad(robot: Robot) -> np.ndarray:
        """(dof,) joint positions at the centre of the reset distribution."""

    @classmethod
    @abstractmethod
    def actuators(cls, robot: Robot) -> str:
        """The children of `<actuator>`."""

    @classmethod
    def extras(cls, robot: Robot) -> str:
        """Further top-level MJCF elements."""
        return ""

    @classmethod
    def adapt(cls, model: mujoco.MjModel) -> None:
        """Changes the compiled model where the protocol has numbers of its own."""

    @abstractmethod
    def actions(self) -> ActionSpec:
        """What the numbers of an action mean."""

    @property
    def largest_seen(self) -> float | None:
        """`seen` limits values to ± this number; None for no limit."""
        return None

    def seen(self, values: np.ndarray) -> np.ndarray:
        """Proprioception or privileged state (n,) as a policy sees it."""
        return values

    @abstractmethod
    def reset(self, data: mujoco.MjData) -> None:
        """Starts at rest at the joints in `data`."""

    def apply(self, action: np.ndarray, data: mujoco.MjData, step: Callable[[int], object]) -> None:
        """Moves the set-points over one control period and calls `step(n)` for n physics steps between them."""
        for count in self.drive(action, data):
            step(count)

    @abstractmethod
    def drive(self, action: np.ndarray, data: mujoco.MjData) -> Iterator[int]:
        """`apply` as a generator. It writes a set-point and yields how many physics steps to take before it continues,
        so many environments can go through their periods side by side."""

    @abstractmethod
    def action_for(self, dq_rad: np.ndarray, open_gripper: bool, data: mujoco.MjData) -> np.ndarray:
        """The action (A,) float32 that comes nearest to moving the arm by `dq_rad` (J,) in one control period."""

    @abstractmethod
    def state(self) -> np.ndarray:
        """What the protocol remembers, float64 (n,)."""

    @abstractmethod
    def restore(self, state: np.ndarray) -> None:
        """Restores `state` exactly."""

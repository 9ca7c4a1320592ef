"""The base of all tasks: fingertips, streaks of good steps, contacts of the arm, numbers that depend on the hand."""

import functools
from abc import ABC, abstractmethod

import mujoco
import numpy as np

from envs.errors import EnvError
from envs.protocols.protocol import Protocol
from envs.robots.robot import Robot
from toto_robot.ground.errors import unknown

TABLE_Z_M = 0.4
TABLE = """
<geom name="table" type="box" pos="0.5 0 0.2" size="0.3 0.5 0.2" material="table" contype="2" conaffinity="5"
      friction="1 0.005 0.0001"/>"""

GRIPPER_SEES = ("q (dof)", "dq (dof)", "left fingertip (3)", "right fingertip (3)")
HAND_SEES = ("q (dof)", "dq (dof)", "palm (3)", "fingertips (4 × 3)")
"""What an oracle sees of a robot, before the objects of its task (`Task.hand_points`), for each kind of hand."""


def nearness(tips, thing, weights, c_m: float, nearest_m: float) -> float:
    """PixMC's reward for fingertips (F, 3) near a thing (3,): the sum of w/(c + d), where d is at least `nearest_m`."""
    return float(np.sum(weights / (c_m + np.maximum(np.linalg.norm(tips - thing, axis=1), nearest_m))))


def effort(action) -> float:
    """PixMC's penalty for an action (A,)."""
    return float(0.01 * np.sum(np.square(action)))


class Task(ABC):
    """A task for any robot, at any of its protocols. A subclass defines the scene, the observation, success and reward.

    The numbers in a class body are the parallel gripper's. `_hands` has the numbers of other hands, and `for_hand`
    applies them. Attributes that begin with an underscore stay out of `envs.fingerprint`, so sets that are older than
    the second hand still match their environment. The numbers in `_hands` are part of the fingerprint of the hands that
    use them.
    """

    name: str
    """The key in an environment's name, as in `franka_pick`."""
    privileged_names: tuple[str, ...]
    """What an oracle sees, with the size of each part."""
    base_pos = "1 0 0"
    base_quat = "0 0 0 1"
    table_z_m = TABLE_Z_M
    """Height of the surface on which the boxes of a cluttered look stand."""
    protocols: tuple[str, ...] = ("real_arm", "pixmc")
    """Names of the protocols at which the task exists."""
    _share_of_horizon = 1.0
    """Length of an episode, as a share of the protocol's."""
    _hands: dict[str, dict] = {"parallel": {}}
    """Numbers for each kind of hand that can do the task: {`Robot.hand`: {attribute: value}}."""
    _homes_rad: dict[str, tuple] = {}
    """{robot: arm joints (J,)} for robots that do not start at their `q_home_rad`. Used at our own protocols."""
    painted: dict[str, tuple] = {"table": ("table_rgb", None)}
    """{geom: (colour of `Appearance`, the geom's own nominal colour or None)}. A geom with its own colour changes by as
    much as the colour of the appearance differs from the nominal one."""

    @classmethod
    def knows_hand(cls, hand: str) -> bool:
        """Whether a robot with this hand (`Robot.hand`) can do the task."""
        return hand in cls._hands

    @classmethod
    def for_hand(cls, hand: str) -> type["Task"]:
        """The task with the numbers of a hand (`Robot.hand`)."""
        if hand not in cls._hands:
            raise unknown(f"hand with task={cls.name}:", hand, cls._hands, error=EnvError)
        return _with_numbers(cls, hand) if cls._hands[hand] else cls

    @classmethod
    @abstractmethod
    def mjcf(cls) -> str:
        """The scene around the robot, as children of `<worldbody>`."""

    @classmethod
    def hand_mjcf(cls) -> str:
        """What the task fixes to the hand, as children of the hand's `<body>`. Nothing by default."""
        return ""

    def __init__(self, model: mujoco.MjModel, robot: Robot, protocol: Protocol):
        self.model, self.robot, self.protocol = model, robot, protocol
        self.fingers = [model.body(name).id for name in robot.finger_bodies]
        self.grasp_points_m = robot.grasp_points_m()
        self.links = [model.body(name).id for name in robot.link_bodies]
        self.link_geom = np.isin(model.geom_bodyid, self.links)
        self.horizon = round(protocol.horizon * self._share_of_horizon)
        self.success_steps = protocol.success_steps
        self.streak = 0

    @property
    def posture_rad(self) -> np.ndarray:
        """(J,) arm joints that suit the task. Episodes start here at our own protocols, and experts return here."""
        return np.array(self._homes_rad.get(self.robot.name, self.robot.q_home_rad))

    def home_rad(self) -> np.ndarray:
        """(dof,) joint positions at the centre of the reset distribution."""
        home = self.protocol.home_rad(self.robot)
        if self.protocol.name != "pixmc":  # PixMC has one home for all tasks
            home[: len(self.robot.arm_joints)] = self.posture_rad
        return home

    def start_rad(self, rng: np.random.Generator) -> np.ndarray:
        """(dof,) joint positions where an episode begins: home ± 0.125 in each joint. `RobotEnv` limits them to their
        range."""
        return self.home_rad() + rng.uniform(-0.125, 0.125, self.robot.dof)

    def make_card_grey(self) -> None:
        """Takes the meaning from the card that names the object. Raises EnvError for a task without a card."""
        raise EnvError(f"the task {self.name} has no card that names an object, so no look makes it grey")

    def reset(self, data, rng: np.random.Generator) -> None:
        """Draws a new scene into `data`."""
        self.streak = 0
        self.place(data, rng)

    def executed(self, data, action: np.ndarray) -> np.ndarray:
        """The action (A,) that moves the robot in this step. It is the given action, unless the task holds the arm."""
        return action

    def dress(self, data) -> None:
        """Writes what the task itself decides about the looks: colours that it draws, and bodies that only the camera
        sees. Called after every look is written and after every step. Nothing by default."""

    def _draw_from(self, near_m: float) -> None:
        """Draws what is at least this far from a camera. By default that is a hundredth of the scene's extent."""
        self.model.vis.map.znear = near_m / self.model.stat.extent

    def evaluate(self, data, action) -> tuple[float, bool, bool]:
        """(reward, whether success is now complete, whether the episode has failed) after a step."""
        self.streak = self.streak + 1 if self.good(data) else 0
        failed = self.protocol.ends_at_failure and (self.lost(data) or self._link_touches(data))
        return self.score(data, action), self.streak >= self.success_steps, failed

    @abstractmethod
    def place(self, data, rng: np.random.Generator) -> None:
        """Puts the objects of the scene where an episode begins."""

    @abstractmethod
    def good(self, data) -> bool:
        """Whether this step counts towards success."""

    def lost(self, data) -> bool:
        """Whether the episode can't succeed any more."""
        return False

    @abstractmethod
    def score(self, data, action) -> float:
        """PixMC's reward of a step."""

    @abstractmethod
    def privileged(self, data) -> np.ndarray:
        """(n,): what PixMC's oracle sees in addition to proprio."""

    def fingertips(self, data) -> np.ndarray:
        """(F, 3) grasp points of the fingers, world frame, metres."""
        return np.stack(
            [data.xpos[b] + data.xmat[b].reshape(3, 3) @ at for b, at in zip(self.fingers, self.grasp_points_m)]
        )

    def hand_points(self, data) -> list[np.ndarray]:
        """What an oracle sees of the hand: the palm where the hand has one, then the fingertips. (3,) each."""
        palm = [] if self.robot.hand == "parallel" else [data.body("palm").xpos]
        return [*palm, *self.fingertips(data)]

    def _link_touches(self, data) -> bool:
        """Whether contacts push an arm link with more than 1 N in total."""
        if not self.link_geom[data.contact.geom].any():
            return False
        mujoco.mj_rnePostConstraint(self.model, data)
        return bool((np.linalg.norm(data.cfrc_ext[self.links, 3:], axis=1) > 1.0).any())

    def state(self) -> np.ndarray:
        """What the task remembers, float64 (n,)."""
        return np.array([self.streak], np.float64)

    def restore(self, state) -> None:
        """Restores `state`."""
        self.streak = int(state[0])


@functools.cache
def _with_numbers(task: type[Task], hand: str) -> type[Task]:
    numbers = task._hands[hand]
    more = {"hand_numbers": tuple(sorted(numbers.items())), "__doc__": task.__doc__, "__module__": task.__module__}
    return type(task.__name__, (task,), numbers | more)


class Goal:
    """The goal of the hand or of an object: a sphere in the air that touches nothing (PixMC: radius 0.04 m, green)."""

    rgb = (0.466, 0.674, 0.188)

    def __init__(self, model: mujoco.MjModel):
        self.slot = model.body("goal").mocapid[0]

    @staticmethod
    def mjcf() -> str:
        return """
<body name="goal" mocap="true" pos="0.5 0 0.7">
  <geom name="goal" type="sphere" size="0.04" contype="0" conaffinity="0"/>
</body>"""

    def place(self, data, rng: np.random.Generator, middle_m, reach_m) -> None:
        """Draws the position uniformly from `middle_m` ± `reach_m`, (3,) each, world frame."""
        data.mocap_pos[self.slot] = np.asarray(middle_m) + rng.uniform(-1, 1, 3) * reach_m

    def at(self, data) -> np.ndarray:
        """(3,) world frame, metres."""
        return data.mocap_pos[self.slot]

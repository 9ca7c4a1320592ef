"""What the numbers between a robot and a policy mean: actions from the policy, proprioception and pictures from the
robot.

An environment describes itself this way (`RobotEnv.interface`), a recorded set keeps the description, and a policy's
folder holds it as its `spec` (policies/fit/spec.py). Each field carries a `Rule` for a difference between a policy and
a robot. policies/fit/rules.py applies the rules and makes the table in docs/policy_fit.md from them.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from envs.errors import EnvError
from envs.robots.robot import Robot
from toto_robot.ground.errors import unknown

UNKNOWN = "unknown"
"""The unit or the meaning of a number where it is not known."""
MEANINGS = {
    "joint_increment": "added to the commanded position of a joint",
    "joint_position": "the commanded position of a joint",
    "joint_velocity": "the commanded velocity of a joint",
    "cartesian_position": "a coordinate of the commanded tool position, base frame",
    "cartesian_increment": "added to a coordinate of the tool position, base frame",
    "rotation_vector": "an entry of the commanded orientation as a rotation vector, base frame",
    "quaternion": "an entry of the commanded orientation as a quaternion, base frame",
    "euler_angle": "an entry of the commanded orientation as Euler angles, base frame",
    "rotation_increment": "an entry of a rotation vector that turns the tool, base frame",
    "gripper_open": "a command to the gripper: the high end opens, the low end closes",
    "gripper_close": "a command to the gripper: the high end closes, the low end opens",
    "gripper_width": "the commanded distance between the fingers",
    UNKNOWN: "it is not known",
}
"""What a number of an action can command."""
CROPS = {
    "centre": "the lens's axis is in the middle of the picture: the whole picture, or a square from its middle",
    "lower": "MVP's square of 14/15 of the height at the bottom",
}
"""How a picture is cut from the lens's image."""
SAME_ROBOT = {"franka": ("panda", "fr3", "franka_panda", "franka_fr3", "franka_emika_panda", "franka_research_3")}
"""Other names of a robot. Panda and FR3 have the same links and joints, so a policy's numbers mean the same joint
angles on both. Their limits differ, and the program that drives the arm applies the arm's own."""


@dataclass(frozen=True)
class Rule:
    """What happens when a field differs."""

    kind: str
    """refuse, warn or ignore."""
    why: str
    """The reason in one phrase, for the table of rules."""
    tolerance: str = ""
    """The field of `policies.fit.rules.Tolerance` with the largest difference that is ignored."""
    convert: str = ""
    """The conversion that a user may request, where there is one."""


def refuse(why: str, convert: str = "", **options) -> Any:
    """A dataclass field. A difference is refused unless the user requests the conversion."""
    return field(metadata={"rule": Rule("refuse", why, convert=convert)}, **options)


def warn(why: str, tolerance: str = "", **options) -> Any:
    """A dataclass field. A difference beyond the tolerance gives a warning with its number."""
    return field(metadata={"rule": Rule("warn", why, tolerance)}, **options)


def ignore(why: str, **options) -> Any:
    """A dataclass field. A difference does not matter."""
    return field(metadata={"rule": Rule("ignore", why)}, **options)


def inside(**options) -> Any:
    """A dataclass field that holds another dataclass, or a list of them, with its own rules."""
    return field(metadata={"inside": True}, **options)


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """What the A numbers of an action command. A policy gives numbers in [-1, 1]: -1 stands for `low` and 1 for
    `high`."""

    names: tuple[str, ...] = refuse("another joint or axis moves")
    """(A,), the names in the environment or the set."""
    units: tuple[str, ...] = refuse("the motion has another size")
    """(A,): rad, m, rad/s, m/s, 1 for a number without a unit, or unknown."""
    meanings: tuple[str, ...] = refuse("a number commands something else")
    """(A,), keys of `MEANINGS`."""
    low: tuple[float, ...] = refuse("the motion has another size", convert="range")
    """(A,) the value of -1, in the unit."""
    high: tuple[float, ...] = refuse("the motion has another size", convert="range")
    """(A,) the value of 1, in the unit."""

    def __post_init__(self) -> None:
        _same_length("action", self.names, units=self.units, meanings=self.meanings, low=self.low, high=self.high)
        for meaning in self.meanings:
            if meaning not in MEANINGS:
                raise unknown("action.meanings", meaning, MEANINGS, error=EnvError)
        for name, low, high in zip(self.names, self.low, self.high):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise EnvError(f"action {name}: expected finite bounds low < high, got {low} and {high}")


@dataclass(frozen=True, kw_only=True)
class ProprioSpec:
    """The P numbers of proprioception: (value - offset) / scale, limited to ±clip."""

    names: tuple[str, ...] = refuse("the policy reads another joint")
    """(P,)."""
    units: tuple[str, ...] = refuse("the policy reads another size")
    """(P,) the unit of the value: rad, m, rad/s, m/s, 1, or unknown."""
    offset: tuple[float, ...] = refuse("the policy reads another place")
    """(P,) in the unit."""
    scale: tuple[float, ...] = refuse("the policy reads another size")
    """(P,) in the unit."""
    clip: float | None = refuse("the policy reads numbers that it never saw", default=None)
    """The largest number; None for no limit."""

    def __post_init__(self) -> None:
        _same_length("proprio", self.names, units=self.units, offset=self.offset, scale=self.scale)
        if not all(math.isfinite(v) for v in (*self.offset, *self.scale)) or not all(v > 0 for v in self.scale):
            raise EnvError("proprio: expected finite offsets and scales above 0")
        if self.clip is not None and not self.clip > 0:
            raise EnvError(f"proprio.clip: expected a number above 0, got {self.clip}")


@dataclass(frozen=True, kw_only=True)
class CameraSpec:
    """One camera and the picture that a policy gets from it. None: not known."""

    name: str = refuse("the policy sees another picture")
    """For example wrist or side."""
    width: int = refuse("the policy sees another cut or size", convert="crop")
    """Pixels."""
    height: int = refuse("the policy sees another cut or size", convert="crop")
    """Pixels."""
    crop: str = refuse("the policy sees another cut", convert="crop")
    """A key of `CROPS`."""
    mount_parent: str | None = warn("the pose is in another coordinate frame", default=None)
    """The coordinate frame in which the camera is fixed: the body of the hand, or base or world."""
    mount_pos_m: tuple[float, float, float] | None = warn(
        "things stand elsewhere in the picture", "mount_mm", default=None
    )
    """Position in that coordinate frame."""
    mount_quat: tuple[float, float, float, float] | None = warn(
        "things stand elsewhere in the picture", "mount_deg", default=None
    )
    """Orientation in that coordinate frame, w x y z. As in MuJoCo, the camera looks along its -z and its y is up in the
    picture."""
    fovy_deg: float | None = warn("things have another size in the picture", "fovy_percent", default=None)
    """Vertical field of view of the picture."""

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 1 << 14 and 1 <= self.height <= 1 << 14):
            raise EnvError(f"camera {self.name}: expected 1 to 16384 pixels a side, got {self.width}×{self.height}")
        if self.crop not in CROPS:
            raise unknown(f"crop of camera {self.name}:", self.crop, CROPS, error=EnvError)
        if self.mount_quat is not None and not abs(math.hypot(*self.mount_quat) - 1) < 1e-3:
            raise EnvError(f"camera {self.name}: expected a quaternion of length 1, got {list(self.mount_quat)}")
        if self.fovy_deg is not None and not 0 < self.fovy_deg < 180:
            raise EnvError(f"camera {self.name}: expected a field of view between 0 and 180°, got {self.fovy_deg}")


@dataclass(frozen=True, kw_only=True)
class Interface:
    """One side of the exchange: a robot in its scene, or the robot that a policy was trained with."""

    robot: str = refuse("another arm moves otherwise")
    """The robot with its hand: a key of `envs.robots.ROBOTS` or the name in a foreign set. `SAME_ROBOT` has other
    names."""
    control_hz: float = refuse("an action lasts another time", convert="rate")
    """Actions a second."""
    action: ActionSpec = inside()
    """The actions."""
    proprio: ProprioSpec = inside()
    """The proprioception."""
    cameras: tuple[CameraSpec, ...] = inside(default=())
    """The pictures that a robot gives, or that a policy needs."""
    state_of: str = refuse("the true state is that of another scene", default="")
    """The environment whose true state is given or needed (encoder=privileged). Empty for none, as on any arm."""

    def __post_init__(self) -> None:
        if not 0 < self.control_hz < 1e5:
            raise EnvError(f"control_hz: expected a rate above 0 and below 100000, got {self.control_hz}")
        if len({c.name for c in self.cameras}) != len(self.cameras):
            raise EnvError(f"cameras: expected one of each name, got {', '.join(c.name for c in self.cameras)}")


def robot_name(name: str) -> str:
    """The main name of a robot that has several (`SAME_ROBOT`)."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return next((one for one, others in SAME_ROBOT.items() if plain in (one, *others)), plain)


def joint_proprio(robot: Robot) -> ProprioSpec:
    """The proprioception of our scenes: every joint's position scaled to [-1, 1] of its range, then a tenth of its
    velocity."""
    low, high = robot.scale_low, robot.scale_high
    joints, units = (*robot.arm_joints, *robot.finger_joints), joint_units(robot)
    return ProprioSpec(
        names=tuple(f"q_{j}" for j in joints) + tuple(f"dq_{j}" for j in joints),
        units=units + tuple(f"{unit}/s" for unit in units),
        offset=tuple(float(v) for v in (low + high) / 2) + (0.0,) * len(joints),
        scale=tuple(float(v) for v in (high - low) / 2) + (10.0,) * len(joints),
    )


def joint_units(robot: Robot) -> tuple[str, ...]:
    """rad or m for every joint."""
    return ("rad",) * len(robot.arm_joints) + ("m" if robot.hand == "parallel" else "rad",) * len(robot.finger_joints)


def camera_of(model, name: str, shown_as: str, size: int, pos_m, quat) -> CameraSpec:
    """The description of a MuJoCo model's camera `name` at a pose in its body's frame. It is called `shown_as` and
    gives square pictures."""
    camera = model.camera(name)
    (x, y, z), (qw, qx, qy, qz) = map(float, pos_m), map(float, quat)
    return CameraSpec(
        name=shown_as,
        width=size,
        height=size,
        crop="centre",
        mount_parent=model.body(int(camera.bodyid[0])).name,
        mount_pos_m=(x, y, z),
        mount_quat=(qw, qx, qy, qz),
        fovy_deg=float(camera.fovy[0]),
    )


def _same_length(what: str, names: tuple, **others: tuple) -> None:
    if not names or len(set(names)) != len(names):
        raise EnvError(
            f"{what}.names: expected at least one name and each once, got {', '.join(map(str, names)) or 'none'}"
        )
    for key, values in others.items():
        if len(values) != len(names):
            raise EnvError(f"{what}.{key}: expected {len(names)} entries, one for each name, got {len(values)}")

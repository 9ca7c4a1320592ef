"""The settings of a deployment, checked before anything starts. They come from the flags of `run_real` or another
command."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

from deploy import cameras
from deploy.cameras.base import CameraConfig
from deploy.control import safety
from deploy.control.machine import Rules
from deploy.robots import registry
from envs.appearance import SHIFTS
from envs.robots.franka import ARM_LIMITS
from policies.fit.rules import FitKeys
from toto_robot.ground.errors import UserError, unknown

CLOCKS = ("lockstep", "realtime")
HOME_TOP = 0.5
"""Greatest share of the limits for the way home. A compliant arm that lags and then catches up is faster than its
command, so nearer to the limits the measured motion would exceed them."""

EmulatorAt = Callable[[str], tuple[tuple[str, int], dict] | None]
"""Gives ((ip, port) of the console, its info) of an emulator that listens at an IP address, or None."""


@dataclass(frozen=True)
class Settings:
    """The settings as a person gives them. None stands for a default that depends on other settings (`resolved`)."""

    policy: str
    robot_ip: str | None = None
    robot: str = "fr3"
    backend: str | None = None
    camera: str | None = None
    camera_file: str | None = None
    episodes: int = 1
    seed: int = 12345
    trials16: bool = False
    dry_run: bool = False
    speed_scale: float | None = None
    home_speed: float = 0.2
    hz: float | None = None
    record: str | None = None
    clock: str | None = None
    yes: bool = False
    at_robot: bool = False
    workspace: safety.Workspace = field(default_factory=safety.Workspace)
    rules: Rules = field(default_factory=Rules)
    options: dict = field(default_factory=dict)
    fit: FitKeys = field(default_factory=FitKeys)
    """What may be converted, and how far the camera may be from its place in training. `force` stays false on an
    arm."""
    hand_eye: str | None = None
    device: str = "cpu"
    shift: str | None = None
    """The look of a scene that this program simulates."""
    yes_look: bool = False
    """Go on where the camera sees something that the policy does not know."""

    @property
    def simulated(self) -> bool:
        """Whether this program steps the scene itself, without a client."""
        return self.backend == "sim"


@dataclass(frozen=True)
class Resolved(Settings):
    """`Settings` with every default filled in."""

    backend: str = ""
    clock: str = ""
    speed_scale: float = 1.0
    emulated: bool = True
    """Whether the arm is simulated: by the backend sim, by an emulator that the command starts, or by one at
    `robot_ip`."""
    console: tuple[str, int] | None = None
    """(ip, port) of the console of an emulator that runs."""
    camera_config: CameraConfig | None = None
    """The camera for this policy; None for the camera that the settings name."""


def resolved(s: Settings, emulator_at: EmulatorAt) -> Resolved:
    """`s` with its defaults filled in. Raises UserError for what can't work."""
    if s.robot not in ARM_LIMITS:
        raise unknown("--robot", s.robot, ARM_LIMITS)
    backend = s.backend or ("franky" if s.robot == "fr3" else "panda_py")
    registry.check(backend, s.robot)
    registry.check_options(backend, s.options)
    if backend == "sim" and s.robot_ip:
        raise UserError("--backend sim has no robot to connect to: leave out --robot-ip, or choose another backend.")
    # An address of this computer may be an emulator's. Only its console makes it one.
    found = emulator_at(s.robot_ip) if s.robot_ip and _is_loopback(s.robot_ip) else None
    emulated, clock, console = s.robot_ip is None or found is not None, s.clock, None
    if found is not None:
        console, info = found
        if info["robot"] != s.robot:
            raise UserError(
                f"The emulator at {s.robot_ip} is a {info['robot']}, not a {s.robot}: give --robot {info['robot']}."
            )
        if clock not in (None, info["clock"]):
            raise UserError(f"The emulator at {s.robot_ip} runs on the {info['clock']} clock, not {clock}.")
        clock = info["clock"]
    _check_operator(s, emulated)
    camera = _checked_camera(s, emulated)
    _check_shift(s, camera)
    clock = clock or ("lockstep" if emulated else "realtime")
    if clock not in CLOCKS:
        raise unknown("--clock", clock, CLOCKS)
    if clock == "lockstep" and not emulated:
        raise UserError("--clock lockstep stops the robot's time, which only a simulated robot can do: leave it out.")
    speed_scale = s.speed_scale if s.speed_scale is not None else 1.0 if emulated else 0.2
    for name, value, top in (("--speed-scale", speed_scale, 1), ("--home-speed", s.home_speed, HOME_TOP)):
        if not 0 < value <= top:
            raise UserError(f"{name} {value}: expected a number above 0 and at most {top}.")
    if s.episodes < 1:
        raise UserError(f"--episodes {s.episodes}: expected at least 1.")
    given = {each.name: getattr(s, each.name) for each in fields(Settings)}
    filled = dict(backend=backend, clock=clock, speed_scale=speed_scale, camera=camera)
    return Resolved(**{**given, **filled}, emulated=emulated, console=console)


def at(s: Resolved, robot_ip: str, console: tuple[str, int]) -> Resolved:
    """`s` with the emulator that was started for it."""
    return replace(s, robot_ip=robot_ip, console=console)


def _is_loopback(ip: str) -> bool:
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return ip == "localhost"


def _check_operator(s: Settings, emulated: bool) -> None:
    if s.yes and not emulated and not s.at_robot:
        raise UserError(
            f"--yes skips the operator's confirmation, and {s.robot_ip} is not an emulated robot. Stand at the arm "
            "with the user stop in your hand and give --i-am-at-the-robot too, or leave out --yes."
        )
    if s.policy == "scripted" and not emulated:
        raise UserError(
            "--policy scripted sees the simulator's true state, which a real robot doesn't have. Give a trained one."
        )


def _checked_camera(s: Settings, emulated: bool) -> str | None:
    """The kind of camera; None where a camera file says it."""
    kinds = cameras.names()
    if s.camera and s.camera_file:
        raise UserError(
            f"--camera {s.camera} and --camera-file {s.camera_file}: give one of them; the file says which kind it is."
        )
    if not s.camera and not s.camera_file and not emulated:
        raise UserError(f"--camera is needed on a robot: one of {', '.join(c for c in kinds if c != 'mujoco')}.")
    kind = cameras.read_config(s.camera_file).kind if s.camera_file else s.camera or "mujoco"
    if kind not in kinds:
        raise unknown("--camera", kind, kinds)
    if kind == "video" and not s.camera_file:
        raise UserError(
            "--camera video needs the name of its file: give --camera-file with a YAML that says kind: video and "
            "device: FILE."
        )
    if kind == "mujoco" and not emulated:
        raise UserError(
            "--camera mujoco draws a simulated scene, and this robot is not simulated. Give realsense or opencv."
        )
    return None if s.camera_file else kind


def _check_shift(s: Settings, camera: str | None) -> None:
    if s.shift is None:
        return
    if s.shift not in SHIFTS:
        raise unknown("--shift", s.shift, SHIFTS)
    if s.robot_ip:
        raise UserError(
            f"--shift {s.shift} changes the look of a scene that this program simulates, and {s.robot_ip} is not that. "
            f"Leave out one of them; an emulator of yours takes it itself: python -m deploy.emulator --shift {s.shift}."
        )
    if camera != "mujoco":
        raise UserError(
            f"--shift {s.shift} changes what the simulated camera draws, and the camera is {camera or s.camera_file}: "
            "leave out one of them."
        )


def check_rate(hz: float | None, policy_hz: float, policy: str) -> None:
    """Raises UserError for a control rate other than the policy's: its increments are for periods of that length."""
    if hz is not None and hz != policy_hz:
        raise UserError(
            f"--hz {hz:g}: the policy {policy} was trained at {policy_hz:g} Hz and its increments are for periods "
            f"of that length. Leave out --hz, or slow the arm down with --speed-scale."
        )

"""What a session needs, made from a policy and the settings: scene, camera, policy, scale.

The main process makes it once. The other processes get picklable calls and make their own parts with them.
"""

import functools
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnContext

import mujoco
import numpy as np

import envs
from deploy.calibration import hand_eye
from deploy.cameras.base import Camera, CameraConfig, read_config
from deploy.cameras.faulty import FaultyCamera
from deploy.cameras.intrinsics import CROP_WORDS
from deploy.control.shared import Block
from deploy.processes.policy import FolderPolicy, Scale, ScriptedPolicy
from deploy.session.physics import ConsolePhysics, SharedPhysics
from deploy.session.settings import Resolved
from envs.interface import CameraSpec, Interface, robot_name
from envs.robots.robot import Robot
from policies.fit.conversion import Fit
from policies.fit.folder import About
from toto_robot.ground.errors import UserError

SCRIPTED_ENV = "franka_cube"


@dataclass(frozen=True)
class Parts:
    """Everything that a session passes on to its processes."""

    context: SpawnContext
    """Makes the processes and what they share."""
    env_name: str
    robot: Robot
    """The robot of the scene."""
    period_s: float
    horizon: int
    """Control periods of an episode at full speed."""
    max_step_rad: float
    max_lead_rad: float
    scale: Scale
    frame_shape: tuple[int, int, int]
    make_policy: Callable
    make_camera: Callable
    camera_hz: float | None
    """The rate that the camera is asked for; None for a video file, which keeps its own."""
    options: dict
    """Options of the robot's backend."""
    camera: dict
    """The camera's intrinsics; empty where they are unknown."""
    interface: Interface
    """What the numbers of this arm and its camera mean."""


def scene_of(env_name: str):
    """The environment `env_name`. Raises UserError unless its protocol is the one of an arm."""
    env = envs.make(env_name, render=False)
    if env.protocol.name != "deployment":
        fit = ", ".join(n for n in envs.names() if envs.make(n, render=False).protocol.name == "deployment")
        raise UserError(
            f"The policy was trained in {env_name}, whose protocol {env.protocol.name!r} is not that of an arm. "
            f"Train one in: {fit}."
        )
    return env


def scene_for(about: About | None):
    """The scene in which a policy was trained, if its protocol is the one of an arm. For any other policy, and for the
    scripted expert (None), the scene with which arms are compared."""
    if about is not None and about.env in envs.names():
        env = envs.make(about.env, render=False)
        if env.protocol.name == "deployment":
            return env
    return scene_of(SCRIPTED_ENV)


def interface(s: Resolved, env) -> Interface:
    """The arm's side: the joints and the rate of the scene `env`, the arm's own name, and the picture of its camera."""
    config, drawn = s.camera_config or camera_config(s, env), env.interface.cameras[0]
    if config.kind == "mujoco":
        camera = replace(drawn, name=config.name, width=config.size, height=config.size)
    else:
        lens = config.intrinsics and config.intrinsics.cropped(config.crop, config.size)
        camera = CameraSpec(
            name=config.name,
            width=config.size,
            height=config.size,
            crop=CROP_WORDS[config.crop],
            fovy_deg=lens.fovy_deg if lens else None,
        )
    if s.hand_eye:
        camera = replace(camera, mount_parent=env.robot.hand_body, **_mount(s.hand_eye))
    return replace(env.interface, robot=robot_name(s.robot), cameras=(camera,), state_of="")


def _mount(path: str) -> dict:
    """The camera's pose from a hand-eye calibration. There z is forward and y down; in MuJoCo z is backward and y
    up."""
    T_hand_camera = hand_eye.load(path)[0].T_hand_camera
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, (T_hand_camera[:3, :3] @ np.diag([1.0, -1.0, -1.0])).reshape(-1))
    return {"mount_pos_m": tuple(map(float, T_hand_camera[:3, 3])), "mount_quat": tuple(map(float, quat))}


def make(s: Resolved, env, fit: Fit = Fit()) -> Parts:
    """The parts for the scene `env` (`scene_of`). `fit` is how the policy is converted for the arm."""
    context, protocol, lockstep = multiprocessing.get_context("spawn"), env.protocol, s.clock == "lockstep"
    options = dict(s.options)
    shared: SharedPhysics | None = None
    told: ConsolePhysics | None = None
    make_policy: Callable
    # A simulated scene shares its true state, for its camera and for the scripted expert.
    if s.simulated:
        block = Block(context, 2 + env.model.nq + env.model.nv)
        shared = SharedPhysics(block, lockstep)
        options |= dict(env=env.name, physics=block, realtime=not lockstep)
    elif s.console is not None:
        told = ConsolePhysics(*s.console, lockstep)
    config = s.camera_config or camera_config(s, env)
    config = replace(config, device=config.device or _console_device(s, config.kind))
    if s.policy == "scripted":
        make_policy = functools.partial(ScriptedPolicy, env.name, shared or told)
    else:
        make_policy = functools.partial(FolderPolicy, s.policy, s.device, fit)
    return Parts(
        context,
        env.name,
        env.robot,
        1 / env.control_hz,
        env.horizon,
        protocol.max_step_rad,
        protocol.max_lead_rad,
        Scale(env.robot.scale_low, env.robot.scale_high, len(env.robot.finger_joints)),
        (config.size, config.size, 3),
        make_policy,
        functools.partial(_make_camera, config, env.name, shared, s.shift),
        None if config.kind == "video" else config.fps,
        options,
        vars(config.intrinsics.cropped(config.crop, config.size)) if config.intrinsics else {},
        interface(s, env),
    )


def camera_config(s: Resolved, env, about: About | None = None) -> CameraConfig:
    """The camera that the settings name. With --convert crop its pictures are cut and scaled as the policy's were."""
    named = CameraConfig(kind=s.camera or "mujoco", size=env.image_size)
    config = read_config(s.camera_file) if s.camera_file else named
    if about is None or about.spec is None or not about.spec.cameras or "crop" not in s.fit.convert:
        return config
    wanted = about.spec.cameras[0]
    if wanted.width != wanted.height:
        raise UserError(
            f"--convert crop: the policy's pictures have {wanted.width}×{wanted.height} pixels, and a camera here "
            "gives square ones."
        )
    crop = next(crop for crop, word in CROP_WORDS.items() if word == wanted.crop)
    return replace(config, size=wanted.width, crop=config.crop if config.kind == "mujoco" else crop)


def _console_device(s: Resolved, kind: str) -> str:
    return ":".join(map(str, s.console)) if kind == "mujoco" and s.console else ""


def _make_camera(config: CameraConfig, env_name: str, physics: SharedPhysics | None, shift: str | None) -> Camera:
    from deploy.cameras.registry import make  # late: only the camera's process needs the cameras
    from deploy.session.sim_camera import SimCamera

    if physics is None or config.kind != "mujoco":
        return make(config)
    camera = SimCamera(config, env_name, physics, shift)
    return FaultyCamera(camera, config.faults) if config.faults else camera

"""What a session is made of, from a policy and the settings: scene, camera, policy, scale. Made once in the main process;
what the other processes make from it travels to them as picklable calls."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import mujoco
import numpy as np

import envs
from deploy.calibration import hand_eye
from deploy.cameras.base import CameraConfig, read_config
from deploy.cameras.intrinsics import CROP_WORDS
from deploy.control.shared import Block
from deploy.processes.policy import FolderPolicy, Scale, ScriptedPolicy
from deploy.session.physics import ConsolePhysics, SharedPhysics
from deploy.session.settings import Settings
from envs.interface import CameraSpec, Interface, robot_name
from policies.fit.conversion import Fit
from policies.fit.folder import About
from toto_robot.ground.errors import UserError

SCRIPTED_ENV = "franka_cube"


@dataclass
class Parts:
    env_name: str
    robot: object
    """envs.robots.Robot of the scene."""
    period_s: float
    horizon: int
    """Control periods of an episode at full speed."""
    max_step_rad: float
    max_lead_rad: float
    scale: Scale
    frame_shape: tuple[int, int, int]
    make_policy: Callable
    make_camera: Callable
    options: dict
    """Of the robot's backend."""
    camera: dict
    """The camera's intrinsics, where they are known."""
    interface: Interface
    """What the numbers of this arm and its camera mean."""


def scene_of(env_name: str):
    """The environment that a policy was trained in; UserError unless an arm can be driven as it was there."""
    env = envs.make(env_name, render=False)
    if env.protocol.name != "deployment":
        fit = ", ".join(n for n in envs.names() if envs.make(n, render=False).protocol.name == "deployment")
        raise UserError(
            f"The policy was trained in {env_name}, whose protocol {env.protocol.name!r} is not what an arm is "
            f"driven with. Train one in: {fit}."
        )
    return env


def scene_for(about: About | None):
    """The scene of a policy that was trained in one of an arm's, and the one that arms are compared with for any other, and for the
    scripted expert (None)."""
    if about is not None and about.env in envs.names():
        env = envs.make(about.env, render=False)
        if env.protocol.name == "deployment":
            return env
    return scene_of(SCRIPTED_ENV)


def interface(s: Settings, env) -> Interface:
    """The arm's side: joints and rate of the scene `env`, the arm's own name, and the picture of its camera."""
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
    """Where a hand-eye calibration says that the camera is. Its frame has z forward and y down, MuJoCo's z backward and y up."""
    T_hand_camera = hand_eye.load(path)[0].T_hand_camera
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, (T_hand_camera[:3, :3] @ np.diag([1.0, -1.0, -1.0])).reshape(-1))
    return {"mount_pos_m": tuple(map(float, T_hand_camera[:3, 3])), "mount_quat": tuple(map(float, quat))}


def make(s: Settings, env, context, fit: Fit = Fit()) -> Parts:
    """`env` is the scene (`scene_of`), `fit` how the policy is run."""
    protocol, lockstep = env.protocol, s.clock == "lockstep"
    options, physics = dict(s.options), None
    if s.simulated:
        block = Block(context, 2 + env.model.nq + env.model.nv)
        physics = SharedPhysics(block, lockstep)
        options |= dict(env=env.name, physics=block, realtime=not lockstep)
    elif s.console is not None:
        physics = ConsolePhysics(*s.console, lockstep)
    config = s.camera_config or camera_config(s, env)
    config = replace(config, device=config.device or _console_device(s, config.kind))
    if s.policy == "scripted":
        make_policy = functools.partial(ScriptedPolicy, env.name, physics)
    else:
        make_policy = functools.partial(FolderPolicy, s.policy, s.device, fit)
    return Parts(
        env.name,
        env.robot,
        1 / env.control_hz,
        env.horizon,
        protocol.max_step_rad,
        protocol.max_lead_rad,
        Scale(env.robot.scale_low, env.robot.scale_high, len(env.robot.finger_joints)),
        (config.size, config.size, 3),
        make_policy,
        functools.partial(_make_camera, config, env.name, physics if s.simulated else None, s.shift),
        options,
        vars(config.intrinsics.cropped(config.crop, config.size)) if config.intrinsics else {},
        interface(s, env),
    )


def camera_config(s: Settings, env, about: About | None = None) -> CameraConfig:
    """The camera that the settings name; with --convert crop its pictures are made as the policy's were."""
    config = read_config(s.camera_file) if s.camera_file else CameraConfig(kind=s.camera, size=env.image_size)
    if about is None or about.spec is None or not about.spec.cameras or "crop" not in s.fit.convert:
        return config
    wanted = about.spec.cameras[0]
    if wanted.width != wanted.height:
        raise UserError(
            f"--convert crop: the policy's pictures have {wanted.width}×{wanted.height} pixels, and a camera here gives square "
            "ones."
        )
    crop = next(crop for crop, word in CROP_WORDS.items() if word == wanted.crop)
    return replace(config, size=wanted.width, crop=config.crop if config.kind == "mujoco" else crop)


def _console_device(s: Settings, kind: str) -> str:
    return ":".join(map(str, s.console)) if kind == "mujoco" and s.console else ""


def _make_camera(config: CameraConfig, env_name: str, physics, shift: str | None):
    from deploy.cameras.faulty import FaultyCamera
    from deploy.cameras.registry import make
    from deploy.session.sim_camera import SimCamera

    if physics is None or config.kind != "mujoco":
        return make(config)
    camera = SimCamera(config, env_name, physics, shift)
    return FaultyCamera(camera, config.faults) if config.faults else camera

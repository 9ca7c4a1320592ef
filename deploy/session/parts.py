"""What a session is made of, from a policy and the settings: scene, camera, policy, scale. Made once in the main process;
what the other processes make from it travels to them as picklable calls."""

import functools
from dataclasses import dataclass
from typing import Callable

import envs
from deploy.cameras.base import CameraConfig, read_config
from deploy.control.shared import Block
from deploy.processes.policy import FolderPolicy, Scale, ScriptedPolicy
from deploy.session.physics import ConsolePhysics, SharedPhysics
from deploy.session.settings import Settings
from toto_robot.errors import UserError

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


def scene_of(env_name: str):
    """The environment that a policy was trained in; UserError unless an arm can be driven as it was there."""
    env = envs.make(env_name, render=False)
    if env.protocol.name != "deployment":
        fit = ", ".join(n for n in envs.names() if envs.make(n, render=False).protocol.name == "deployment")
        raise UserError(f"The policy was trained in {env_name}, whose protocol {env.protocol.name!r} is not what an arm is "
                        f"driven with. Train one in: {fit}.")
    return env


def make(s: Settings, env, context) -> Parts:
    """`env` is the scene (`scene_of`)."""
    protocol, lockstep = env.protocol, s.clock == "lockstep"
    options, physics = dict(s.options), None
    if s.simulated:
        block = Block(context, 1 + env.model.nq + env.model.nv)
        physics = SharedPhysics(block, lockstep)
        options |= dict(env=env.name, physics=block, realtime=not lockstep)
    elif s.console is not None:
        physics = ConsolePhysics(*s.console, lockstep)
    config = _camera_config(s, env)
    if s.policy == "scripted":
        make_policy = functools.partial(ScriptedPolicy, env.name, physics)
    else:
        make_policy = functools.partial(FolderPolicy, s.policy, s.device)
    return Parts(
        env.name, env.robot, 1 / env.control_hz, env.horizon, protocol.max_step_rad, protocol.max_lead_rad,
        Scale(env.robot.scale_low, env.robot.scale_high, len(env.robot.finger_joints)), (config.size, config.size, 3),
        make_policy, functools.partial(_make_camera, config, env.name, physics if s.simulated else None), options,
        vars(config.intrinsics.cropped(config.crop, config.size)) if config.intrinsics else {})


def _camera_config(s: Settings, env) -> CameraConfig:
    if s.camera_file:
        return read_config(s.camera_file)
    device = ":".join(map(str, s.console)) if s.camera == "mujoco" and s.console else ""
    return CameraConfig(kind=s.camera, device=device, size=env.image_size)


def _make_camera(config: CameraConfig, env_name: str, physics):
    from deploy.cameras.faulty import FaultyCamera
    from deploy.cameras.registry import make
    from deploy.session.sim_camera import SimCamera

    if physics is None or config.kind != "mujoco":
        return make(config)
    camera = SimCamera(config, env_name, physics)
    return FaultyCamera(camera, config.faults) if config.faults else camera

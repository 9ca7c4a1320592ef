"""Composes a robot, a task and a protocol into one MuJoCo model, and writes appearances into it."""

import mujoco
import numpy as np

from envs.appearance import NOMINAL, TEXTURE_SIZE, Appearance
from envs.protocols.protocol import Protocol
from envs.robots.robot import Robot
from envs.tasks.task import Task

# Software GL spends its time on shadows, multisampling and mesh vertices, so there are none here.
_HEAD = """<mujoco model="{name}">
<compiler angle="radian" autolimits="true"/>
<option timestep="{dt}" integrator="implicitfast" cone="elliptic" impratio="10" iterations="100" ls_iterations="50">
  <flag multiccd="disable"/>
</option>
<size memory="4M"/>
<visual>
  <quality shadowsize="0" offsamples="0" numslices="14" numstacks="6" numquads="4"/>
  <headlight active="0"/>
  <map znear="0.01" zfar="8"/>
  <global offwidth="640" offheight="480"/>
</visual>
<default>{defaults}</default>
<asset>
  <texture name="table" type="2d" builtin="flat" rgb1="1 1 1" width="{tex}" height="{tex}"/>
  <texture name="floor" type="2d" builtin="flat" rgb1="1 1 1" width="{tex}" height="{tex}"/>
  <material name="table" texture="table" texrepeat="2 2" texuniform="false" specular="0.1" shininess="0.1"/>
  <material name="floor" texture="floor" texrepeat="4 4" texuniform="false" specular="0" shininess="0"/>
{assets}</asset>
<worldbody>
  <light name="lamp" directional="false" pos="0 0 2" dir="0 0 -1" castshadow="false" cutoff="85" exponent="0.1"
         attenuation="1 0 0" specular="0.1 0.1 0.1"/>
  <geom name="floor" type="plane" size="2.5 2.5 0.1" material="floor" contype="2" conaffinity="5"/>
  <camera name="side" pos="0.55 -1.35 0.95" xyaxes="0.997 -0.081 0 0.025 0.302 0.953" fovy="46"/>
  <body name="base" pos="{base_pos}" quat="{base_quat}">{robot}</body>
  {distractors}
  {task}
{bodies}</worldbody>
<actuator>{actuators}</actuator>
{extras}
</mujoco>"""

DISTRACTORS = 3
_PARKED = "0 0 -1"


def compose(robot: Robot, task: type[Task], protocol: Protocol, assets: str = "", bodies: str = "") -> mujoco.MjModel:
    """The model of `robot` doing `task` under `protocol`. Gravity on the robot is compensated, as its controller
    does."""
    model = mujoco.MjModel.from_xml_string(mjcf(robot, task, protocol, assets, bodies))
    protocol.adapt(model)
    return model


def mjcf(robot: Robot, task: type[Task], protocol: Protocol, assets: str = "", bodies: str = "") -> str:
    """The text that `compose` compiles. `assets` and `bodies`: MJCF to add, of things that are only seen."""
    return _HEAD.format(
        name=f"{robot.name}_{task.name}",
        dt=repr(protocol.physics_dt_s),
        defaults=robot.defaults_mjcf,
        tex=TEXTURE_SIZE,
        base_pos=task.base_pos,
        base_quat=task.base_quat,
        robot=_robot(robot, task),
        distractors="\n".join(
            f'<body name="distractor{i}" mocap="true" pos="{_PARKED}"><geom name="distractor{i}" type="box" '
            f'size="0.02 0.02 0.02" contype="0" conaffinity="0"/></body>'
            for i in range(DISTRACTORS)
        ),
        task=task.mjcf(),
        assets=assets,
        bodies=bodies,
        actuators=protocol.actuators(robot),
        extras=robot.extras_mjcf + protocol.extras(robot),
    )


def _robot(robot: Robot, task: type[Task]) -> str:
    """The robot's body, with what the task fixes to its hand: right before the wrist camera, which every hand has."""
    body = robot.body_mjcf.replace("<body ", '<body gravcomp="1" ')
    return body.replace('<camera name="wrist"', task.hand_mjcf() + '<camera name="wrist"')


def dress(model: mujoco.MjModel, data: mujoco.MjData, look: Appearance, nominal: dict) -> None:
    """Writes an appearance into `model`. The canvas uploads the textures that have changed."""
    for geom, colour, own in nominal["painted"]:
        rgb = getattr(look, colour)
        if own is not None:
            rgb = np.clip(np.array(own) + rgb - np.array(getattr(NOMINAL, colour)), 0, 1)
        model.geom_rgba[geom] = (*rgb, 1.0)
    for geom in nominal["arm_geoms"]:
        model.geom_rgba[geom] = (*look.arm_rgb, 1.0)
    for geom, shade in nominal["finger_geoms"]:
        model.geom_rgba[geom] = (*(shade * c for c in look.finger_rgb), 1.0)
    _light(model, look)
    _camera(model, look, nominal)
    for i in range(DISTRACTORS):
        slot = model.body(f"distractor{i}").mocapid[0]
        data.mocap_pos[slot] = (0, 0, -1)
        if i < len(look.distractors):
            x, y, yaw, half, *rgb = look.distractors[i]
            data.mocap_pos[slot] = (x, y, nominal["table_z_m"] + half)
            data.mocap_quat[slot] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
            geom = model.geom(f"distractor{i}").id
            model.geom_size[geom], model.geom_rbound[geom] = half, half * 3**0.5
            model.geom_rgba[geom] = (*rgb, 1.0)
    for name in ("table", "floor"):
        _texture(model, model.texture(name).id, getattr(look, f"{name}_texture"))


def _light(model, look):
    model.light_pos[0] = look.light_pos_m
    aim = np.array([0.5, 0.0, 0.4]) - look.light_pos_m
    model.light_dir[0] = aim / np.linalg.norm(aim)
    model.light_diffuse[0] = look.light_diffuse * np.array(look.light_rgb)
    model.light_ambient[0] = look.light_ambient * np.array(look.light_rgb)


def _camera(model, look, nominal):
    camera = model.camera("wrist").id
    model.cam_pos[camera] = nominal["wrist_pos"] + np.array(look.camera_shift_m)
    turn, angle = np.zeros(4), np.linalg.norm(look.camera_turn_rad)
    axis = np.array(look.camera_turn_rad) / angle if angle else np.array([1.0, 0, 0])
    mujoco.mju_axisAngle2Quat(turn, axis, angle)
    mujoco.mju_mulQuat(model.cam_quat[camera], nominal["wrist_quat"], turn)
    model.cam_fovy[camera] = nominal["wrist_fovy"] * look.fovy_scale


def _texture(model, texture: int, pixels) -> None:
    start = model.tex_adr[texture]
    size = model.tex_height[texture] * model.tex_width[texture] * model.tex_nchannel[texture]
    model.tex_data[start : start + size] = 255 if pixels is None else np.asarray(pixels, np.uint8).reshape(-1)


def nominal_parts(model: mujoco.MjModel, robot: Robot, task: Task) -> dict:
    """What `dress` needs to know about the nominal model: which geoms have which colours, and the camera's pose."""
    camera = model.camera("wrist").id
    base = model.body("base").id
    own = [g for g in range(model.ngeom) if model.body_rootid[model.geom_bodyid[g]] == base]
    fingers = {int(model.jnt_bodyid[model.joint(name).id]) for name in robot.finger_joints}
    shade = lambda g: 0.5 if model.geom(g).name.endswith("_pad") else 1.0
    return dict(
        arm_geoms=[g for g in own if model.geom_bodyid[g] not in fingers],
        finger_geoms=[(g, shade(g)) for g in own if model.geom_bodyid[g] in fingers],
        wrist_pos=model.cam_pos[camera].copy(),
        wrist_quat=model.cam_quat[camera].copy(),
        wrist_fovy=float(model.cam_fovy[camera]),
        table_z_m=task.table_z_m,
        painted=[
            (model.geom(name).id, *paint) for name, paint in ({"floor": ("floor_rgb", None)} | task.painted).items()
        ],
    )

"""The Allegro hand (Wonik, right, 16 joints), from published numbers and primitive shapes.

Kinematics, joint ranges, masses and grasp points are those of PixMC's hand: the URDF kuka_allegro, an Allegro hand with
BioTac fingertips on a mount whose offset is published there. Rotor inertia and viscous friction come from the
identification that this URDF quotes; every joint has the index finger's mean. The URDF's link inertias are not possible
for a rigid body, so here they follow from mass and shape. Palm: MuJoCo Menagerie's wonik_allegro. The shapes are our
own: capsules, and a box for the palm. Fingers and thumb touch each other, the table and the object.

Frames: the mount has z along the fingers and x out of the palm. A finger's link has x along the finger and z along the
joint.
"""

import numpy as np

FINGERS = ("index", "middle", "ring", "thumb")
JOINTS = tuple(f"{finger}_joint_{i}" for finger in FINGERS for i in range(4))

LOW_RAD = (-0.558489, -0.279244, -0.279244, -0.279244) * 3 + (0.279244, -0.331603, -0.279244, -0.279244)
HIGH_RAD = (0.558489, 1.727825, 1.727825, 1.727825) * 3 + (1.57075, 1.151883, 1.727825, 1.762731)
GRASPS_M = ((0.045, 0.01, 0.0),) * 3 + ((0.06, 0.01, 0.0),)
"""Grasp points in the last link of each finger."""
TAU_NM = 0.7
"""PixMC's torque limit of a joint (the URDF says 0.35)."""

DEFAULTS = """
<default class="allegro">
  <joint axis="0 0 1" limited="true" armature="0.0038" damping="0.02"/>
  <geom group="0" type="capsule" contype="9" conaffinity="14" condim="4" friction="1 0.005 0.0001" priority="1"
        solref="0.008 1" solimp="0.95 0.99 0.001" rgba="0.3 0.3 0.32 1"/>
</default>"""

_HALF = np.pi / 2
# Roll, pitch, yaw about fixed axes and position of joints 0 to 3 in their parents; palm frame: x along the fingers.
_FINGER_PLACES = (
    ((np.pi, -_HALF, None), None),
    ((np.pi, -_HALF, _HALF), (0, 0, 0)),
    ((0, 0, 0), (0.054, 0, 0)),
    ((0, 0, 0), (0.0384, 0, 0)),
)
_BASES = {
    "index": (-0.0872639, (0.0514302, -0.03632, -0.0113)),
    "middle": (0.0, (0.0537375, 0.0087771, -0.0113)),
    "ring": (0.0872639, (0.0514302, 0.0538749, -0.0113)),
}
_THUMB_PLACES = (
    ((-_HALF, -_HALF, 1.4834861), (-0.0367482, -0.0081281, -0.0295)),
    ((_HALF, 0, 0), (0.005, 0, 0)),
    ((np.pi, -_HALF, 0), (0, 0, 0.0554)),
    ((0, 0, 0), (0.0514, 0, 0)),
)
_FINGER_SHAPES = (
    ("0 0 0 0.003 0 0", 0.012, 0.005),
    ("0.004 0 0 0.05 0 0", 0.0115, 0.125164),
    ("0.004 0 0 0.036 0 0", 0.0115, 0.131691),
    ("0.006 0 0 0.04 0.002 0", 0.0105, 0.0211922),
)
_THUMB_SHAPES = (
    ("0 0 0 0.003 0 0", 0.015, 0.1),
    ("0 0 0.005 0 0 0.045", 0.0125, 0.1),
    ("0.004 0 0 0.048 0 0", 0.0115, 0.1),
    ("0.006 0 0 0.055 0.002 0", 0.0105, 0.1),
)
"""For each link: the capsule's ends, its radius, the link's mass. Link 0 is inside the palm and touches nothing."""


def _quat(roll, pitch, yaw) -> str:
    """Fixed-axis angles as MuJoCo's quaternion."""
    (a, b), (c, d), (e, f) = ((np.cos(x / 2), np.sin(x / 2)) for x in (roll, pitch, yaw))
    quat = (a * c * e + b * d * f, b * c * e - a * d * f, a * d * e + b * c * f, a * c * f - b * d * e)
    return " ".join(f"{x:.7f}" for x in quat)


def _finger(finger: str) -> str:
    thumb = finger == "thumb"
    inner = ""
    for i in reversed(range(4)):
        turn, pos = (_THUMB_PLACES if thumb else _FINGER_PLACES)[i]
        ends, radius, mass = (_THUMB_SHAPES if thumb else _FINGER_SHAPES)[i]
        if pos is None:
            turn, pos = (*turn[:2], _BASES[finger][0]), _BASES[finger][1]
        joint = 4 * FINGERS.index(finger) + i
        hidden = ' contype="0" conaffinity="0"' if i == 0 else ""
        inner = f"""<body name="{finger}_link_{i}" pos="{" ".join(map(str, pos))}" quat="{_quat(*turn)}">
  <joint name="{finger}_joint_{i}" range="{LOW_RAD[joint]} {HIGH_RAD[joint]}"/>
  <geom name="{finger}_{i}{"_pad" if i == 3 else ""}" fromto="{ends}" size="{radius}" mass="{mass}"{hidden}/>
  {inner}
</body>"""
    return inner


def hand(place: str, fovy_deg: float) -> str:
    """The hand on its mount as a `<body>` element; `place` holds its attribute pos.

    The wrist camera is PixMC's: at (0.05, 0, 0.02) on the mount, looking along the fingers, image up = mount -x.
    """
    return f"""<body name="hand" {place} childclass="allegro">
  <camera name="wrist" pos="0.05 0 0.02" xyaxes="0 -1 0 -1 0 0" fovy="{fovy_deg:.6f}"/>
  <geom name="mount" type="capsule" fromto="0 0 0 0 -0.02 0.02" size="0.03" mass="0.05" contype="1" conaffinity="6"/>
  <body name="palm" pos="0.008219 -0.02063 0.08086" quat="{_quat(0, -_HALF, np.pi)}">
    <geom name="palm" type="box" pos="-0.0106 0.0088 -0.0206" size="0.0475 0.0565 0.0204" mass="0.4154" contype="1"
          conaffinity="6"/>
    {"".join(_finger(finger) for finger in FINGERS)}
  </body>
</body>"""

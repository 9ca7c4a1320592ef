"""The emulated arm: its flange and hand, and the model that a client of an FR3 downloads."""

from xml.sax.saxutils import quoteattr

import mujoco
import numpy as np

from envs.robots.limits import JointLimits

FLANGE_IN_LINK7_M = 0.107
HAND_MASS_KG, HAND_COM_M, HAND_INERTIA_KGM2 = 0.73, (-0.01, 0.0, 0.03), (0.001, 0.0025, 0.0017)
"""The values that Desk sets for the Franka Hand, in the flange frame."""


_C = np.sqrt(0.5)
F_T_NE = np.array([[_C, _C, 0, 0], [-_C, _C, 0, 0], [0, 0, 1, 0.1034], [0, 0, 0, 1]])
"""The Franka Hand in the flange frame: turned by -45° about z, its tool centre point 0.1034 m ahead."""


def links(model: mujoco.MjModel) -> list[dict]:
    """The seven links of the arm in `model`. Each turns about its own z axis.

    Keys: `pos` m and `mat` (3, 3) in the parent, `mass` kg, `com` m, and `inertia` kg·m² (3, 3) about it in the link's
    frame.
    """
    found = []
    for i in range(1, 8):
        body = model.body(f"link{i}")
        turn, axes = np.zeros(9), np.zeros(9)
        mujoco.mju_quat2Mat(turn, body.quat)
        mujoco.mju_quat2Mat(axes, body.iquat)
        own = axes.reshape(3, 3)
        found.append(
            dict(
                pos=body.pos.copy(),
                mat=turn.reshape(3, 3),
                mass=float(body.mass[0]),
                com=body.ipos.copy(),
                inertia=own @ np.diag(body.inertia) @ own.T,
            )
        )
    return found


def urdf(model: mujoco.MjModel, limits: JointLimits) -> str:
    """The URDF that GetRobotModel sends: kinematics and inertias of the arm in `model`, without the hand.

    The client adds the hand from the state. It reads the ends of the brake limits as joint limits, so `limits` must
    have a brake.
    """
    if (brake := limits.brake) is None:
        raise ValueError("expected limits with a brake, as an FR3 has")
    parts = [
        '<robot name="fr3"><link name="base"/><link name="link0"/><joint name="base_joint" type="fixed">'
        '<parent link="base"/><child link="link0"/></joint>'
    ]
    for i, link in enumerate(links(model), 1):
        ixx, ixy, ixz, _, iyy, iyz, _, _, izz = link["inertia"].ravel()
        inertia = " ".join(
            f'{k}="{v:.12g}"' for k, v in dict(ixx=ixx, ixy=ixy, ixz=ixz, iyy=iyy, iyz=iyz, izz=izz).items()
        )
        top, effort = limits.dq_max_rad_s[i - 1], limits.tau_max_nm[i - 1]
        parts.append(
            f'<link name="link{i}"><inertial><origin xyz={_xyz(link["com"])}/><mass value="{link["mass"]:.9g}"/>'
            f"<inertia {inertia}/></inertial></link>"
            f'<joint name="joint{i}" type="revolute"><parent link="link{i - 1}"/><child link="link{i}"/>'
            f'<origin xyz={_xyz(link["pos"])} rpy={_xyz(_rpy(link["mat"]))}/><axis xyz="0 0 1"/>'
            f'<limit lower="{brake.low_rad[i - 1]}" upper="{brake.high_rad[i - 1]}" velocity="{top}" '
            f'effort="{effort}"/><position_based_velocity_limits velocity_offset="{brake.offset_rad_s[i - 1]}" '
            f'deceleration_limit="{brake.deceleration_rad_s2[i - 1]}"/></joint>'
        )
    parts.append(
        f'<link name="link8"/><joint name="joint8" type="fixed"><parent link="link7"/><child link="link8"/>'
        f'<origin xyz="0 0 {FLANGE_IN_LINK7_M}"/></joint></robot>'
    )
    return "".join(parts)


def _rpy(mat: np.ndarray) -> tuple[float, float, float]:
    """Fixed-axis roll, pitch and yaw of a rotation. The pitch must not be ±90°; no link of this arm has that."""
    return np.arctan2(mat[2, 1], mat[2, 2]), -np.arcsin(np.clip(mat[2, 0], -1, 1)), np.arctan2(mat[1, 0], mat[0, 0])


def _xyz(values) -> str:
    return quoteattr(" ".join(f"{v:.12g}" for v in values))

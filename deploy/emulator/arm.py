"""The emulated arms: limits that their controllers enforce, and the model that a client of an FR3 downloads."""

from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import mujoco
import numpy as np

from envs.robots.franka import FR3_LIMITS, LIMITS as PANDA_LIMITS
from envs.robots.limits import JointLimits


@dataclass(frozen=True)
class Arm:
    """What a controller knows of its arm. An FR3 may be the slower the nearer a joint is to its end: at most
    sqrt(2·deceleration·distance) - offset, the distance being that to `q_brake_*_rad`. (7,) each."""

    name: str
    limits: JointLimits
    q_brake_min_rad: np.ndarray
    q_brake_max_rad: np.ndarray
    brake_rad_s2: np.ndarray
    offset_rad_s: np.ndarray

    def dq_range_rad_s(self, q_rad) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest joint velocity (7,) at `q_rad` (7,)."""
        room = lambda distance: np.sqrt(2 * self.brake_rad_s2 * np.maximum(distance, 0)) - self.offset_rad_s  # noqa: E731
        top = self.limits.dq_max_rad_s
        return (-np.minimum(top, np.maximum(room(q_rad - self.q_brake_min_rad), 0)),
                np.minimum(top, np.maximum(room(self.q_brake_max_rad - q_rad), 0)))


ARMS = {
    "fr3": Arm("fr3", FR3_LIMITS,
               q_brake_min_rad=np.array([-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196]),
               q_brake_max_rad=np.array([2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196]),
               brake_rad_s2=np.array([6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0]),
               offset_rad_s=np.array([0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35])),
    # A Panda's speed limit is the same everywhere: the room to the end never counts.
    "panda": Arm("panda", PANDA_LIMITS, np.full(7, -1e9), np.full(7, 1e9), np.ones(7), np.zeros(7)),
}
"""By name. The numbers of the FR3's brake limits are those of libfranka's test/fr3.urdf."""

FLANGE_IN_LINK7_M = 0.107
HAND_MASS_KG, HAND_COM_M, HAND_INERTIA_KGM2 = 0.73, (-0.01, 0.0, 0.03), (0.001, 0.0025, 0.0017)
"""What Desk sets for the Franka Hand; the first two in the flange frame."""


_C = np.sqrt(0.5)
F_T_NE = np.array([[_C, _C, 0, 0], [-_C, _C, 0, 0], [0, 0, 1, 0.1034], [0, 0, 0, 1]])
"""The Franka Hand in the flange frame: turned by -45° about z, its tool centre point 0.1034 m ahead."""


def links(model: mujoco.MjModel) -> list[dict]:
    """The seven links of the arm in `model`: `pos` m and `mat` (3, 3) in the parent, `mass` kg, `com` m, `inertia`
    kg·m² (3, 3) about it in the link's frame. Each turns about its own z axis."""
    found = []
    for i in range(1, 8):
        body = model.body(f"link{i}")
        turn, own = np.zeros(9), np.zeros(9)
        mujoco.mju_quat2Mat(turn, body.quat)
        mujoco.mju_quat2Mat(own, body.iquat)
        own = own.reshape(3, 3)
        found.append(dict(pos=body.pos.copy(), mat=turn.reshape(3, 3), mass=float(body.mass[0]), com=body.ipos.copy(),
                          inertia=own @ np.diag(body.inertia) @ own.T))
    return found


def urdf(model: mujoco.MjModel, arm: Arm) -> str:
    """The model that GetRobotModel sends: kinematics and inertias of the arm in `model`, without the hand, which the
    client adds from the state. Joint limits as the client reads them: the ends of the brake limits."""
    parts = ['<robot name="fr3"><link name="base"/><link name="link0"/><joint name="base_joint" type="fixed">'
             '<parent link="base"/><child link="link0"/></joint>']
    for i, link in enumerate(links(model), 1):
        ixx, ixy, ixz, _, iyy, iyz, _, _, izz = link["inertia"].ravel()
        inertia = " ".join(f'{k}="{v:.12g}"' for k, v in
                           dict(ixx=ixx, ixy=ixy, ixz=ixz, iyy=iyy, iyz=iyz, izz=izz).items())
        top, effort = arm.limits.dq_max_rad_s[i - 1], arm.limits.tau_max_nm[i - 1]
        parts.append(
            f'<link name="link{i}"><inertial><origin xyz={_xyz(link["com"])}/><mass value="{link["mass"]:.9g}"/>'
            f'<inertia {inertia}/></inertial></link>'
            f'<joint name="joint{i}" type="revolute"><parent link="link{i - 1}"/><child link="link{i}"/>'
            f'<origin xyz={_xyz(link["pos"])} rpy={_xyz(_rpy(link["mat"]))}/><axis xyz="0 0 1"/>'
            f'<limit lower="{arm.q_brake_min_rad[i - 1]}" upper="{arm.q_brake_max_rad[i - 1]}" velocity="{top}" '
            f'effort="{effort}"/><position_based_velocity_limits velocity_offset="{arm.offset_rad_s[i - 1]}" '
            f'deceleration_limit="{arm.brake_rad_s2[i - 1]}"/></joint>')
    parts.append(f'<link name="link8"/><joint name="joint8" type="fixed"><parent link="link7"/><child link="link8"/>'
                 f'<origin xyz="0 0 {FLANGE_IN_LINK7_M}"/></joint></robot>')
    return "".join(parts)


def _rpy(mat: np.ndarray) -> tuple[float, float, float]:
    """Fixed-axis roll, pitch, yaw of a rotation that is not at the pole of pitch (no link of this arm is)."""
    return np.arctan2(mat[2, 1], mat[2, 2]), -np.arcsin(np.clip(mat[2, 0], -1, 1)), np.arctan2(mat[1, 0], mat[0, 0])


def _xyz(values) -> str:
    return quoteattr(" ".join(f"{v:.12g}" for v in values))

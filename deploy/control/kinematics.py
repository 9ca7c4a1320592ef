"""Where an arm's parts are, from its joints alone: forward kinematics of the chain in `envs/robots/`.

Lengths and shapes come from the robot's own MJCF text, so there is one source for them. The computation needs only
numpy, because the process that owns a robot has no simulator. Positions are in the frame of the robot's base. N is any
number of configurations.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np

from envs.robots.robot import Robot


@dataclass(frozen=True)
class Capsules:
    """The shapes of an arm: C segments with a radius, each fixed to a link."""

    link: np.ndarray
    """(C,) the coordinate frame of each capsule: 0 for the base, j for the link after joint j, the last one for the
    hand."""
    ends_m: np.ndarray
    """(C, 2, 3) the segment's ends in that frame."""
    radius_m: np.ndarray
    """(C,)"""


class Kinematics:
    """Forward kinematics of an arm with J joints that turn about z and a hand that is fixed to the last link."""

    def __init__(self, robot: Robot):
        # From the base outwards, body in body, without the fingers.
        body: ElementTree.Element | None = ElementTree.fromstring(robot.body_mjcf)
        offsets: list[np.ndarray] = []
        rows = []
        while body is not None:
            rows += [(len(offsets), shape) for shape in _shapes(body)]
            body = next((b for b in body.findall("body") if b.get("name") not in robot.finger_bodies), None)
            if body is not None:
                offsets.append(_transform(body))
        self.joints = len(robot.arm_joints)
        if len(offsets) != self.joints + 1:
            raise ValueError(
                f"{robot.name}: expected {self.joints} links and a hand in one chain, got {len(offsets)} bodies"
            )
        self.offsets = np.stack(offsets)
        self.tcp = np.append(robot.tcp_in_hand_m, 1.0)
        self.capsules = Capsules(
            np.array([f for f, _ in rows]), np.stack([e for _, (e, _) in rows]), np.array([r for _, (_, r) in rows])
        )

    def frames(self, q_rad: np.ndarray) -> np.ndarray:
        """(N, J + 2, 4, 4) poses of the base, of each link and of the hand, from joints (N, J)."""
        q = np.atleast_2d(q_rad)
        out = np.empty((len(q), self.joints + 2, 4, 4))
        out[:, 0] = np.eye(4)
        turn = np.zeros((len(q), 4, 4))
        turn[:, 2, 2] = turn[:, 3, 3] = 1.0
        for j in range(self.joints):
            cos, sin = np.cos(q[:, j]), np.sin(q[:, j])
            turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = cos, -sin, sin, cos
            out[:, j + 1] = out[:, j] @ self.offsets[j] @ turn
        out[:, -1] = out[:, -2] @ self.offsets[-1]
        return out

    def tcp_m(self, frames: np.ndarray) -> np.ndarray:
        """(N, 3) the tool centre point, metres in the base frame."""
        return (frames[:, -1] @ self.tcp)[:, :3]

    def segments_m(self, frames: np.ndarray) -> np.ndarray:
        """(N, C, 2, 3) the capsules' ends, metres in the base frame."""
        c = self.capsules
        poses = frames[:, c.link]
        return np.einsum("ncij,cej->ncei", poses[..., :3, :3], c.ends_m) + poses[:, :, None, :3, 3]


def segment_distance_m(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Least distances (...) between segments p and q, (..., 2, 3) each (Ericson, Real-Time Collision Detection,
    5.1.9)."""
    d1, d2, r = p[..., 1, :] - p[..., 0, :], q[..., 1, :] - q[..., 0, :], p[..., 0, :] - q[..., 0, :]
    dot = lambda u, v: (u * v).sum(-1)
    point = 1e-30  # a segment with a squared length below this counts as a point
    a, e, b = np.maximum(dot(d1, d1), point), np.maximum(dot(d2, d2), point), dot(d1, d2)
    c, f = dot(d1, r), dot(d2, r)
    parallel = 1e-12 * a * e  # an angle below 1e-6 rad; the error is below that share of the length
    denominator = a * e - b * b
    s = np.clip(np.where(denominator > parallel, (b * f - c * e) / np.maximum(denominator, parallel), 0.0), 0, 1)
    t = np.clip((b * s + f) / e, 0, 1)
    s = np.clip((b * t - c) / a, 0, 1)
    return np.linalg.norm(r + s[..., None] * d1 - t[..., None] * d2, axis=-1)


def _numbers(text: str | None, default: str) -> np.ndarray:
    return np.array((text or default).split(), np.float64)


def _transform(body) -> np.ndarray:
    out = np.eye(4)
    w, x, y, z = (quat := _numbers(body.get("quat"), "1 0 0 0")) / np.linalg.norm(quat)
    out[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    out[:3, 3] = _numbers(body.get("pos"), "0 0 0")
    return out


def _shapes(body) -> list[tuple[np.ndarray, float]]:
    """(ends, radius) of every capsule, and for every box of a capsule along its longest side that contains it."""
    out = []
    for geom in body.findall("geom"):
        size = _numbers(geom.get("size"), "0")
        if geom.get("type") == "capsule":
            out.append((_numbers(geom.get("fromto"), "").reshape(2, 3), float(size[0])))
        elif geom.get("type") == "box":
            along = int(np.argmax(size))
            radius = float(np.linalg.norm(np.delete(size, along)))
            half = np.zeros(3)
            half[along] = size[along]
            middle = _numbers(geom.get("pos"), "0 0 0")
            out.append((np.stack([middle - half, middle + half]), radius))
    return out

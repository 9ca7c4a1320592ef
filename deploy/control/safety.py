"""What may be sent to an arm, as pure functions of numbers. Nothing here keeps a state, reads a clock or sends
anything.

`refuse_action` refuses an action that is not finite, has another shape or is out of range. A set-point is sent only if
`refuse_set_points` and `Envelope.refuse` find nothing wrong with it; `deploy/control/gate.py` chooses its commands
accordingly. `refuse_state` checks what an arm measures.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from deploy.control.kinematics import Kinematics, segment_distance_m
from envs.robots.limits import JointLimits
from envs.robots.robot import Robot

LINK_GAP = 3
"""Links that are fewer joints apart than this overlap by construction; their joints' limits keep them from
colliding."""
TOLERANCE = 1e-6
"""Relative. Derivatives of 1 kHz set-points lose digits."""
TOUCH, YIELD = 0.2, 0.5
"""Shares of the collision threshold. From the first on a force counts as a contact (an arm's estimate of external
forces has an error of a few newtons). The second is how hard the arm may press."""


def share_of(limits: JointLimits, speed: float, margin_rad: float = 0.0) -> JointLimits:
    """`limits` with `speed` of the velocity, acceleration and jerk (0 < speed <= 1), `margin_rad` inside the
    positions."""
    return replace(
        limits,
        q_min_rad=limits.q_min_rad + margin_rad,
        q_max_rad=limits.q_max_rad - margin_rad,
        dq_max_rad_s=speed * limits.dq_max_rad_s,
        ddq_max_rad_s2=speed * limits.ddq_max_rad_s2,
        dddq_max_rad_s3=speed * limits.dddq_max_rad_s3,
    )


def tighter(a: JointLimits, b: JointLimits) -> JointLimits:
    """The limits that satisfy both `a` and `b`."""
    numbers = {
        name: (np.maximum if name == "q_min_rad" else np.minimum)(value, getattr(b, name))
        for name, value in vars(a).items()
        if name != "brake"
    }
    return JointLimits(**numbers, brake=b.brake or a.brake)


def refuse_action(action, size: int) -> str | None:
    """Why a policy's action can't be sent, or None if it is `size` finite numbers in [-1, 1]."""
    try:
        values = np.asarray(action, np.float64)
    except (TypeError, ValueError):
        return f"expected an action of {size} numbers, got {type(action).__name__}"
    if values.shape != (size,):
        return f"expected an action of shape ({size},), got {values.shape}"
    if not np.isfinite(values).all():
        return f"the action holds NaN or infinity at {np.flatnonzero(~np.isfinite(values)).tolist()}"
    if np.abs(values).max() > 1 + TOLERANCE:
        return f"the action leaves [-1, 1]: {values[np.abs(values).argmax()]:.6g} at {int(np.abs(values).argmax())}"
    return None


def refuse_set_points(before_rad: np.ndarray, points_rad: np.ndarray, limits: JointLimits, dt_s: float) -> str | None:
    """Why set-points (N, J) that follow the three points `before_rad` (3, J) can't be sent, or None.

    They have to be finite, inside the position limits, and inside speed, acceleration and jerk from each to the next.
    """
    if points_rad.ndim != 2 or points_rad.shape[1:] != limits.q_min_rad.shape:
        return f"expected set-points of shape (N, {len(limits.q_min_rad)}), got {points_rad.shape}"
    if not np.isfinite(points_rad).all():
        return "a set-point holds NaN or infinity"
    if (points_rad < limits.q_min_rad - TOLERANCE).any() or (points_rad > limits.q_max_rad + TOLERANCE).any():
        joint = int(np.argmax(np.maximum(limits.q_min_rad - points_rad, points_rad - limits.q_max_rad).max(0)))
        return f"a set-point is outside the position limits of joint {joint + 1}"
    # Speed, acceleration and jerk: one more difference each time.
    path = np.vstack([before_rad, points_rad])
    for name, top in (
        ("speed", limits.dq_max_rad_s),
        ("acceleration", limits.ddq_max_rad_s2),
        ("jerk", limits.dddq_max_rad_s3),
    ):
        path = np.diff(path, axis=0) / dt_s
        found = np.abs(path[-len(points_rad) :]).max(0) / top
        if found.max() > 1 + 1e3 * TOLERANCE:
            return f"the {name} of joint {int(found.argmax()) + 1} would be {found.max():.3g} times its limit"
    # The speed that is allowed near an end.
    path = np.vstack([before_rad[-1:], points_rad])
    (low, high), dq = limits.speeds_rad_s(path[1:]), np.diff(path, axis=0) / dt_s
    over = np.maximum(low - dq, dq - high).max(0)
    if over.max() > 1e-3:
        return (
            f"joint {int(over.argmax()) + 1} would come too near its position limit too fast, by {over.max():.3g} rad/s"
        )
    return None


def refuse_state(q_rad, dq_rad_s, limits: JointLimits) -> str | None:
    """Why a measured state (J,) is outside the arm's published limits, or None."""
    q, dq = np.asarray(q_rad, np.float64), np.asarray(dq_rad_s, np.float64)
    if q.shape != limits.q_min_rad.shape or dq.shape != q.shape or not (np.isfinite(q).all() and np.isfinite(dq).all()):
        return "the arm reports joints that are not finite numbers"
    if (q < limits.q_min_rad).any() or (q > limits.q_max_rad).any():
        joint = int(np.argmax(np.maximum(limits.q_min_rad - q, q - limits.q_max_rad)))
        return f"joint {joint + 1} is at {q[joint]:.4f} rad, outside its limits"
    if (np.abs(dq) > limits.dq_max_rad_s).any():
        joint = int(np.argmax(np.abs(dq) / limits.dq_max_rad_s))
        return f"joint {joint + 1} turns at {dq[joint]:.3f} rad/s, faster than its limit"
    return None


def closes(value: float, closed: bool, hysteresis: float) -> bool:
    """Whether the gripper has to be closed. Below -hysteresis it closes, above hysteresis it opens, in between it
    stays."""
    return bool(value < 0) if abs(value) > hysteresis else closed


@dataclass(frozen=True)
class Contact:
    """How hard an arm touches something."""

    share: float = 0.0
    """The greatest external torque or force as a share of its collision threshold. At 1 the arm stops with a reflex."""
    tau_ext_nm: np.ndarray | None = None
    """(J,) the torques of the joints on the thing; None if the arm does not report them."""


def yielding(increment_rad: np.ndarray, lead_rad: np.ndarray, contact: Contact, k_nm_rad: np.ndarray) -> np.ndarray:
    """The increment (J,), reduced so that the arm presses at most with `YIELD` of the threshold; backwards if it
    presses more.

    An arm with the stiffness `k_nm_rad` that a contact stops presses with K times the command's lead, which is
    `lead_rad` plus the increment. The part along the contact's own torques is limited to the torques at `YIELD`. Motion
    that does not press, or that leads away, does not change. Without information about the torques nothing changes.
    """
    if contact.tau_ext_nm is None:
        return increment_rad
    size = np.linalg.norm(contact.tau_ext_nm)
    if not 0 < size < np.inf:
        return increment_rad
    along = contact.tau_ext_nm / size
    excess = along @ (k_nm_rad * (lead_rad + increment_rad)) - size * YIELD / contact.share
    return increment_rad - along * excess / k_nm_rad if excess > 0 else increment_rad


@dataclass(frozen=True)
class Workspace:
    """A box for the tool centre point, metres in the robot's base frame."""

    low_m: tuple[float, float, float] = (0.25, -0.40, 0.412)
    """The low corner. The default is that of the scene franka_cube: the table is 0.4 m above the base, and the tool may
    be 12 mm above the table, where the fingertips are 3 mm above it."""
    high_m: tuple[float, float, float] = (0.75, 0.40, 0.95)

    def outside_m(self, points_m: np.ndarray) -> np.ndarray:
        """(N,) how far points (N, 3) are outside, on the worst of the three axes. It is negative inside."""
        return np.maximum(np.array(self.low_m) - points_m, points_m - np.array(self.high_m)).max(-1)


@dataclass(frozen=True)
class Envelope:
    """Where an arm may be: with the tool in the workspace box, and with its links apart."""

    kinematics: Kinematics
    workspace: Workspace = field(default_factory=Workspace)
    self_distance_m: float = 0.02
    """Least distance between links that could touch."""

    @classmethod
    def of(cls, robot: Robot, workspace: Workspace | None = None) -> "Envelope":
        return cls(Kinematics(robot), workspace or Workspace())

    def outside_m(self, q_rad: np.ndarray) -> np.ndarray:
        """(N,) how far the tool centre point is outside the box, for joints (N, J)."""
        return self.workspace.outside_m(self.kinematics.tcp_m(self.kinematics.frames(q_rad)))

    def apart_m(self, q_rad: np.ndarray) -> np.ndarray:
        """(N,) the least distance between links of the arm that could touch, for joints (N, J)."""
        return self._apart_m(self.kinematics.frames(q_rad))

    def _apart_m(self, frames: np.ndarray) -> np.ndarray:
        shapes, segments = self.kinematics.capsules, self.kinematics.segments_m(frames)
        a, b = np.nonzero(shapes.link[None, :] - shapes.link[:, None] >= LINK_GAP)
        gaps = segment_distance_m(segments[:, a], segments[:, b]) - shapes.radius_m[a] - shapes.radius_m[b]
        return gaps.min(-1)

    def refuse(self, q_rad: np.ndarray, margin_m: float = 0.0) -> str | None:
        """Why the arm may not be at one of the joints (N, J), or None. `margin_m` is extra room."""
        frames = self.kinematics.frames(q_rad)
        outside = self.workspace.outside_m(self.kinematics.tcp_m(frames)).max()
        if not outside <= -margin_m:
            return f"the tool centre point would leave the workspace box by {1e3 * (outside + margin_m):.1f} mm"
        apart = self._apart_m(frames).min()
        if not apart >= self.self_distance_m + margin_m:
            return f"the arm would come within {1e3 * apart:.1f} mm of itself"
        return None

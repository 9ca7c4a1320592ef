"""A robot's limits, and the limiter that applies them.

The simulator at the real-arm protocol and the deploy loop both move their commanded position through
`JointLimiter`, so that a policy meets the same clamping in training and on the arm.
"""

from dataclasses import dataclass

import numpy as np

from envs.errors import EnvError


@dataclass(frozen=True)
class JointLimits:
    """Published limits of an arm, one number a joint."""

    q_min_rad: np.ndarray
    """Lower joint position, (J,)."""
    q_max_rad: np.ndarray
    """Upper joint position, (J,)."""
    dq_max_rad_s: np.ndarray
    """Joint speed, (J,)."""
    ddq_max_rad_s2: np.ndarray
    """Joint acceleration, (J,)."""
    dddq_max_rad_s3: np.ndarray
    """Joint jerk, (J,)."""
    tau_max_nm: np.ndarray
    """Joint torque, (J,)."""
    dtau_max_nm_s: np.ndarray
    """Torque rate, (J,)."""
    brake_rad_s2: np.ndarray | None = None
    """Deceleration (J,) that the arm counts on towards its end: at a distance d it allows only a speed of √(2·brake·d) −
    brake_offset. None: it doesn't."""
    brake_offset_rad_s: np.ndarray | None = None
    brake_room_rad: np.ndarray | None = None
    """How far beyond `q_min_rad` and `q_max_rad` (J,) that end is."""

    def __post_init__(self):
        size = len(np.asarray(self.q_min_rad))
        for name, value in self.__dict__.items():
            if value is None:
                continue
            value = np.asarray(value, dtype=np.float64)
            if value.shape != (size,):
                raise EnvError(f"{name}: expected {size} numbers, one a joint, got shape {value.shape}")
            object.__setattr__(self, name, value)
        if not (self.q_min_rad < self.q_max_rad).all():
            raise EnvError("q_min_rad must be below q_max_rad for every joint")

    def speeds_rad_s(self, q_rad) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest speed (..., J) that are allowed at joints (..., J)."""
        return -self._towards(q_rad - self.q_min_rad), self._towards(self.q_max_rad - q_rad)

    def _towards(self, distance_rad: np.ndarray) -> np.ndarray:
        if self.brake_rad_s2 is None:
            return np.broadcast_to(self.dq_max_rad_s, distance_rad.shape)
        braked = np.sqrt(2 * self.brake_rad_s2 * np.maximum(distance_rad + self.brake_room_rad, 0)) - self.brake_offset_rad_s
        return np.clip(braked, 0, self.dq_max_rad_s)


class JointLimiter:
    """Moves a commanded joint position towards a wanted one, never past position, speed or acceleration limits.

    The state is the last command and its speed; `step` is called once a control period. A command can always
    stop inside the position limits: the speed towards a limit is capped by sqrt(2·a·distance).
    """

    def __init__(self, limits: JointLimits, dt_s: float, margin_rad: float = 0.01):
        if dt_s <= 0:
            raise EnvError(f"dt_s must be positive, got {dt_s}")
        self.limits, self.dt_s = limits, dt_s
        self.low = limits.q_min_rad + margin_rad
        self.high = limits.q_max_rad - margin_rad
        self.reset((self.low + self.high) / 2)

    def reset(self, q_rad) -> None:
        """Starts at rest at `q_rad` (J,)."""
        self.q_rad = np.clip(np.asarray(q_rad, np.float64), self.low, self.high)
        self.dq_rad_s = np.zeros_like(self.q_rad)

    def step(self, wanted_rad) -> np.ndarray:
        """The command for the next period: as near to `wanted_rad` (J,) as the limits allow."""
        lim, dt = self.limits, self.dt_s
        dq = (np.asarray(wanted_rad, np.float64) - self.q_rad) / dt
        reach = lim.ddq_max_rad_s2 * dt
        dq = np.clip(dq, self.dq_rad_s - reach, self.dq_rad_s + reach)
        # Speed v may be kept for one period if v²/2a + v·dt fits into the room left; that condition reproduces itself.
        room = lambda distance: np.sqrt(2 * lim.ddq_max_rad_s2 * np.maximum(distance, 0) + reach ** 2) - reach  # noqa: E731
        up, down = room(self.high - self.q_rad), room(self.q_rad - self.low)
        if lim.brake_rad_s2 is not None:
            # The same of the arm's own condition: (v + offset)²/2b + v·dt fits into the room to its end.
            late = lim.brake_offset_rad_s + lim.brake_rad_s2 * dt
            braked = lambda distance: np.maximum(np.sqrt(np.maximum(  # noqa: E731
                late ** 2 - lim.brake_offset_rad_s ** 2 + 2 * lim.brake_rad_s2 * distance, 0)) - late, 0)
            up = np.minimum(up, braked(lim.q_max_rad + lim.brake_room_rad - self.q_rad))
            down = np.minimum(down, braked(self.q_rad - lim.q_min_rad + lim.brake_room_rad))
        dq = np.clip(dq, -np.minimum(lim.dq_max_rad_s, down), np.minimum(lim.dq_max_rad_s, up))
        q = np.clip(self.q_rad + dq * dt, self.low, self.high)
        self.dq_rad_s, self.q_rad = (q - self.q_rad) / dt, q
        return q

    def state(self) -> np.ndarray:
        """(2J,): the command and its speed; `restore` takes it back exactly."""
        return np.concatenate([self.q_rad, self.dq_rad_s])

    def restore(self, state) -> None:
        self.q_rad, self.dq_rad_s = np.split(np.array(state, np.float64), 2)

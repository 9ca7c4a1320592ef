"""A robot's limits, and the limiter that applies them.

The simulator's real-arm protocol and the deploy loop both move their commanded position through `JointLimiter`, so a
policy meets the same limits in training and on the arm.
"""

from dataclasses import dataclass

import numpy as np

from envs.errors import EnvError


def per_joint(*values: float) -> np.ndarray:
    """One number for each joint, float64 (J,)."""
    return np.array(values, np.float64)


@dataclass(frozen=True)
class Brake:
    """At a distance d from an end the arm allows at most the speed √(2·deceleration·d) − offset towards it. (J,)
    each."""

    low_rad: np.ndarray
    high_rad: np.ndarray
    deceleration_rad_s2: np.ndarray
    offset_rad_s: np.ndarray

    def __post_init__(self):
        for name, value in self.__dict__.items():
            object.__setattr__(self, name, np.asarray(value, dtype=np.float64))

    def towards_rad_s(self, distance_rad, after_s: float = 0.0) -> np.ndarray:
        """Greatest speed (J,) at a distance (J,) from an end that is still allowed after the arm has kept it for
        `after_s`."""
        late = self.offset_rad_s + self.deceleration_rad_s2 * after_s
        room = late**2 - self.offset_rad_s**2 + 2 * self.deceleration_rad_s2 * distance_rad
        return np.maximum(np.sqrt(np.maximum(room, 0)) - late, 0)


@dataclass(frozen=True)
class JointLimits:
    """Published limits of an arm, one number for each joint."""

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
    brake: Brake | None = None
    """How the arm limits its speed near its ends. None: the speed limit is the same everywhere."""

    def __post_init__(self):
        size = len(np.asarray(self.q_min_rad))
        for name, value in self.__dict__.items():
            if name == "brake":
                continue
            value = np.asarray(value, dtype=np.float64)
            if value.shape != (size,):
                raise EnvError(f"{name}: expected {size} numbers, one for each joint, got shape {value.shape}")
            object.__setattr__(self, name, value)
        if not (self.q_min_rad < self.q_max_rad).all():
            raise EnvError("q_min_rad must be below q_max_rad for every joint")

    def speeds_rad_s(self, q_rad) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest speed (..., J) that are allowed at joints (..., J)."""
        if self.brake is None:
            shape = np.shape(q_rad)
            return np.broadcast_to(-self.dq_max_rad_s, shape), np.broadcast_to(self.dq_max_rad_s, shape)
        return (
            -np.minimum(self.dq_max_rad_s, self.brake.towards_rad_s(q_rad - self.brake.low_rad)),
            np.minimum(self.dq_max_rad_s, self.brake.towards_rad_s(self.brake.high_rad - q_rad)),
        )


class JointLimiter:
    """Moves a commanded joint position towards a wanted one, inside the limits of position, speed and acceleration.

    The state is the last command and its speed. `step` is called once in a control period. A command can always stop
    inside the position limits, because the speed towards a limit is at most sqrt(2·a·distance).
    """

    def __init__(self, limits: JointLimits, dt_s: float, margin_rad: float = 0.01):
        if dt_s <= 0:
            raise EnvError(f"dt_s must be positive, got {dt_s}")
        self.limits, self.dt_s = limits, dt_s
        self.low = limits.q_min_rad + margin_rad
        self.high = limits.q_max_rad - margin_rad
        self.q_rad = (self.low + self.high) / 2
        """(J,) the last command."""
        self.dq_rad_s = np.zeros_like(self.q_rad)
        """(J,) its speed."""

    def reset(self, q_rad) -> None:
        """Starts at rest at `q_rad` (J,)."""
        self.q_rad = np.clip(np.asarray(q_rad, np.float64), self.low, self.high)
        self.dq_rad_s = np.zeros_like(self.q_rad)

    def step(self, wanted_rad) -> np.ndarray:
        """The command for the next period: as near to `wanted_rad` (J,) as the limits allow."""
        lim, dt = self.limits, self.dt_s
        # The speed that would reach the wanted position, within the acceleration limit.
        dq = (np.asarray(wanted_rad, np.float64) - self.q_rad) / dt
        reach = lim.ddq_max_rad_s2 * dt
        dq = np.clip(dq, self.dq_rad_s - reach, self.dq_rad_s + reach)
        # Speed v may be kept for one period if v²/2a + v·dt fits into the remaining room. The condition then holds
        # again in the next period.
        room = lambda distance: np.sqrt(2 * lim.ddq_max_rad_s2 * np.maximum(distance, 0) + reach**2) - reach
        up, down = room(self.high - self.q_rad), room(self.q_rad - self.low)
        if lim.brake is not None:
            up = np.minimum(up, lim.brake.towards_rad_s(lim.brake.high_rad - self.q_rad, dt))
            down = np.minimum(down, lim.brake.towards_rad_s(self.q_rad - lim.brake.low_rad, dt))
        # Speed limit and remaining room, then the position limits.
        dq = np.clip(dq, -np.minimum(lim.dq_max_rad_s, down), np.minimum(lim.dq_max_rad_s, up))
        q = np.clip(self.q_rad + dq * dt, self.low, self.high)
        self.dq_rad_s, self.q_rad = (q - self.q_rad) / dt, q
        return q

    def state(self) -> np.ndarray:
        """(2J,): the command and its speed. `restore` restores it exactly."""
        return np.concatenate([self.q_rad, self.dq_rad_s])

    def restore(self, state) -> None:
        self.q_rad, self.dq_rad_s = np.split(np.array(state, np.float64), 2)

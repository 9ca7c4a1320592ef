"""The values that an arm accepts: its controller answers all others with "invalid argument".

The ranges of stiffness and filters are those of libfranka's documentation (robot.h). An arm refuses a load with an
inertia that no body has. Where Franka publishes no range, the limits here are our own (docs/emulator.md).
"""

from collections.abc import Callable

import numpy as np

JOINTS_NM_RAD = (0.0, 14250.0)
STIFFNESS_N_M, STIFFNESS_NM_RAD = (10.0, 3000.0), (1.0, 300.0)
"""Cartesian stiffness: translation, rotation."""
FILTER_HZ = (1.0, 1000.0)
PAYLOAD_KG = 3.0
"""What the arm carries, by its data sheet."""
FARTHEST_M = 1.0
"""Our own limit for the distance of a frame or of a load's centre of mass: about the reach of the arm."""
ORTHONORMAL = 2e-5
"""How far a rotation may be from an exact one: its rows have length 1 within 1e-5, as in libfranka's check of a
pose."""
SYMMETRIC = 1e-6
"""How far an inertia may be from a symmetric one, as a share of its largest number."""


def refusal(command: str, values: dict[str, np.ndarray]) -> str | None:
    """Why an arm refuses the numbers of a setter (their names are those of `wire.setter`), or None if it takes
    them."""
    for name, numbers in values.items():
        if not np.isfinite(numbers).all():
            return f"{name}: expected finite numbers, got {numbers.tolist()}"
    return _CHECKS[command](**values)


def _within(name: str, numbers: np.ndarray, low: float, high: float) -> str | None:
    if (numbers < low).any() or (numbers > high).any():
        return f"{name}: expected numbers from {low:g} to {high:g}, got {numbers.tolist()}"
    return None


def _collision(**thresholds: np.ndarray) -> str | None:
    for name, numbers in thresholds.items():
        if wrong := _within(name, numbers, 0.0, np.inf):
            return wrong
    return None


def _joint_stiffness(joint_stiffness: np.ndarray) -> str | None:
    return _within("joint_stiffness", joint_stiffness, *JOINTS_NM_RAD)


def _cartesian_stiffness(cartesian_stiffness: np.ndarray) -> str | None:
    return _within("cartesian_stiffness, x y z", cartesian_stiffness[:3], *STIFFNESS_N_M) or _within(
        "cartesian_stiffness, rotations", cartesian_stiffness[3:], *STIFFNESS_NM_RAD
    )


def _filters(filters_hz: np.ndarray) -> str | None:
    return _within("filters_hz", filters_hz, *FILTER_HZ)


def _guiding(guiding_mode: np.ndarray) -> str | None:
    return _within("guiding_mode", guiding_mode, 0, 1)


def _frame(**frame: np.ndarray) -> str | None:
    """A rigid transformation (16,), column-major."""
    ((name, numbers),) = frame.items()
    pose = numbers.reshape(4, 4, order="F")
    turn = pose[:3, :3].clip(-2, 2)  # no product of these numbers overflows
    rigid = np.abs(turn @ turn.T - np.eye(3)).max() <= ORTHONORMAL and np.linalg.det(turn) > 0
    if not rigid or not np.array_equal(pose[3], [0, 0, 0, 1]):
        return f"{name}: expected a rotation and a translation in column-major order, got {numbers.tolist()}"
    return _within(f"{name}, translation in m", pose[:3, 3], -FARTHEST_M, FARTHEST_M)


def _load(m_load: np.ndarray, F_x_Cload: np.ndarray, I_load: np.ndarray) -> str | None:
    """A load of 0 kg may have no inertia. Every other load needs the inertia of a body that exists: symmetric, its
    principal moments above 0, and none larger than the sum of the other two."""
    mass_kg, inertia = float(m_load[0]), I_load.reshape(3, 3)
    if wrong := _within("m_load in kg", m_load, 0.0, PAYLOAD_KG):
        return wrong
    if wrong := _within("F_x_Cload in m", F_x_Cload, -FARTHEST_M, FARTHEST_M):
        return wrong
    if mass_kg == 0 and not inertia.any():
        return None
    largest = PAYLOAD_KG * FARTHEST_M**2
    if wrong := _within("I_load in kg·m²", I_load, -largest, largest):
        return wrong
    slack = SYMMETRIC * np.abs(inertia).max()
    moments = np.linalg.eigvalsh((inertia + inertia.T) / 2)
    symmetric = np.abs(inertia - inertia.T).max() <= slack
    if not symmetric or moments[0] <= 0 or moments[2] > moments[0] + moments[1] + slack:
        return f"I_load: expected the inertia of a body of {mass_kg:g} kg, got {I_load.tolist()}"
    return None


_CHECKS: dict[str, Callable[..., str | None]] = {
    "SetCollisionBehavior": _collision,
    "SetJointImpedance": _joint_stiffness,
    "SetCartesianImpedance": _cartesian_stiffness,
    "SetGuidingMode": _guiding,
    "SetEEToK": _frame,
    "SetNEToEE": _frame,
    "SetLoad": _load,
    "SetFilters": _filters,
}

"""What may be converted between a policy and a robot that differ, where its user asks for it: rate, range, and the picture's crop.

`policies.fit.rules.check` asks `converted` for the description as it is afterwards, and `policies.fit.adapted` does what the `Fit` says.
"""

import math
from dataclasses import dataclass, replace

from envs.interface import UNKNOWN, Interface
from policies.fit.spec import PolicySpec
from toto_robot.ground.errors import UserError

CONVERSIONS = {
    "rate": "a slower policy's command is held for a whole number of periods; the increments of its joints are shared among them",
    "range": "the numbers are rescaled to the robot's range, of which the policy's has to be a part",
    "crop": "the camera, or the scene's drawing, makes pictures of the policy's size (a camera: and of its crop)",
}
"""What `convert=` may ask for. All three are exact: the robot is sent the motion that the policy means. A faster policy can't be asked
more rarely, because it would not see what it does; and an unknown number can't be held, because it may be an increment."""
SHARED = ("joint_increment", "cartesian_increment", "rotation_increment")
"""Meanings of which two half steps make a whole one."""


@dataclass(frozen=True)
class Fit:
    """How a policy is run where it fits."""

    hold: int = 1
    """Periods for which each of its actions is executed."""
    gain: tuple[float, ...] = ()
    """(A,) factor on its numbers; empty for 1."""
    bias: tuple[float, ...] = ()
    """(A,) added to them afterwards."""
    warnings: tuple[str, ...] = ()
    """What its user is told."""


def converted(spec: PolicySpec, there: Interface, given: str, where: str, convert: list[str]) -> tuple[PolicySpec, Fit]:
    """The description after the conversions that were asked for and are needed, and how they are done."""
    fit = Fit()
    if "rate" in convert and not math.isclose(spec.control_hz, there.control_hz, rel_tol=1e-6):
        spec, hold = held(spec, there.control_hz, given, where)
        fit = replace(fit, hold=hold)
    same = (spec.action.names, spec.action.units, spec.action.meanings) == (
        there.action.names,
        there.action.units,
        there.action.meanings,
    )
    if "range" in convert and same and UNKNOWN not in spec.action.units + spec.action.meanings:
        pairs = list(zip(spec.action.low, spec.action.high, there.action.low, there.action.high))
        inside = all(l2 - 1e-9 <= l1 and h1 <= h2 + 1e-9 for l1, h1, l2, h2 in pairs)
        if inside and any((l1, h1) != (l2, h2) for l1, h1, l2, h2 in pairs):
            # From a number of the policy's to the robot's: both are linear in the same unit.
            fit = replace(
                fit,
                gain=tuple((h1 - l1) / (h2 - l2) for l1, h1, l2, h2 in pairs),
                bias=tuple((l1 + h1 - l2 - h2) / (h2 - l2) for l1, h1, l2, h2 in pairs),
            )
            spec = replace(spec, action=there.action)
    return spec, fit


def held(spec: PolicySpec, hz: float, given: str, where: str) -> tuple[PolicySpec, int]:
    """`spec` as it is when each action is executed for a whole number of the robot's periods, and that number."""
    hold, action = round(hz / spec.control_hz), spec.action
    if hold < 2 or abs(hold * spec.control_hz - hz) > 1e-6 * hz:
        raise UserError(
            f"convert=rate: the policy {given} acts at {spec.control_hz:g} Hz and {where} at {hz:g} Hz, and a command can "
            "only be held for a whole number of the robot's periods; a faster policy can't be asked more rarely."
        )
    if UNKNOWN in action.meanings:
        name = action.names[action.meanings.index(UNKNOWN)]
        raise UserError(
            f"convert=rate: nobody has said what the action {name} of the policy {given} means, and an increment that is "
            f"held would be a longer way; {where} has {hz:g} Hz and the policy {spec.control_hz:g} Hz."
        )
    parts = [hold if meaning in SHARED else 1 for meaning in action.meanings]
    shared = replace(
        action,
        low=tuple(v / k for v, k in zip(action.low, parts)),
        high=tuple(v / k for v, k in zip(action.high, parts)),
    )
    return replace(spec, control_hz=hz, action=shared), hold

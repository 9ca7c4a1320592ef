"""Conversions between a policy and a robot that differ, if the user asks for them: rate, range, and the picture's crop.

On the arrow: `policies.fit.rules.check` compares the description after `converted`, and `policies.fit.adapted` carries
out the `Fit`.
"""

import math
from dataclasses import dataclass, replace

from envs.interface import UNKNOWN, Interface
from policies.fit.spec import PolicySpec
from toto_robot.ground.errors import UserError

CONVERSIONS = {
    "rate": "a slower policy's command is held for a whole number of periods, which share the increments of its joints",
    "range": "the numbers are rescaled to the robot's range, which must contain the policy's range",
    "crop": "the camera or the scene makes pictures of the policy's size (a camera also with the policy's crop)",
}
"""What `convert=` may ask for. All three are exact: the robot gets the motion that the policy means. A faster policy
can't be asked less often, because it would not see the effect of its actions. An unknown number can't be held, because
it may be an increment."""
SHARED = ("joint_increment", "cartesian_increment", "rotation_increment")
"""Meanings for which two half steps make one whole step."""


@dataclass(frozen=True)
class Fit:
    """How a policy is run on a robot that it fits."""

    hold: int = 1
    """Each action is executed for this many periods."""
    gain: tuple[float, ...] = ()
    """(A,) factor on the policy's numbers; empty for 1."""
    bias: tuple[float, ...] = ()
    """(A,) added to the numbers afterwards."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user."""


def converted(spec: PolicySpec, there: Interface, given: str, where: str, convert: list[str]) -> tuple[PolicySpec, Fit]:
    """The description after the conversions that are asked for and needed, and how to carry them out."""
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
            # From the policy's number to the robot's number. Both are linear in the same unit.
            fit = replace(
                fit,
                gain=tuple((h1 - l1) / (h2 - l2) for l1, h1, l2, h2 in pairs),
                bias=tuple((l1 + h1 - l2 - h2) / (h2 - l2) for l1, h1, l2, h2 in pairs),
            )
            spec = replace(spec, action=there.action)
    return spec, fit


def held(spec: PolicySpec, hz: float, given: str, where: str) -> tuple[PolicySpec, int]:
    """`spec` if each action is executed for a whole number of the robot's periods, and that number."""
    hold, action = round(hz / spec.control_hz), spec.action
    if hold < 2 or abs(hold * spec.control_hz - hz) > 1e-6 * hz:
        raise UserError(
            f"convert=rate: the policy {given} acts at {spec.control_hz:g} Hz and {where} at {hz:g} Hz. A command can "
            "only be held for a whole number of the robot's periods, and a faster policy can't be asked less often."
        )
    if UNKNOWN in action.meanings:
        name = action.names[action.meanings.index(UNKNOWN)]
        raise UserError(
            f"convert=rate: the meaning of the action {name} of the policy {given} is unknown. If it is an increment, "
            f"holding it would move the robot further; {where} has {hz:g} Hz and the policy {spec.control_hz:g} Hz."
        )
    parts = [hold if meaning in SHARED else 1 for meaning in action.meanings]
    shared = replace(
        action,
        low=tuple(v / k for v, k in zip(action.low, parts)),
        high=tuple(v / k for v, k in zip(action.high, parts)),
    )
    return replace(spec, control_hz=hz, action=shared), hold

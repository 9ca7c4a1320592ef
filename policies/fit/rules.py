"""Does a policy fit a robot or a scene? Every field of the two descriptions is compared by its own rule.

    about = policies.policy.inspect(name)
    fit = check(about, scene.interface, given=name, where="env=franka_cube", keys=FitKeys())     UserError, or a Fit
    policy = adapted(policies.load(name), fit)

Each rule is written at its field (envs/interface.py, policies/fit/spec.py). `rules` lists them for docs/policy_fit.md.

On the arrow: every command that runs a policy calls `check` before anything starts.
"""

import dataclasses
import math
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import envs
from envs.interface import UNKNOWN, CameraSpec, Interface, Rule, robot_name
from policies.fit.conversion import CONVERSIONS, Fit, converted
from policies.fit.folder import About
from policies.fit.spec import PolicySpec, completed
from toto_robot.ground.errors import UserError, unknown

MOST_TOLD = 4
"""An error names this many differences. It counts the others."""


@dataclass
class Tolerance:
    """How much a camera's pose may differ without a warning."""

    mount_mm: float = 10.0
    """Millimetres between two positions of the camera."""
    mount_deg: float = 3.0
    """Degrees between two directions of the camera."""
    fovy_percent: float = 5.0
    """Percent between two fields of view."""

    def __post_init__(self) -> None:
        if not all(0 <= v < math.inf for v in dataclasses.astuple(self)):
            raise UserError(f"tolerance: expected numbers of at least 0, got {self}.")


@dataclass
class FitKeys:
    """Keys of every command that runs a policy."""

    convert: list[str] = field(default_factory=list)
    """What may be converted if policy and robot differ: rate, range, crop (docs/policy_fit.md)."""
    tolerance: Tolerance = field(default_factory=Tolerance)
    """How far the camera may be from its pose in training before a warning."""
    force: bool = False
    """Run a policy whose folder doesn't say what its numbers mean, if their counts agree. In simulation only."""

    def __post_init__(self) -> None:
        check_conversions(self.convert)


@dataclass(frozen=True)
class Difference:
    """One field in which a policy and a robot differ."""

    name: str
    """Such as `action.units`."""
    rule: Rule
    said: str
    """The difference in words, with both values."""


def check(about: About, there: Interface, *, given: str, where: str, keys: FitKeys, cuts: bool = False) -> Fit:
    """How the policy `given` is run on the robot or scene `where`, whose interface is `there`.

    Raises UserError, one sentence with both values, if it must not be run. `cuts` is True for a camera that can make
    another crop; a scene can only render another size.
    """
    if about.env is not None and not any(about.env in envs.names(backend) for backend in envs.BACKENDS):
        raise unknown("env", about.env, envs.names(), f"The policy {given} says that it was trained in it.")
    spec = spec_of_folder(about, there)
    if spec is None:
        return _unsaid(about, there, given, where, keys)
    after, fit = converted(spec, there, given, where, keys.convert)
    found = list(compare(after, there, where, keys.tolerance))
    refused = [d for d in found if d.rule.kind == "refuse"]
    if refused:
        raise UserError(_refusal(refused, given, where) + _remedy(about, spec, there, keys, cuts))
    return replace(fit, warnings=tuple(f"the policy {given} on {where}: {d.said}" for d in found))


def spec_of_folder(about: About, there: Interface | None = None) -> PolicySpec | None:
    """The description in a policy's folder. An old folder's one is completed from its environment, whose interface may
    be `there`."""
    return about.spec if about.spec is not None else completed(about, there)


def refusals(spec: PolicySpec, there: Interface, where: str) -> str:
    """The refused differences between `spec` and `where` in one phrase, with both values. Empty if it fits."""
    return _told([d for d in compare(spec, there, where, Tolerance()) if d.rule.kind == "refuse"])


def check_conversions(names: list[str]) -> None:
    """Raise UserError for a conversion that does not exist."""
    for name in names:
        if name not in CONVERSIONS:
            raise unknown("conversion", name, CONVERSIONS, "Write convert=[rate,crop], say.")


def check_same(then: PolicySpec, now: PolicySpec, what: str) -> list[str]:
    """For a resumed run: raise UserError if its environment or set has changed since it began. Returns the warnings
    about smaller changes."""
    if then == now:
        return []
    found = list(compare(then, now, "what is there now", Tolerance(), unknown_differs=False))
    if refused := [d for d in found if d.rule.kind == "refuse"]:
        raise UserError(_refusal(refused, f"of {what}", "what is there now") + " Restore that, or start a new run.")
    return [d.said for d in found]


# ------------------------------------------------------------------------------------------ comparing


def compare(
    spec: PolicySpec, there: Interface, where: str, tolerance: Tolerance, unknown_differs: bool = True
) -> Iterator[Difference]:
    """Every difference between what a policy needs and what is `there`, by the fields' rules.

    Two unknown units or meanings may differ, so by default they count as a difference. With `unknown_differs=False`
    they don't: then one thing is compared with itself at another time.
    """
    same = _equal if unknown_differs else lambda name, a, b: a == b == UNKNOWN or _equal(name, a, b)
    for part in dataclasses.fields(Interface):
        a, b = getattr(spec, part.name), getattr(there, part.name)
        if part.name == "cameras":
            yield from _cameras(a, b, where, tolerance)
        elif part.metadata.get("inside"):
            yield from _fields(part.name, a, b, where, same)
        elif not same(part.name, a, b):
            yield Difference(part.name, part.metadata["rule"], _said(part.name, a, b, where))


def _fields(name: str, a, b, where: str, same: Callable) -> Iterator[Difference]:
    """Differences in the fields of actions or proprioception. If their counts differ, only that is a difference."""
    if len(a.names) != len(b.names):
        what = {"action": "actions", "proprio": "numbers of proprioception"}[name]
        yield Difference(
            f"{name}.names",
            a.__dataclass_fields__["names"].metadata["rule"],
            f"it has {len(a.names)} {what} ({_some(a.names)}) and {where} {len(b.names)} ({_some(b.names)})",
        )
        return
    for part in dataclasses.fields(a):
        ours, theirs = getattr(a, part.name), getattr(b, part.name)
        if isinstance(ours, tuple):
            wrong = [i for i, pair in enumerate(zip(ours, theirs)) if not same(part.name, *pair)]
            if wrong:
                i, more = wrong[0], f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
                label = f"{name} {i}" + ("" if part.name == "names" else f", {a.names[i]},")
                yield Difference(
                    f"{name}.{part.name}",
                    part.metadata["rule"],
                    f"the {_WORD.get(part.name, part.name)} of {label} is {_text(ours[i])} in the policy and "
                    f"{_text(theirs[i])} in {where}{more}",
                )
        elif not same(part.name, ours, theirs):
            yield Difference(
                f"{name}.{part.name}", part.metadata["rule"], _said(f"{name}.{part.name}", ours, theirs, where)
            )


def _cameras(
    needed: tuple[CameraSpec, ...], there: tuple[CameraSpec, ...], where: str, tolerance: Tolerance
) -> Iterator[Difference]:
    """Compare each camera that the policy needs with the one of the same name. Other cameras don't matter."""
    rules = {f.name: f.metadata["rule"] for f in dataclasses.fields(CameraSpec)}
    shown = {camera.name: camera for camera in there}
    for a in needed:
        b = shown.get(a.name)
        if b is None:
            yield Difference(
                "cameras.name",
                rules["name"],
                f"it sees the {len(needed)} camera{'s' * (len(needed) > 1)} "
                f"{_some([c.name for c in needed])} and {where} shows {_some(list(shown)) or 'none'}",
            )
            continue
        if (a.width, a.height) != (b.width, b.height):
            yield Difference(
                "cameras.width",
                rules["width"],
                f"its pictures of the camera {a.name} have {a.width}×{a.height} pixels "
                f"and those of {where} {b.width}×{b.height}",
            )
        if a.crop != b.crop:
            yield Difference(
                "cameras.crop",
                rules["crop"],
                f"its pictures of the camera {a.name} are cut with crop={a.crop} and those "
                f"of {where} with crop={b.crop}",
            )
        yield from _pose(a, b, where, tolerance, rules)


def _pose(
    a: CameraSpec, b: CameraSpec, where: str, tolerance: Tolerance, rules: dict[str, Rule]
) -> Iterator[Difference]:
    known = [
        n
        for n in ("mount_parent", "mount_pos_m", "mount_quat", "fovy_deg")
        if None not in (getattr(a, n), getattr(b, n))
    ]
    missing = {"mount_pos_m": "place", "mount_quat": "direction", "fovy_deg": "field of view"}
    if lacks := [word for n, word in missing.items() if n not in known]:
        side = "the policy's folder" if a.fovy_deg is None or a.mount_pos_m is None else where
        yield Difference(
            "cameras.mount_parent",
            rules["mount_parent"],
            f"{side} does not say the camera {a.name}'s {', '.join(lacks)}, so nothing compares it",
        )
    if "mount_parent" in known and a.mount_parent != b.mount_parent:
        yield Difference(
            "cameras.mount_parent",
            rules["mount_parent"],
            f"the camera {a.name} is fixed to {a.mount_parent} in the "
            f"policy and to {b.mount_parent} in {where}, so nothing compares its pose",
        )
        known = [n for n in known if not n.startswith("mount")]
    told = {
        "mount_pos_m": ("stands", "mm", mount_mm),
        "mount_quat": ("looks", "°", mount_deg),
        "fovy_deg": ("sees", "%", fovy_percent),
    }
    for name in (n for n in told if n in known):
        verb, unit, measure = told[name]
        number, most = measure(a, b), getattr(tolerance, rules[name].tolerance)
        if number > most:
            rest = {"stands": "elsewhere", "looks": "elsewhere", "sees": "a field of another size"}[verb]
            yield Difference(
                f"cameras.{name}",
                rules[name],
                f"the camera {a.name} {verb} {rest} than in training: {number:.1f} {unit} "
                f"apart, where {most:g} {unit} are no difference",
            )


def mount_mm(a: CameraSpec, b: CameraSpec) -> float:
    """Millimetres between the positions of two cameras in one coordinate system."""
    assert a.mount_pos_m is not None and b.mount_pos_m is not None
    return 1e3 * math.dist(a.mount_pos_m, b.mount_pos_m)


def mount_deg(a: CameraSpec, b: CameraSpec) -> float:
    """Degrees of the rotation from one camera to the other."""
    p, q = a.mount_quat, b.mount_quat
    assert p is not None and q is not None
    dot = abs(sum(x * y for x, y in zip(p, q))) / math.hypot(*p) / math.hypot(*q)
    return math.degrees(2 * math.acos(min(1.0, dot)))


def fovy_percent(a: CameraSpec, b: CameraSpec) -> float:
    """Percent by which the second field of view is wider or narrower than the first."""
    assert a.fovy_deg is not None and b.fovy_deg is not None
    return 100 * abs(b.fovy_deg / a.fovy_deg - 1)


_WORD = {"names": "name", "units": "unit", "meanings": "meaning", "low": "low end", "high": "high end"}


def _equal(name: str, a, b) -> bool:
    if name == "robot":
        return robot_name(a) == robot_name(b) != UNKNOWN
    if name in ("units", "meanings") and UNKNOWN in (a, b):
        return False
    if name == "state_of":
        return not a or a == b
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return a == b


def _said(name: str, a, b, where: str) -> str:
    if name == "robot":
        return f"it is for the robot {a} and {where} is {b}"
    if name == "control_hz":
        return f"it acts at {a:g} Hz and {where} at {b:g} Hz"
    if name == "state_of":
        return f"it reads the true state of {a} and {where} gives {f'that of {b}' if b else 'none'}"
    return f"{name} is {_text(a)} in the policy and {_text(b)} in {where}"


def _text(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _some(names) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _told(differences: list[Difference]) -> str:
    more = f"; and {len(differences) - MOST_TOLD} more differences" if len(differences) > MOST_TOLD else ""
    return "; ".join(d.said for d in differences[:MOST_TOLD]) + more


def _refusal(refused: list[Difference], given: str, where: str) -> str:
    return f"The policy {given} does not fit {where}: {_told(refused)}."


def _remedy(about: About, spec: PolicySpec, there: Interface, keys: FitKeys, cuts: bool) -> str:
    """What to do: use the environment of its training, or the smallest set of conversions that make it fit."""
    trained = f" It was trained in {about.env}." if about.env else ""
    made = ("cameras.width", "cameras.crop") if cuts else ("cameras.width",)  # by the caller's camera
    for more in (chosen for count in (1, 2, 3) for chosen in combinations(CONVERSIONS, count)):
        try:
            after, _ = converted(spec, there, "", "", [*keys.convert, *more])
        except UserError:
            continue
        left = [d for d in compare(after, there, "", keys.tolerance) if d.rule.kind == "refuse"]
        if all(d.name in made and "crop" in more for d in left):
            asked = ",".join([*keys.convert, *more])
            return f"{trained} convert=[{asked}] runs it all the same: docs/policy_fit.md says how."
    return trained


def _unsaid(about: About, there: Interface, given: str, where: str, keys: FitKeys) -> Fit:
    """For a folder without a description, and without an environment of ours that could complete it."""
    counts, wanted = (about.proprio_dim, about.action_dim), (len(there.proprio.names), len(there.action.names))
    if keys.force and counts == wanted:
        return Fit(
            warnings=(
                f"the policy {given} does not say what its numbers mean: force=true runs it on {where} all the same",
            )
        )
    raise UserError(
        f"The policy {given} has {counts[0]} numbers of proprioception and {counts[1]} actions, {where} has "
        f"{wanted[0]} and {wanted[1]}, and its folder does not say what they mean. Train it again, which writes that; "
        "in simulation force=true runs a policy whose counts agree."
    )


# ------------------------------------------------------------------------------------------ the rules as a table


def rules() -> list[tuple[str, Rule]]:
    """(name, rule) of every field of a description, in order. Raises KeyError for a field without a rule."""
    return list(_rules(PolicySpec, ""))


def _rules(kind: Any, prefix: str) -> Iterator[tuple[str, Rule]]:
    hints = typing.get_type_hints(kind)
    for part in dataclasses.fields(kind):
        if part.metadata.get("inside"):
            inside: Any = hints[part.name]
            kinds = [k for k in (*typing.get_args(inside), inside) if dataclasses.is_dataclass(k)]
            yield from _rules(kinds[0], f"{prefix}{part.name}.")
        else:
            yield f"{prefix}{part.name}", part.metadata["rule"]


def table() -> str:
    """The rules as a table in Markdown."""
    unit = {"mount_mm": "mm", "mount_deg": "°", "fovy_percent": "%"}
    rows = ["| field | a difference | because | convert= |", "|---|---|---|---|"]
    for name, rule in rules():
        what = {"refuse": "is refused", "ignore": "does not matter", "warn": "is told"}[rule.kind]
        if rule.tolerance:
            what += (
                f" above {getattr(Tolerance(), rule.tolerance):g} {unit[rule.tolerance]} (`tolerance.{rule.tolerance}`)"
            )
        rows.append(f"| `{name}` | {what} | {rule.why} | {rule.convert} |")
    return "\n".join(rows)

"""What determines an environment, in values that can be stored and compared. A recording keeps them to know its
origin."""

import hashlib
import json

import numpy as np

from envs import scene
from envs.appearance import GREY_LOOKS, NOMINAL, randomised
from envs.looks import training_look


def describe(env) -> dict:
    """Everything that determines what `env` (a `RobotEnv`) shows and does, in JSON's types.

    The keys are `mjcf` (the composed text), `robot`, `protocol` and `task` (their public values) and `observation`. Two
    environments with equal descriptions agree in every pixel and every step, on one machine and one version of MuJoCo.
    """
    return {
        "mjcf": scene.mjcf(env.robot, type(env.task), env.protocol),
        "robot": _values(env.robot, skip=("body_mjcf", "defaults_mjcf", "extras_mjcf", "hand")),
        "protocol": _values(type(env.protocol)),
        "task": _values(type(env.task)),
        "observation": {
            "image_size": env.image_size,
            "shift": env.shift,
            "dof": env.dof,
            "appearance": env.appearance if isinstance(env.appearance, str) else repr(env.appearance),
            "nominal_look": _plain(NOMINAL),
            **_random_looks(env.appearance),
        },
    }


def _random_looks(appearance) -> dict:
    """A digest of the first random looks, for an appearance that draws them. It changes when their distribution
    does."""
    appearance = GREY_LOOKS.get(appearance, appearance) if isinstance(appearance, str) else appearance
    if appearance in ("near_nominal", "wide", "mixed"):
        draw = lambda rng: training_look(appearance, rng)
    elif appearance in ("random", "random_each_step"):
        draw = lambda rng: randomised(rng, clutter=False)
    else:
        return {}
    looks = [_plain(draw(np.random.default_rng(seed))) for seed in range(8)]
    numbers = [{name: value for name, value in look.items() if not name.endswith("_texture")} for look in looks]
    return {"random_looks": hashlib.sha256(json.dumps(numbers).encode()).hexdigest()}


def fingerprint(description: dict) -> str:
    """sha256 of the result of `describe`."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def difference(then: dict, now: dict) -> list[str]:
    """One phrase for each value in which two descriptions differ, e.g. "protocol.control_hz was 20.0, is 60.0"."""
    found = []
    for part in sorted(set(then) | set(now)):
        a, b = then.get(part), now.get(part)
        if a == b:
            continue
        if part == "mjcf" and isinstance(a, str) and isinstance(b, str):
            old, new = a.splitlines(), b.splitlines()
            first = next((i for i, (x, y) in enumerate(zip(old, new)) if x != y), min(len(old), len(new)))
            was, is_ = (lines[first].strip() if first < len(lines) else "(end)" for lines in (old, new))
            found.append(f"mjcf differs from line {first + 1} on: was {was!r}, is {is_!r}")
        elif isinstance(a, dict) and isinstance(b, dict):
            found += [
                f"{part}.{key} was {a.get(key, 'absent')!r}, is {b.get(key, 'absent')!r}"
                for key in sorted(set(a) | set(b))
                if a.get(key, "absent") != b.get(key, "absent")
            ]
        else:
            found.append(f"{part} was {a!r}, is {b!r}")
    return found


def _values(thing, skip: tuple[str, ...] = ()) -> dict:
    """The public attributes of an object or a class (with its bases) that are numbers, texts, arrays or tuples of
    those."""
    names = sorted(name for name in dir(thing) if not name.startswith("_") and name not in skip)
    plain = {name: _plain(getattr(thing, name)) for name in names}
    return {name: value for name, value in plain.items() if value is not NotImplemented}


def _plain(value):
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        items = [_plain(item) for item in value]
        return NotImplemented if any(item is NotImplemented for item in items) else items
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return NotImplemented

"""Puts the simulator into the recorded states of a set: the environment of the set, and a snapshot of each step.

On the arrow: `demos.store` → here → `demos.replay` compares the pictures, and `policies.cloning.redrawing` draws the
states in other looks.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

import envs
from demos.recording.recorder import STATE
from envs.fingerprint import describe, difference, fingerprint
from toto_robot.ground.errors import UserError, unknown


class SetOfStates(Protocol):
    """What is read here of a `demos.store.demo_set.DemoSet`."""

    attrs: dict
    meta_names: tuple[str, ...]
    episodes: int

    def meta(self, name: str) -> np.ndarray: ...


def environment_of(demos: SetOfStates, path, remedy: str, *, force: bool = False, **options):
    """The environment in which the set `demos` at `path` was recorded. `options` replace options of the recording.

    Raises UserError if the environment is not one of ours, or if it is another version than the recorded one. `force`
    accepts another version. `remedy` ends these messages.
    """
    name = demos.attrs.get("env")
    if name not in envs.names():
        raise unknown(
            "environment in the set's attributes",
            str(name),
            envs.names(),
            "Sets from elsewhere can be inspected, but not replayed.",
        )
    env = envs.make(name, **{**(demos.attrs.get("env_options") or {}), **options})
    env.reset(seed=0)
    now = describe(env)
    if demos.attrs.get("environment_fingerprint") != fingerprint(now) and not force:
        what = difference(demos.attrs.get("environment") or {}, now)
        shown = "; ".join(what[:6]) + (f"; and {len(what) - 6} more" if len(what) > 6 else "")
        raise UserError(
            f"{path} was recorded in another version of {name}: {shown or 'its description is missing'}. "
            f"Go back to that version, record it again, or {remedy}."
        )
    return env


def missing_states(keys) -> list[str]:
    """The keys of the recorded states that a set with `keys` lacks."""
    return [key for key in STATE if key not in keys]


def look_seeds(demos: SetOfStates) -> np.ndarray:
    """The seed of each episode's look, int64 (E,)."""
    return demos.meta("look_seed") if "look_seed" in demos.meta_names else np.zeros(demos.episodes, np.int64)


def snapshot(demos: SetOfStates, data: Mapping[str, np.ndarray], t: int, env, look_seed: int) -> dict:
    """What `env.restore` takes for step `t` of an episode whose arrays are `data`."""
    steps = t * round(env.control_hz / demos.attrs["control_hz"])  # of the environment; a set may keep every k-th
    success = bool(data["success"][t - 1]) if t and "success" in data else False
    return {key: data[key][t] for key in STATE} | {"steps": steps, "success": success, "look_seed": look_seed}

"""Reads a whole demonstration set and names each damage."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from demos.errors import DemoError
from demos.store.demo_set import DemoSet
from demos.store.schema import CAMERA
from toto_robot.ground.finite import first_not_finite

FINITE = ("action", "action_applied", "proprio", "reward", "timestamp_s", "sim_state")


def verify(path: str | Path, on_episode: Callable[[int], object] = lambda done: None) -> list[str]:
    """One sentence for each fault of the set at `path`; [] if the set is whole.

    Every byte is read, so every checksum is compared. Other faults are a number that is not finite, time that does not
    rise, and a `success` or a `length` that does not agree with the steps. `on_episode(k)` is called after k episodes.
    """
    try:
        demos = DemoSet(path)
        numbers = {name: demos.meta(name) for name in demos.meta_names}
    except DemoError as error:
        return [str(error)]
    found: list[str] = []
    for i in range(demos.episodes):
        data: dict[str, np.ndarray] = {}
        for key in demos.keys:
            try:
                value = demos.slice(key, i, 0, int(demos.lengths[i]))
            except DemoError as error:
                found.append(str(error))
                continue
            if not key.startswith(CAMERA):
                data[key] = value
        where = f"{path}: episode {i}"
        names = {"proprio": demos.attrs.get("proprio_names"), "action": demos.attrs["action"].get("names")}
        wrong = (first_not_finite({key: data[key]}, names) for key in FINITE if key in data)
        found += [f"{where}, {said}: not a finite number" for said in wrong if said]
        if "timestamp_s" in data and (np.diff(data["timestamp_s"]) <= 0).any():
            found.append(f"{where}: timestamp_s does not rise")
        if "success" in data and "success" in numbers and bool(data["success"].any()) != bool(numbers["success"][i]):
            found.append(f"{where}: meta/success says {bool(numbers['success'][i])}, its steps say otherwise")
        if "length" in numbers and numbers["length"][i] != demos.lengths[i]:
            found.append(f"{where}: meta/length says {numbers['length'][i]}, its span has {demos.lengths[i]} steps")
        on_episode(i + 1)
    return found

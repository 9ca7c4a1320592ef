"""Which episodes of a demonstration set are learned from, and their numbers: chosen, read once and checked.

On the arrow: `demos.store` → here → `policies.cloning.demonstrations` (features, batches). Everything that can be wrong
with a set is found here, before an encoder is loaded or an environment starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from policies.bookkeeping.config import check_further_looks
from policies.cloning.augment import AugmentConfig
from toto_robot.ground.errors import UserError
from toto_robot.ground.finite import first_not_finite

NUMBERS = ("proprio", "action", "action_applied")
"""Keys that are read as numbers. The last one need not be there."""


@dataclass
class DataConfig:
    """Which demonstrations are learned from, and how they are prepared."""

    use: int = 0
    """How many episodes; 0 for all. The first ones in the order of recording are used, so 30 are among the 60."""
    successes_only: bool = True
    """Leave out episodes that failed."""
    skip: list[int] = field(default_factory=list)
    """Episodes that are left out, by their number in the set (`python -m demos.inspect` lists them)."""
    held_out: float | None = None
    """Share of the episodes that are held out. The policy never learns from them, and its error on them is reported.
    Whole episodes, chosen by `seed`. null: 0.1 with env=none, where nothing else judges the policy, and 0 with an
    environment."""
    camera: str | None = None
    """The set's camera that the encoder sees (its rgb_<camera>). null: wrist, or the only camera of the set."""
    robot: str | None = None
    """The robot of an imported set that doesn't name it, e.g. fr3 or g1."""
    static_filter: bool = False
    """MVP's filter: keep a step only if a joint has moved by more than `static_rad` since the last kept step, or if the
    gripper's command has changed."""
    static_rad: float = 0.004
    """rad; the published value."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes in training. Where `also` is not empty, a frozen encoder sees them in its looks only."""
    also: list[str] = field(default_factory=list)
    """More looks of every recorded step, drawn anew in each step (with a history, in each episode): nominal,
    near_nominal, wide or mixed (envs/looks.py), as `dagger.also`. The set must hold the states of one of our
    environments. No physics runs; a look costs one drawing and one encoding a step, once."""
    look_seed: int = 0
    """Another number draws other looks in `also`. Runs with one number share the cached features, whatever their
    `seed`."""
    memory_gb: float = 4.0
    """Memory for the features of all steps and looks. More than this is read from a file beside the cache, and the
    policy is the same bit for bit."""

    def __post_init__(self) -> None:
        if self.use < 0 or self.static_rad < 0:
            raise UserError(f"data: expected use and static_rad >= 0, got {self.use} and {self.static_rad}.")
        if self.held_out is not None and not 0 <= self.held_out < 1:
            raise UserError(
                f"data.held_out={self.held_out}: expected a share of the episodes, from 0 to below 1, such as 0.1."
            )
        check_further_looks(self.also, "data.also")
        if self.look_seed < 0 or self.memory_gb < 0:
            raise UserError(f"data: expected look_seed and memory_gb >= 0, got {self.look_seed} and {self.memory_gb}.")
        if any(i < 0 for i in self.skip):
            raise UserError(f"data.skip={self.skip}: expected numbers of episodes, which count from 0.")


class DemoReader(Protocol):
    """The reading side of `demos.store.demo_set.DemoSet`."""

    attrs: dict
    keys: tuple[str, ...]
    meta_names: tuple[str, ...]
    episodes: int

    def episode(self, i: int, keys: Sequence[str]) -> dict[str, np.ndarray]: ...
    def meta(self, name: str) -> np.ndarray: ...


@dataclass
class Recorded:
    """The numbers of one episode, T steps."""

    index: int
    """The episode's number in the set."""
    numbers: dict[str, np.ndarray]
    """As the set stores them: proprio (T, P), action (T, A) and, if the set has it, action_applied (T, A)."""
    proprio: np.ndarray
    """(T, P) float32."""
    action: np.ndarray
    """(T, A) float32 in [-1, 1], as a policy outputs it: the label."""
    applied: np.ndarray
    """(T, A) float32 in [-1, 1]: what the robot got."""


def read_episodes(demos: DemoReader, config: DataConfig, needs: str | None, path) -> list[Recorded]:
    """The chosen episodes' numbers, in the order of recording.

    Raises UserError if the set lacks what a policy that `needs` rgb or None reads, if there are too few episodes, and
    if one of them has a number that is not finite.
    """
    if "proprio" not in demos.keys:
        raise UserError(f"{path} has no proprio, which a policy reads; it has {', '.join(demos.keys)}.")
    if needs == "rgb" and (key := f"rgb_{camera_of(demos, config)}") not in demos.keys:
        there = ", ".join(k.removeprefix("rgb_") for k in demos.keys if k.startswith("rgb_")) or "none"
        missing = f"data.camera={config.camera}: {path} has no {key}." if config.camera else ""
        missing = missing or f"{path} has no camera named wrist."
        raise UserError(f"{missing} Its cameras: {there}. Choose one by data.camera=NAME, or use encoder=none.")
    keys = [key for key in NUMBERS if key in demos.keys]
    read = {i: demos.episode(i, keys=keys) for i in choose(demos, config, path)}
    names = {"proprio": demos.attrs.get("proprio_names")} | dict.fromkeys(
        NUMBERS[1:], demos.attrs["action"].get("names")
    )
    if bad := [i for i, numbers in read.items() if first_not_finite(numbers, names)]:
        skip = ",".join(map(str, sorted({*config.skip, *bad})))
        raise UserError(
            f"{path}, episode {bad[0]}, {first_not_finite(read[bad[0]], names)}; expected a finite number. Leave out "
            f"every episode that has such numbers by data.skip=[{skip}], or repair the recording and import it again."
        )
    recorded = []
    for i, numbers in read.items():
        action = scaled(demos.attrs, numbers["action"], path)
        executed = numbers.get("action_applied")
        applied = action if executed is None else scaled(demos.attrs, executed, path)
        recorded.append(Recorded(i, numbers, np.asarray(numbers["proprio"], np.float32), action, applied))
    return recorded


def choose(demos: DemoReader, config: DataConfig, path) -> list[int]:
    """Indices of the episodes that `config` chooses, in the order of recording. Raises UserError for too few."""
    if absent := [i for i in config.skip if i >= demos.episodes]:
        raise UserError(f"data.skip={absent}: {path} has {demos.episodes} episodes, 0 to {demos.episodes - 1}.")
    order = list(range(demos.episodes))
    if "index" in demos.meta_names:  # episodes that ran side by side are stored in the order in which they ended
        order = [int(i) for i in np.argsort(demos.meta("index"), kind="stable")]
    if config.successes_only and "success" in demos.meta_names:
        success = demos.meta("success")
        order = [i for i in order if success[i]]
    order = [i for i in order if i not in config.skip]
    wanted = config.use or len(order)
    if not order or wanted > len(order):
        skipped = f", {len(config.skip)} left out by data.skip" if config.skip else ""
        raise UserError(
            f"data.use={config.use}: {path} has {demos.episodes} episodes, {len(order)} of them "
            f"{'successful' if config.successes_only else 'usable'}{skipped}. Record more, or use fewer."
        )
    return order[:wanted]


def camera_of(demos: DemoReader, config: DataConfig) -> str:
    """The camera that `config` names; by default wrist, or the only camera of the set."""
    cameras = [key.removeprefix("rgb_") for key in demos.keys if key.startswith("rgb_")]
    return config.camera or ("wrist" if "wrist" in cameras or len(cameras) != 1 else cameras[0])


def moving(joints_rad: np.ndarray, gripper: np.ndarray, least_rad: float) -> np.ndarray:
    """Indices of the steps that MVP's static filter keeps, from joint positions (T, J) in rad and gripper commands
    (T, G), of which the sign counts."""
    kept = [0]
    for t in range(1, len(joints_rad)):
        moved = np.abs(joints_rad[t] - joints_rad[kept[-1]]).max() > least_rad
        if moved or (np.sign(gripper[t]) != np.sign(gripper[kept[-1]])).any():
            kept.append(t)
    return np.array(kept)


def bounds(attrs: dict, path) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of a set's actions, each float32 (A,) or ().

    An action that never changes by more than float32's rounding gets a range of a thousandth around it. This way any
    output of a policy stays near it. Raises UserError for bounds that are not finite, or if low is above high.
    """
    given = [attrs["action"].get(key) for key in ("low", "high")]
    low, high = (np.asarray(end if one is None else one, np.float32) for one, end in zip(given, (-1, 1)))
    if not (np.isfinite(low).all() and np.isfinite(high).all() and low.shape == high.shape and (high >= low).all()):
        raise UserError(f"{path}: expected finite action bounds low <= high in its attributes, got {low} and {high}.")
    size = np.maximum(np.abs(low), np.abs(high))
    around = np.where(high - low > 1e-6 * size, 0, np.maximum(1, size) / 1024).astype(np.float32)
    return low - around, high + around


def scaled(attrs: dict, action: np.ndarray, path) -> np.ndarray:
    """A set's actions scaled by its own bounds, as a policy outputs them: float32 in [-1, 1]."""
    low, high = bounds(attrs, path)
    return np.asarray(2 * (action - low) / (high - low) - 1, np.float32)

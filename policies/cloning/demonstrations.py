"""Demonstrations as training data: which episodes and steps count, their features, steps and windows."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policies.cloning.augment import AugmentConfig, augment
from policies.features.cache import FeatureCache, digest
from policies.features.features import Features
from policies.memory import Window
from policies.seeds import stream
from toto_robot.ground.errors import UserError


@dataclass
class DataConfig:
    """Which demonstrations are learned from, and how they are prepared."""

    use: int = 0
    """How many episodes; 0 for all. The first in the order in which they were recorded, so 30 are among the 60."""
    successes_only: bool = True
    """Leave out episodes that failed."""
    skip: list[int] = field(default_factory=list)
    """Episodes that are left out, by their number in the set (`python -m demos.inspect` lists them)."""
    held_out: float | None = None
    """Share of the episodes that are held out: the policy never learns from them, and its error on them is reported. Whole
    episodes, chosen by `seed`. null: 0.1 with env=none, where nothing else judges the policy, and 0 with an environment."""
    camera: str | None = None
    """The set's camera that the encoder sees (its rgb_<camera>). null: wrist, or the only one that the set has."""
    robot: str | None = None
    """The robot of a set from elsewhere that doesn't say it, e.g. fr3 or g1."""
    static_filter: bool = False
    """MVP's: keep a step only if a joint has moved by more than `static_rad` since the last kept one, or the gripper's
    command has changed."""
    static_rad: float = 0.004
    """rad; published."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes in training."""

    def __post_init__(self) -> None:
        if self.use < 0 or self.static_rad < 0:
            raise UserError(f"data: expected use and static_rad >= 0, got {self.use} and {self.static_rad}.")
        if self.held_out is not None and not 0 <= self.held_out < 1:
            raise UserError(
                f"data.held_out={self.held_out}: expected a share of the episodes, from 0 to below 1, such as 0.1."
            )
        if any(i < 0 for i in self.skip):
            raise UserError(f"data.skip={self.skip}: expected numbers of episodes, which count from 0.")


class Demonstrations:
    """The kept steps of the chosen episodes, in memory: N steps of E episodes, in `copies` looks of each frame."""

    def __init__(
        self,
        features: Tensor,
        proprio: Tensor,
        action: Tensor,
        applied: Tensor,
        lengths: list[int],
        copies: int = 1,
        kept: list[tuple[int, np.ndarray]] | None = None,
    ):
        """features (copies · N, *shape), look after look; proprio (N, P); action and applied (N, A) in [-1, 1]. `kept`: the set's
        episode and its steps that were kept, for each of `lengths`."""
        self.features, self.proprio, self.action, self.applied = features, proprio, action, applied
        self.copies, self.episodes, self.kept = copies, len(lengths), kept or []
        ends = torch.tensor(lengths).cumsum(0)
        counts = torch.tensor(lengths)
        self.first = (ends - counts).repeat_interleave(counts)
        """(N,) the first step of each step's episode."""
        self.last = (ends - 1).repeat_interleave(counts)
        """(N,) its last one."""
        self.fingerprint = digest(*(t.numpy().tobytes() for t in (self.proprio, self.action, self.applied, ends)))

    def __len__(self) -> int:
        return len(self.action)

    def batch(self, steps: Tensor, look: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, proprioception and labels of `steps` (B,), seen in `look` (B,) of the copies."""
        return self._seen(steps, look), self.proprio[steps], self.action[steps]

    def windows(self, steps: Tensor, look: Tensor, context: int, chunk: int) -> tuple[Window, Tensor, Tensor]:
        """What a policy with a context sees at `steps` (B,), the next `chunk` labels (B, K, A), and which of them are
        inside the episode (B, K)."""
        back = steps[:, None] + torch.arange(1 - context, 1)
        valid = back >= self.first[steps, None]
        back = torch.maximum(back, self.first[steps, None])
        past = self.applied[back] * valid[..., None]
        past[:, -1] = 0
        ahead = steps[:, None] + torch.arange(chunk)
        there = ahead <= self.last[steps, None]
        labels = self.action[torch.minimum(ahead, self.last[steps, None])]
        return Window(self._seen(back, look[:, None]), self.proprio[back], past, valid), labels, there

    def _seen(self, steps: Tensor, look: Tensor) -> Tensor:
        """Features of `steps` in `look`, by NumPy: torch copies frames byte by byte, in four times the time."""
        rows = look * len(self) + steps
        return torch.from_numpy(self.features.numpy().take(rows.numpy(), 0))


def load_demonstrations(
    path: str | Path,
    config: DataConfig,
    features: Features,
    cache: str | Path | None,
    *,
    binary: tuple[int, ...] = (),
    joints_rad: Callable[[dict, np.ndarray], np.ndarray] | None = None,
    demos: Any = None,
    episodes: list[int] | None = None,
    on_episode: Callable[[int, int], None] = lambda done, of: None,
) -> Demonstrations:
    """The demonstrations of the set at `path`; `demos` takes the place of a `DemoSet` opened there, and `episodes` of those
    that `choose` gives.

    Frozen features come from `cache` where they are there; frames that the policy's own network sees (uint8) are kept
    as they are. `joints_rad(attrs, proprio)` gives joint positions (T, J) for the static filter, `binary` the gripper.
    """
    demos = demos if demos is not None else _open(path)
    chosen = choose(demos, config, path) if episodes is None else episodes
    frozen = features.needs == "rgb" and features.dtype != torch.uint8
    copies = 1 + config.augment.copies if frozen and config.augment.changes_frames else 1
    key = check_keys(demos, config, features.needs, path)
    looks = [_Look(features, cache, demos, key, config.augment, copy) for copy in range(copies)]
    looked: list[list[Tensor]] = []
    numbers: list[tuple[Tensor, ...]] = []
    kept: list[tuple[int, np.ndarray]] = []
    for done, i in enumerate(chosen):
        names = [k for k in ("proprio", "action", "action_applied") if k in demos.keys]
        small = demos.episode(i, keys=names)
        action = scaled(demos.attrs, small["action"], path)
        applied = scaled(demos.attrs, small["action_applied"], path) if "action_applied" in small else action
        proprio = np.asarray(small["proprio"], np.float32)
        keep = np.arange(len(action))
        if config.static_filter:
            assert joints_rad is not None
            keep = moving(joints_rad(demos.attrs, proprio), action[:, list(binary)], config.static_rad)
        frames = _Once(lambda i=i: demos.episode(i, keys=[key])[key])
        looked.append([look(i, small, frames)[keep] for look in looks])
        numbers.append(tuple(torch.from_numpy(x[keep]) for x in (proprio, action, applied)))
        kept.append((i, keep))
        on_episode(done + 1, len(chosen))
    stacked = torch.cat([episode[copy] for copy in range(copies) for episode in looked])
    lengths = [len(keep) for _, keep in kept]
    proprios, actions, applieds = (torch.cat(column) for column in zip(*numbers))
    return Demonstrations(stacked, proprios, actions, applieds, lengths, copies, kept)


def check_keys(demos, config: DataConfig, needs: str | None, path) -> str:
    """The key of the pictures that a policy sees. UserError where the set lacks what one that `needs` rgb or None reads."""
    key = f"rgb_{camera_of(demos, config)}"
    if "proprio" not in demos.keys:
        raise UserError(f"{path} has no proprio, which a policy reads; it has {', '.join(demos.keys)}.")
    if needs == "privileged":
        raise UserError("encoder=privileged: demonstrations hold no privileged state. Use an encoder of frames.")
    if needs == "rgb" and key not in demos.keys:
        there = ", ".join(k.removeprefix("rgb_") for k in demos.keys if k.startswith("rgb_")) or "none"
        said = (
            f"data.camera={config.camera}: {path} has no {key}."
            if config.camera
            else f"{path} has no camera named wrist."
        )
        raise UserError(f"{said} Its cameras: {there}. Choose one by data.camera=NAME, or use encoder=none.")
    return key


def choose(demos, config: DataConfig, path) -> list[int]:
    """Indices of the episodes that are used, in the order in which they were attempted. Raises UserError where there are too
    few, and where one of them holds a number that is not finite."""
    if absent := [i for i in config.skip if i >= demos.episodes]:
        raise UserError(f"data.skip={absent}: {path} has {demos.episodes} episodes, 0 to {demos.episodes - 1}.")
    order = list(range(demos.episodes))
    names = getattr(demos, "meta_names", ("success",))
    if "index" in names:  # several side by side are stored in the order in which they ended
        order = [int(i) for i in np.argsort(demos.meta("index"), kind="stable")]
    if config.successes_only and "success" in names:
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
    check_finite(demos, order[:wanted], config.skip, path)
    return order[:wanted]


def moving(joints_rad: np.ndarray, gripper: np.ndarray, least_rad: float) -> np.ndarray:
    """Indices of the steps that MVP's static-frame filter keeps: (T, J) rad, (T, G) commands, whose sign counts."""
    kept = [0]
    for t in range(1, len(joints_rad)):
        moved = np.abs(joints_rad[t] - joints_rad[kept[-1]]).max() > least_rad
        if moved or (np.sign(gripper[t]) != np.sign(gripper[kept[-1]])).any():
            kept.append(t)
    return np.array(kept)


def bounds(attrs: dict, path) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), each float32 (A,) or (), that a set's actions lie between. An action that never changes by more than the rounding of
    float32 has a range of a thousandth around it, so that whatever a policy gives for it stays there.

    Raises UserError for bounds that are not finite, or the wrong way round.
    """
    said = [attrs["action"].get(key) for key in ("low", "high")]
    low, high = (np.asarray(end if one is None else one, np.float32) for one, end in zip(said, (-1, 1)))
    if not (np.isfinite(low).all() and np.isfinite(high).all() and low.shape == high.shape and (high >= low).all()):
        raise UserError(f"{path}: expected finite action bounds low <= high in its attributes, got {low} and {high}.")
    size = np.maximum(np.abs(low), np.abs(high))
    around = np.where(high - low > 1e-6 * size, 0, np.maximum(1, size) / 1024).astype(np.float32)
    return low - around, high + around


def scaled(attrs: dict, action: np.ndarray, path) -> np.ndarray:
    """Actions as a policy gives them, float32 in [-1, 1], by the set's own bounds."""
    low, high = bounds(attrs, path)
    return np.asarray(2 * (action - low) / (high - low) - 1, np.float32)


def camera_of(demos, config: DataConfig) -> str:
    """The camera that `config` names, wrist, or the only one of the set."""
    cameras = [key.removeprefix("rgb_") for key in demos.keys if key.startswith("rgb_")]
    return config.camera or ("wrist" if "wrist" in cameras or len(cameras) != 1 else cameras[0])


def check_finite(demos, episodes: list[int], skipped: list[int], path) -> None:
    """UserError that names the first number that is not finite, and all of `episodes` that have one."""
    names = {"proprio": demos.attrs.get("proprio_names"), "action": demos.attrs["action"].get("names")}
    names["action_applied"] = names["action"]
    first, bad = "", []
    for i in episodes:
        for key, value in demos.episode(i, keys=[k for k in names if k in demos.keys]).items():
            wrong = np.argwhere(~np.isfinite(value))
            if len(wrong) and i not in bad:
                bad.append(i)
                step, column = (int(at) for at in wrong[0])
                called = names[key][column] if names[key] and column < len(names[key]) else f"column {column}"
                first = first or f"episode {i}, step {step}: {key} {called} is {value[step, column]}"
    if bad:
        skip = ",".join(map(str, sorted({*skipped, *bad})))
        raise UserError(
            f"{path}, {first}; expected a finite number. Leave out every episode that has such numbers by data.skip=[{skip}], or "
            "repair the recording and import it again."
        )


class _Once:
    """A value that is made when first asked for."""

    def __init__(self, make: Callable):
        self.make, self.value = make, None

    def __call__(self):
        if self.value is None:
            self.value = self.make()
        return self.value


class _Look:
    """Features of whole episodes in one look: the frames as they are (copy 0), or augmented."""

    def __init__(self, features: Features, cache, demos, key: str, config: AugmentConfig, copy: int):
        self.features, self.demos, self.key, self.copy = features, demos, key, copy
        self.config = replace(config, proprio_std=0.0, copies=1)
        self.frozen = features.needs == "rgb" and features.dtype != torch.uint8
        look = asdict(self.config) if copy else None
        self.cache = None
        if cache and self.frozen:
            self.cache = FeatureCache(cache, features.fingerprint, features.config.crop, look)

    def __call__(self, i: int, small: dict, frames: _Once) -> Tensor:
        length = len(small["action"])
        if self.features.needs is None:
            return self.features({"proprio": small["proprio"]})
        numbers = (np.ascontiguousarray(value).tobytes() for value in small.values())
        name = digest(self.demos.attrs, self.key, self.copy, *numbers)

        def make() -> Tensor:
            pictures = frames()
            if self.copy:
                generator = torch.Generator().manual_seed(stream("augment", self.copy, name)[0])
                pictures = augment(torch.from_numpy(pictures), self.config, generator).numpy()
            return self.features({"rgb": pictures, "proprio": small["proprio"]})

        if self.cache is None:
            return make()
        return self.cache.get(name, (length, *self.features.shape), self.features.dtype, make)


def _open(path: str | Path):
    from demos.store.demo_set import DemoSet

    return DemoSet(path)

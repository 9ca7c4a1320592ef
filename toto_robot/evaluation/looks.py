"""The looks table: how another look of the same states changes codes, features and the error of a probe.

All measures use one set of states that is drawn under many looks. `toto_robot/looks.py` draws the set; this file only
measures. Every number has a bootstrap interval over episodes, because two frames of one episode are not independent.

Shapes: N states, S tokens a frame, D feature dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from toto_robot.evaluation.probe import RIDGES, Ridge, error_mm, split
from toto_robot.features.encoder import Encoder
from toto_robot.features.pooling import pool
from toto_robot.tokens.training.scores import block_colours
from toto_robot.video.frames import to_float01
from toto_robot.video.jitter import MEASURED

RESAMPLES = 1000
"""Bootstrap samples of an interval."""
PAIRS = 1000
"""Pairs of different episodes behind the change between states."""


@dataclass
class States:
    """The same states under several looks."""

    frames: dict[str, np.ndarray]
    """By look: uint8 (N, H, W, 3). Row i of every look shows the same state."""
    position_m: np.ndarray
    """float32 (N, 3): the centre of the cube in the frame of the hand, which the probe predicts."""
    episode: np.ndarray
    """int (N,)."""
    step: np.ndarray
    """int (N,): the control step of the state."""

    def __post_init__(self) -> None:
        lengths = {len(self.position_m), len(self.episode), len(self.step), *map(len, self.frames.values())}
        if len(lengths) != 1:
            raise ValueError(f"paired looks need one row for each state in every look, got lengths {sorted(lengths)}")


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g}–{self.high:.3g})"


@dataclass(frozen=True)
class Looks:
    """The numbers of the looks table."""

    changed: dict[str, Interval]
    """By look: share of the codes of a frame that differ from those of the nominal look of the same state."""
    between: Interval
    """Share of the codes that differ between two states in the nominal look. It is small if the codes have
    collapsed."""
    codes_used: dict[str, int]
    """Number of distinct codes on the test states, in the nominal look and in all looks."""
    distance: dict[tuple[str, int], dict[str, Interval]]
    """By input and layer, then by look: how far the look moves a feature, in distances between two states."""
    probe: dict[tuple[str, str, int], dict[str, Interval]]
    """By training looks, input and layer, then by look: error of the probe in millimetres, over all probe seeds."""
    guess_mm: float
    """Error of predicting the mean position for every state, in millimetres."""
    real: dict[str, Interval] = field(default_factory=dict)
    """By jitter: share of the codes that change on frames of real video."""


def bootstrap(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> Interval:
    """The mean of `values` (N,) with its interval. It resamples whole episodes: equal numbers in `groups` (N,)."""
    _, group = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(group, values), np.bincount(group)
    drawn = np.random.default_rng(seed).integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return Interval(float(np.mean(values)), *map(float, np.percentile(means, [2.5, 97.5])))


def codes_changed(codes: Tensor, other: Tensor) -> np.ndarray:
    """Share of the codes of each frame that differ: (N, S) and (N, S) → float (N,)."""
    return (codes != other).float().mean(1).cpu().numpy()


def pairs_of_states(episode: np.ndarray, step: np.ndarray, seed: int = 0) -> np.ndarray:
    """int (PAIRS, 2): the rows of two states of different episodes at the same step."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, int]] = []
    while len(found) < PAIRS:
        a, b = rng.integers(len(episode), size=2)
        if episode[a] != episode[b] and step[a] == step[b]:
            found.append((a, b))
    return np.array(found)


def moved(features: Tensor, other: Tensor, pairs: np.ndarray) -> np.ndarray:
    """How far a look moves each state, in distances between two states: (N, D) and (N, D) → (N,).

    Both are divided by the deviation of each dimension over `features`, as a policy normalises features.
    """
    scale = features.std(0).clamp_min(0.1 * features.std(0).mean() + 1e-6)
    a, b = features / scale, other / scale
    between = (a[pairs[:, 0]] - a[pairs[:, 1]]).norm(dim=1).mean()
    return ((a - b).norm(dim=1) / between).cpu().numpy()


def everything(
    encoder: Encoder, random_weights: Encoder | None
) -> Callable[[np.ndarray], dict[tuple[str, int], Tensor]]:
    """A function from frames to the features of each input, (N, D) by (name, layer).

    mean pixels: the mean colour of each patch. hidden: the input of the tokenizer's last layer. codes: codebook
    vectors. toto and random weights: every layer. All are pooled to the 4×4 grid of the encoder.
    """
    tokenizer, grid = encoder.tokenizer, encoder.grid

    @torch.inference_mode()
    def read(frames: np.ndarray) -> dict[tuple[str, int], Tensor]:
        parts: dict[tuple[str, int], list[Tensor]] = {}

        def add(name: str, layer: int, tokens_BSD: Tensor) -> None:
            parts.setdefault((name, layer), []).append(pool(tokens_BSD, "grid", grid).flatten(1))

        for start in range(0, len(frames), 64):
            part = frames[start : start + 64]
            codes = encoder.codes(part)
            add("mean pixels", 0, block_colours(part, tokenizer.patch).flatten(1, 2) / 255)
            if hasattr(tokenizer, "hidden"):
                add("tokenizer hidden", 0, tokenizer.hidden(to_float01(part)).flatten(2).transpose(1, 2))
            add("codes", 0, torch.nn.functional.embedding(codes.long(), tokenizer.codebook()))
            for name, model in (("toto", encoder), ("random weights", random_weights)):
                if model is not None and model.toto is not None:
                    for i, layer_BGD in enumerate(model.every_layer(codes)):
                        parts.setdefault((name, i + 1), []).append(layer_BGD.flatten(1))
        return {key: torch.cat(value).float() for key, value in parts.items()}

    return read


def probe_errors(
    x: Tensor, y_m: Tensor, episode: np.ndarray, tests: dict[str, tuple[Tensor, Tensor]], seed: int
) -> dict:
    """Errors in millimetres by look, float (M,) each: ridge regression on x (N, D) and y_m (N, 3).

    It is tested on each (features, positions) of `tests`. The penalty is the one with the smallest error on a quarter
    of the training episodes.
    """
    inner_train, inner_test = (torch.from_numpy(m) for m in split(episode, 0.25, seed))
    solver = Ridge(x[inner_train], y_m[inner_train])
    errors = {p: error_mm(solver.fit(p).predict(x[inner_test]), y_m[inner_test]) for p in RIDGES}
    best = Ridge(x, y_m).fit(min(errors, key=errors.__getitem__))
    return {
        look: (1000 * (best.predict(features) - truth_m).norm(dim=1)).numpy()
        for look, (features, truth_m) in tests.items()
    }


def measure(
    encoder: Encoder,
    random_weights: Encoder | None,
    train: States,
    test: States,
    *,
    seeds: int,
    tell: Callable[[str], None] = lambda text: None,
) -> Looks:
    """The looks table of `encoder` over `train` and `test`.

    Both have a look called "nominal". `train` also has "random k" for each of the `seeds` probe seeds k.
    """
    # 1. Codes and features of every look.
    tell("reading codes and features")
    read = everything(encoder, random_weights)
    codes = {
        look: torch.cat([encoder.codes(f[i : i + 64]) for i in range(0, len(f), 64)]) for look, f in test.frames.items()
    }
    seen = {look: read(frames) for look, frames in test.frames.items()}
    taught = {look: read(frames) for look, frames in train.frames.items()}
    pairs, nominal = pairs_of_states(test.episode, test.step), codes["nominal"]
    others = [look for look in codes if look != "nominal"]
    truth, y = torch.from_numpy(test.position_m), torch.from_numpy(train.position_m)
    # 2. Probes, trained on nominal looks, on random looks, and on half of each.
    probe: dict[tuple[str, str, int], dict[str, list]] = {}
    for seed in range(seeds):
        tell(f"probes, seed {seed + 1} of {seeds}")
        even = torch.arange(len(y)) % 2 == 0
        for key in seen["nominal"]:
            plain, random = taught["nominal"][key], taught[f"random {seed}"][key]
            mixed = torch.where(even[:, None], plain, random)
            tests = {look: (features[key], truth) for look, features in seen.items()}
            for trained, x in (("nominal", plain), ("random", random), ("mixed", mixed)):
                for look, errors in probe_errors(x, y, train.episode, tests, seed).items():
                    probe.setdefault((trained, *key), {}).setdefault(look, []).append(errors)
    # 3. The numbers, with intervals over episodes.
    return Looks(
        changed={look: bootstrap(codes_changed(nominal, codes[look]), test.episode) for look in others},
        between=bootstrap(codes_changed(nominal[pairs[:, 0]], nominal[pairs[:, 1]]), test.episode[pairs[:, 0]]),
        codes_used={"nominal": len(nominal.unique()), "all": len(torch.cat(list(codes.values())).unique())},
        distance={
            key: {look: bootstrap(moved(seen["nominal"][key], seen[look][key], pairs), test.episode) for look in others}
            for key in seen["nominal"]
        },
        probe={
            key: {look: bootstrap(np.mean(errors, axis=0), test.episode) for look, errors in tested.items()}
            for key, tested in probe.items()
        },
        guess_mm=error_mm(y.mean(0), truth),
    )


def measure_real(encoder: Encoder, frames: np.ndarray, video: np.ndarray) -> dict[str, Interval]:
    """By jitter: share of the codes of real frames uint8 (N, H, W, 3) that change. Intervals are over videos."""
    plain = encoder.codes(frames)
    return {
        name: bootstrap(codes_changed(plain, encoder.codes(change(frames, np.random.default_rng(i)))), video)
        for i, (name, change) in enumerate(MEASURED.items())
    }

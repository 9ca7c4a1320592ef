"""The look of a policy's training pictures, and whether live frames look the same: in, doubtful or out.

Each statistic is a normal distribution of a few numbers (exposure 4, colour 4, sharpness 1, noise 1, the feature's D),
with a covariance that is shrunk towards a diagonal. Distances have the training pictures' own unit: 99 % of them stay
within it when they are compared with pictures of other episodes. Thus a policy that was trained on many looks has wide
limits, and one that was trained on a single look has narrow limits. Live frames are judged together, by the median of
each number.

The share of codes that training never saw can make a verdict doubtful, but never out. In pictures of 100 random looks,
half of the codes of the plain scene were new, and everything else was near (docs/real_robot.md).

On the arrow: `sample` → here → the policy's folder → `deploy.check` and the preflight of run_real.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from policies.look.picture import GROUPS, NUMBERS, columns
from policies.look.rows import Rows, measure
from toto_robot.ground.errors import UserError

FRAMES = 30
"""Live frames that are judged together."""
IN, UNSURE, OUT, UNKNOWN = "in", "doubtful", "out", "unknown"
DOUBTFUL = 1.0
"""Above this many units the verdict is doubtful."""
FAR = 2.0
"""Above this many units the verdict is out. Chosen on the watching seeds: there the nominal look of franka_cube stays
below 1.4, and 95 % of the lights are above 5.7 (docs/real_robot.md)."""
SHARE, FOLDS, SHRINK, MOST = 0.99, 4, 0.01, 64
"""The share of the training pictures within one unit; the parts of the episodes that are held out in turn; the share of
the mean variance that is added to every direction; the directions of a feature that have a variance of their own (the
others share one)."""
FEATURE_FLOOR, CODES_FLOOR = 1e-4, 0.02
"""The smallest standard deviation of a feature's entry; the smallest unit of the share of unseen codes."""
CALLED = {"features": "feature distance", "codes": "share of unseen codes"}
"""Name → the words for people."""
BAND = (0.005, 0.995)
"""A number between these quantiles of the training pictures is called usual."""
LEAST = 20
"""Fewer training pictures than this are not enough for statistics."""


@dataclass
class Normal:
    """A normal distribution, described by its main directions."""

    mean: np.ndarray
    """(D,)"""
    scale: np.ndarray
    """(D,) standard deviations, at least the floor."""
    axes: np.ndarray
    """(K, D) orthonormal directions in the scaled space."""
    variance: np.ndarray
    """(K + 1,) the variance along each direction, and the one of all other directions."""

    @classmethod
    def fit(cls, x: np.ndarray, floor: np.ndarray | float) -> "Normal":
        """Fit the distribution to rows x (N, D)."""
        x = np.asarray(x, np.float64)
        mean, scale = x.mean(0), np.sqrt(x.var(0) + np.square(floor))
        z = (x - mean) / scale
        covariance = z.T @ z / len(z) + np.diag(np.square(np.broadcast_to(floor, scale.shape) / scale))
        values, vectors = np.linalg.eigh(covariance)
        values = values[::-1].clip(0) + SHRINK * values.mean()
        axes = vectors.T[::-1]
        # Libraries of linear algebra differ in the sign of an eigenvector.
        axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
        rest = values[MOST:].mean() if len(values) > MOST else 1.0
        return cls(mean, scale, axes[:MOST], np.append(values[:MOST], rest))

    def distance(self, x: np.ndarray) -> np.ndarray:
        """(N,) the Mahalanobis distance of rows x (N, D), as a root mean square over the D directions."""
        z = (np.asarray(x, np.float64) - self.mean) / self.scale
        along = z @ self.axes.T
        rest = (z**2).sum(1) - (along**2).sum(1)
        square = (along**2 / self.variance[:-1]).sum(1) + rest.clip(0) / self.variance[-1]
        return np.sqrt(square / len(self.mean))


@dataclass
class Verdict:
    """What live frames look like to a policy."""

    verdict: str
    """in, doubtful, out, or unknown."""
    said: str
    """One sentence, without the verdict."""
    far: dict[str, float]
    """The distance of each statistic. 99 % of the training pictures stay within 1."""

    def __str__(self) -> str:
        return f"{self.verdict}: {self.said}"


class TrainingLook:
    """The statistics of a policy's training pictures. `tensors` has all of them."""

    def __init__(self, tensors: dict[str, Tensor], frames: int, episodes: int):
        self.tensors, self.frames, self.episodes = tensors, frames, episodes
        values = {name: tensor.numpy() for name, tensor in tensors.items()}
        names = [name.removesuffix(".mean") for name in values if name.endswith(".mean")]
        try:
            self.normals = {
                n: Normal(*(values[f"{n}.{k}"] for k in ("mean", "scale", "axes", "variance"))) for n in names
            }
            self.units = {name: float(values[f"{name}.unit"]) for name in names}
            self.usual, self.seen = values["usual"], values.get("codes.seen")
            self.units |= {"codes": float(values["codes.unit"])} if self.seen is not None else {}
            whole = all(np.isfinite(v).all() for v in values.values()) and min(self.units.values()) > 0
            whole &= self.usual.shape == (2, len(NUMBERS)) and set(GROUPS) <= set(names) <= {*GROUPS, "features"}
            whole &= all(_fits(n) for n in self.normals.values())
            whole &= all(len(self.normals[group].mean) == len(columns(group)) for group in GROUPS)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the statistics of the training pictures lack {error}") from error
        if not whole:
            raise UserError("the statistics of the training pictures hold numbers that don't fit together")

    @classmethod
    def fit(cls, rows: Rows) -> "TrainingLook | None":
        """The statistics of rows of training pictures. None for too few rows."""
        if len(rows) < LEAST:
            return None
        tensors = {"usual": np.quantile(rows.numbers, BAND, axis=0)}
        for group in GROUPS:
            floor = np.array([NUMBERS[i].floor for i in columns(group)])
            tensors |= _described(group, rows.numbers[:, columns(group)], floor, rows.episode)
        if rows.pooled.shape[1]:
            tensors |= _described("features", rows.pooled, FEATURE_FLOOR, rows.episode)
        if rows.codes.shape[1]:
            held = _held_out(rows.codes, rows.episode, lambda codes: lambda others: unseen(others, np.unique(codes)))
            tensors |= {"codes.seen": np.unique(rows.codes), "codes.unit": max(_unit(held), CODES_FLOOR)}
        return cls(
            {k: torch.from_numpy(np.array(v)) for k, v in tensors.items()}, len(rows), len(np.unique(rows.episode))
        )

    def judge(self, rows: Rows) -> Verdict:
        """The verdict on live frames."""
        numbers = np.median(rows.numbers, 0)
        far = {group: self._far(group, numbers[columns(group)]) for group in GROUPS}
        if "features" in self.normals:
            far["features"] = self._far("features", np.median(rows.pooled, 0))
        if self.seen is not None:
            far["codes"] = float(np.median(unseen(rows.codes, self.seen)) / self.units["codes"])
        counted = {name: min(value, DOUBTFUL * 1.5) if name == "codes" else value for name, value in far.items()}
        most = max(counted, key=lambda name: counted[name])
        verdict = OUT if counted[most] > FAR else UNSURE if counted[most] > DOUBTFUL else IN
        return Verdict(verdict, self._said(verdict, most, far, numbers), {n: round(v, 3) for n, v in far.items()})

    def look_at(self, features, frames: np.ndarray) -> Verdict:
        """The verdict on live frames uint8 (N, H, W, 3), as a policy with `features` sees them. Equal frames, such as
        those of a simulated camera, are measured once."""
        first = {frame.tobytes(): i for i, frame in reversed(list(enumerate(frames)))}
        places = sorted(first.values())
        rows = measure(features, np.stack([frames[i] for i in places]))
        where = {frames[i].tobytes(): k for k, i in enumerate(places)}
        again = [where[frame.tobytes()] for frame in frames]
        return self.judge(Rows(rows.numbers[again], rows.pooled[again], rows.codes[again], rows.episode[again]))

    def _far(self, name: str, x: np.ndarray) -> float:
        return float(self.normals[name].distance(x[None])[0]) / self.units[name]

    def _said(self, verdict: str, most: str, far: dict[str, float], numbers: np.ndarray) -> str:
        unit = f"as far off as {100 * SHARE:.0f} % of the training pictures stay within"
        if verdict == IN:
            return f"no statistic is {unit}; furthest is {CALLED.get(most, most)}, {far[most]:.1f} of that"
        beyond = sorted((n for n in far if far[n] > DOUBTFUL and n != most), key=lambda name: far[name], reverse=True)
        # A person can correct the light, but not a feature.
        explained = next((n for n in (most, *beyond) if n in GROUPS), most)
        details = {n: self._detail(n, far, numbers) for n in (most, explained)}
        more = ", ".join(f"{CALLED.get(n, n)} {far[n]:.1f} times{details.get(n, '')}" for n in beyond)
        return f"{CALLED.get(most, most)} is {far[most]:.1f} times {unit}{details[most]}" + f"; {more}" * bool(more)

    def _detail(self, name: str, far: dict[str, float], numbers: np.ndarray) -> str:
        """The number of the statistic that is furthest outside of its usual range, in words for people."""
        if name == "codes":
            return f" ({100 * far[name] * self.units[name]:.0f} % of the codes were never seen in training)"
        if name == "features":
            return ""
        low, high = self.usual
        floor = np.array([number.floor for number in NUMBERS])
        beyond = np.maximum(low - numbers, numbers - high) / (high - low + floor)
        i = max(columns(name), key=lambda k: beyond[k])
        said, shown = NUMBERS[i].said, NUMBERS[i].shown
        return f" ({said} {shown(numbers[i]):.3g}, in training {shown(low[i]):.3g} to {shown(high[i]):.3g})"


def unknown(policy: str) -> Verdict:
    """The verdict of a policy without statistics."""
    return Verdict(
        UNKNOWN,
        f"the policy {policy} has no statistics of its training pictures; "
        f"`python -m toto_robot.add_look {policy}` adds them",
        {},
    )


def unseen(codes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(N,) the share of each picture's codes (N, S) that are not in `seen`."""
    return (~np.isin(codes, seen)).mean(1)


def _fits(normal: Normal) -> bool:
    k, d = normal.axes.shape
    return (
        normal.mean.shape == normal.scale.shape == (d,)
        and normal.variance.shape == (k + 1,)
        and bool((normal.scale > 0).all() and (normal.variance > 0).all())
    )


def _described(name: str, x: np.ndarray, floor, episode: np.ndarray) -> dict[str, np.ndarray]:
    """A statistic's normal distribution and its unit, which is at least 1 standard deviation, because of the floor."""
    normal = Normal.fit(x, floor)
    held = _held_out(x, episode, lambda some: Normal.fit(some, floor).distance)
    small = {key: value.astype(np.float32) for key, value in vars(normal).items()}
    return {f"{name}.{key}": value for key, value in small.items()} | {
        f"{name}.unit": np.float32(max(_unit(held), 1.0))
    }


def _held_out(x: np.ndarray, episode: np.ndarray, fit: Callable) -> np.ndarray:
    """`fit(others)(mine)` for each row of x, where `others` are rows of other episodes. A single episode is compared
    with itself."""
    episodes = np.unique(episode)
    out = []
    for part in range(min(FOLDS, len(episodes))):
        mine = np.isin(episode, episodes[part::FOLDS])
        out.append(fit(x[~mine] if len(episodes) > 1 else x)(x[mine]))
    return np.concatenate(out)


def _unit(distances: np.ndarray) -> float:
    return float(np.quantile(distances, SHARE))

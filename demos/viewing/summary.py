"""What a set holds, in numbers. Every number that inspection prints comes from here."""

from pathlib import Path

import numpy as np

from demos.store.demo_set import DemoSet
from demos.store.schema import CAMERA

LATE = 1.5
"""A step counts as dropped frames if it comes more than this number of control periods after the one before."""


def summarise(demos: DemoSet) -> dict:
    """{episodes, steps, lengths, success, rate, ranges, size_mb, per_episode} of a set; None for what is unknown."""
    success = demos.meta("success") if "success" in demos.meta_names else None
    per_episode = [episode_row(demos, i) for i in range(demos.episodes)]
    rates = [row["measured_hz"] for row in per_episode if row["measured_hz"] is not None]
    dropped = [row["dropped"] for row in per_episode if row["dropped"] is not None]
    lengths = demos.lengths
    return {
        "episodes": demos.episodes,
        "steps": demos.steps,
        "length": _spread(lengths) if demos.episodes else None,
        "seconds": demos.steps / demos.attrs["control_hz"],
        "successes": None if success is None else int(success.sum()),
        "control_hz": demos.attrs["control_hz"],
        "measured_hz": _spread(np.array(rates)) if rates else None,
        "dropped_frames": sum(dropped) if dropped else None,
        "size_mb": round(sum(p.stat().st_size for p in Path(demos.path).rglob("*") if p.is_file()) / 1e6, 3),
        "keys": {key: {"dtype": demos.dtype(key).name, "step": list(demos.shape(key))} for key in demos.keys},
        "ranges": {key: ranges(demos, key) for key in demos.keys if is_vector(demos, key)},
        "per_episode": per_episode,
    }


def is_vector(demos: DemoSet, key: str) -> bool:
    """Whether a step of `key` is a few numbers: not a picture, not a state of the simulator."""
    return not key.startswith(CAMERA) and not key.endswith("_state") and len(demos.shape(key)) <= 1


def episode_row(demos: DemoSet, i: int) -> dict:
    """{episode, length, success, seed, return, measured_hz, dropped} of one episode."""
    names, length = demos.meta_names, int(demos.lengths[i])
    rate, dropped = None, None
    if "timestamp_s" in demos.keys:
        rate, dropped = timing(demos.slice("timestamp_s", i, 0, length), demos.attrs["control_hz"])
    reward = float(demos.slice("reward", i, 0, length).sum()) if "reward" in demos.keys else None
    return {
        "episode": i,
        "length": length,
        "success": bool(demos.meta("success")[i]) if "success" in names else None,
        "seed": int(demos.meta("seed")[i]) if "seed" in names else None,
        "return": reward,
        "measured_hz": rate,
        "dropped": dropped,
    }


def timing(times_s: np.ndarray, control_hz: float) -> tuple[float | None, int]:
    """(average rate in Hz, dropped frames) of the timestamps of an episode: n - 1 frames lack in a gap of n periods."""
    gaps = np.diff(times_s) * control_hz
    if not len(gaps) or gaps.sum() <= 0:
        return None, 0
    missing = np.where(gaps > LATE, np.round(gaps) - 1, 0)
    return float(control_hz * len(gaps) / gaps.sum()), int(np.maximum(missing, 0).sum())


def ranges(demos: DemoSet, key: str) -> dict[str, list[float]]:
    """{min, max, mean, std} of each component of `key` over all steps, read one episode at a time."""
    if not demos.episodes:
        return {"min": [], "max": [], "mean": [], "std": []}
    low, high, total, square = np.inf, -np.inf, 0.0, 0.0
    for i in range(demos.episodes):
        x = demos.slice(key, i, 0, int(demos.lengths[i])).reshape(int(demos.lengths[i]), -1).astype(np.float64)
        low, high = np.minimum(low, x.min(0)), np.maximum(high, x.max(0))
        total, square = total + x.sum(0), square + np.square(x).sum(0)
    mean = total / demos.steps
    std = np.sqrt(np.maximum(square / demos.steps - mean**2, 0))
    return {name: np.asarray(v).tolist() for name, v in (("min", low), ("max", high), ("mean", mean), ("std", std))}


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"min": float(values.min()), "mean": float(values.mean()), "max": float(values.max())}

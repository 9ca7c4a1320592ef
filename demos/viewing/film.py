"""Plays a set without an environment: its pictures side by side, and its actions as bars under them.

On the arrow: `demos.store`, or a set of another format → here. `demos.replay` uses it for sets that no environment of
ours can simulate.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from demos.store.schema import CAMERA

HEIGHT_PX, BARS_PX = 256, 64
BACKGROUND, INK, ZERO = (24, 24, 24), (90, 170, 250), (120, 120, 120)


class Playable(Protocol):
    """What is read here of a set."""

    attrs: dict
    keys: tuple[str, ...]

    def episode(self, i: int, keys: Sequence[str] | None = None) -> dict[str, np.ndarray]: ...


def frames_of(demos: Playable, i: int) -> Iterator[np.ndarray]:
    """The frames of a film of episode `i`, each uint8 (H, W, 3): all cameras at one height, the actions under them."""
    cameras = [key for key in demos.keys if key.startswith(CAMERA)]
    data = demos.episode(i, [*cameras, "action"])
    low, high = (np.broadcast_to(end, data["action"].shape[1]) for end in _range(demos.attrs, data["action"]))
    for t, action in enumerate(data["action"]):
        shown = [_scaled(data[key][t]) for key in cameras] or [np.zeros((8, HEIGHT_PX, 3), np.uint8)]
        picture = np.concatenate(shown, 1)
        share = (action - low) / np.where(high > low, high - low, 1)
        yield np.concatenate([picture, _bars(np.clip(np.where(high > low, share, 0.5), 0, 1), picture.shape[1])], 0)


def _range(attrs: dict, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    said = attrs.get("action") or {}
    low, high = said.get("low"), said.get("high")
    return (
        np.asarray(actions.min(0) if low is None else low, np.float64),
        np.asarray(actions.max(0) if high is None else high, np.float64),
    )


def _scaled(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    rows = np.arange(HEIGHT_PX) * height // HEIGHT_PX
    columns = np.arange(max(1, round(width * HEIGHT_PX / height)))
    return frame[rows[:, None], np.minimum(columns * height // HEIGHT_PX, width - 1)]


def _bars(shares: np.ndarray, width: int) -> np.ndarray:
    """One bar for each action, from the middle of its range (grey line) to its value."""
    strip = np.full((BARS_PX, width, 3), BACKGROUND, np.uint8)
    edges, middle = np.linspace(0, width, len(shares) + 1).astype(int), BARS_PX // 2
    for share, left, right in zip(shares, edges, edges[1:]):
        top = round((BARS_PX - 1) * (1 - float(share)))
        strip[min(top, middle) : max(top, middle) + 1, left : max(left + 1, right - 1)] = INK
    strip[middle] = ZERO
    return strip

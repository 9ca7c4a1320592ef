"""A sample of a policy's training pictures, from DAgger's rounds, from demonstrations, or from an environment.

The choice of the pictures is a function of the seed and of their number, so a resumed run ends with the same sample.

On the arrow: the trainers draw it, and `training_look` computes its statistics.
"""

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from policies.cloning.augment import AugmentConfig, augment
from policies.look.rows import Rows, measure
from policies.look.training_look import TrainingLook
from policies.seeds import stream, training_seed

if TYPE_CHECKING:
    from policies.cloning.demonstrations import Demonstrations
    from policies.cloning.redrawing import Redrawing

SIZE = 1000
"""Pictures in the sample. Twice as many led to the same verdicts."""


class LookSample:
    """About `SIZE` pictures of a run that will collect `total` steps, evenly over its pieces.

    Call `piece` before and `end` after each piece, and `offer` for each step. Only the present piece's pictures are in
    memory. Earlier pictures are already reduced to their rows.
    """

    def __init__(self, features, total: int, seed: int):
        self.features, self.total, self.seed = features, total, seed
        self.parts: list[Rows] = []
        self._quota = 0

    def piece(self, start: int, stop: int, *key: int) -> None:
        """The steps from `start` to `stop` of the run follow. `key` identifies the piece."""
        share = [SIZE * at // self.total for at in (start, stop)]
        self._quota = share[1] - share[0] if self.features.needs == "rgb" else 0
        self._rng = np.random.default_rng(stream(self.seed, "look", *key))
        self._held: list[tuple] = []

    def offer(
        self, frames: np.ndarray | None, features: Tensor | None, wanted: np.ndarray, episode: np.ndarray
    ) -> None:
        """A step's frames (N, H, W, 3), their features if they are known, and the seeds of their episodes. Only frames
        that are `wanted` (N,) can be drawn."""
        if not self._quota or frames is None:
            return
        lots = self._rng.random(len(wanted))
        for i in np.flatnonzero(wanted):
            if len(self._held) == self._quota and -lots[i] <= self._held[0][0]:
                continue
            kept = (-lots[i], int(episode[i]), np.array(frames[i]), None if features is None else features[i].clone())
            (heapq.heappush if len(self._held) < self._quota else heapq.heapreplace)(self._held, kept)

    def end(self) -> None:
        """Compute the rows of the pictures that were drawn from the piece."""
        if self._quota and self._held:
            _, episode, frames, features = zip(*sorted(self._held, key=lambda kept: kept[0]))
            known = None if features[0] is None else torch.stack(features)
            self.parts.append(measure(self.features, np.stack(frames), np.array(episode), known))
        self._held = []

    def look(self) -> TrainingLook | None:
        """The statistics of the sample. None for a policy without pictures, or for too few pictures."""
        return TrainingLook.fit(Rows.join(self.parts)) if self.parts else None

    def state(self) -> dict[str, Tensor]:
        """The sample so far, as tensors."""
        return Rows.join(self.parts).tensors() if self.parts else {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        self.parts = [Rows.of_tensors(tensors)] if tensors else []


def look_of_demonstrations(
    demos: Any,
    camera: str,
    data: "Demonstrations",
    features,
    augmenting: AugmentConfig,
    seed: int,
    redrawing: "Redrawing | None" = None,
) -> TrainingLook | None:
    """The look of the kept steps in `data`. The frames are read from the set `demos`, even if their features came from
    a cache, and changed as in training. With `redrawing`, each step is in one of its looks."""
    if features.needs != "rgb":
        return None
    # 1. The steps, each with its episode.
    rng = np.random.default_rng(stream(seed, "look"))
    steps = np.sort(rng.permutation(len(data))[:SIZE])
    first = np.unique(data.first.numpy())
    of = np.searchsorted(first, steps, side="right") - 1
    copy = np.zeros(len(steps), int) if redrawing is None else rng.integers(data.copies, size=len(steps))
    # 2. Their frames.
    frames = []
    for e in np.unique(of):
        episode, kept = data.kept[e]
        here = np.flatnonzero(of == e)
        at = kept[steps[here] - first[e]]
        pictures = demos.episode(episode, keys=[f"rgb_{camera}"])[f"rgb_{camera}"][at]
        if redrawing is not None and (drawn := np.flatnonzero(copy[here])).size:
            pictures[drawn] = redrawing(episode, at[drawn])[np.arange(len(drawn)), copy[here][drawn] - 1]
        frames.append(pictures)
    pictures = np.concatenate(frames)
    if not augmenting.changes_frames:
        known = None if data.history else data.seen(torch.from_numpy(steps), torch.from_numpy(copy))
        return TrainingLook.fit(measure(features, pictures, of, known))
    # 3. A frozen encoder sees the recorded frame unchanged in one of its `copies`. A trained network only sees changed
    # frames.
    if redrawing is not None and features.dtype != torch.uint8:
        changed = copy > 0
    else:
        changed = rng.integers(data.copies, size=len(steps)) > 0 if data.copies > 1 else np.ones(len(steps), bool)
    generator = torch.Generator().manual_seed(stream(seed, "look", "augment")[0])
    pictures[changed] = augment(torch.from_numpy(pictures[changed]), augmenting, generator).numpy()
    return TrainingLook.fit(measure(features, pictures, of))


def look_of_set(demos: Any, camera: str, episodes: list[int], features, seed: int) -> TrainingLook | None:
    """The look of the unchanged frames in these `episodes` of the set `demos`."""
    sample = LookSample(features, 1, seed)
    sample.piece(0, 1)
    for i in episodes:
        frames = demos.episode(i, keys=[f"rgb_{camera}"])[f"rgb_{camera}"]
        sample.offer(frames, None, np.ones(len(frames), bool), np.full(len(frames), i))
    sample.end()
    return sample.look()


def look_of_environment(
    env, label: Callable, features, episodes: int, seed: int, on_episode: Callable[[int], None] = lambda done: None
) -> TrainingLook | None:
    """The look of `episodes` episodes of `env` (a `RobotEnv`) in which the expert `label(env)` acts, on training
    seeds."""
    sample = LookSample(features, 1, seed)
    sample.piece(0, 1)
    for i in range(episodes):
        episode = training_seed(seed, i)
        obs, over = env.reset(seed=episode)[0], False
        while not over:
            sample.offer(obs["rgb"][None], None, np.ones(1, bool), np.array([episode]))
            obs, _, ends, late, _ = env.step(label(env))
            over = ends or late
        on_episode(i + 1)
    sample.end()
    return sample.look()

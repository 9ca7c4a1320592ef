"""A sample of the pictures that a policy is trained on: drawn while DAgger collects, from demonstrations, or from an environment.

Which pictures are drawn is a function of the seed and of how many there are, so a run that was resumed ends with the same ones.
"""

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policies.cloning.augment import AugmentConfig, augment
from policies.look.rows import Rows, measure
from policies.look.training_look import TrainingLook
from policies.seeds import stream, training_seed

SIZE = 1000
"""Pictures that are kept. Twice as many gave the same verdicts."""


class LookSample:
    """About `SIZE` of the pictures of a run that will collect `total` steps, evenly over its pieces. `piece` and `end` enclose a
    piece, `offer` gives the pictures of a step. Only a piece's own pictures are held; of the others their rows are."""

    def __init__(self, features, total: int, seed: int):
        self.features, self.total, self.seed = features, total, seed
        self.parts: list[Rows] = []
        self._quota = 0

    def piece(self, start: int, stop: int, *key: int) -> None:
        """The steps from `start` to `stop` of the run follow; `key` names the piece among all."""
        share = [SIZE * at // self.total for at in (start, stop)]
        self._quota = share[1] - share[0] if self.features.needs == "rgb" else 0
        self._rng = np.random.default_rng(stream(self.seed, "look", *key))
        self._held: list[tuple] = []

    def offer(
        self, frames: np.ndarray | None, features: Tensor | None, wanted: np.ndarray, episode: np.ndarray
    ) -> None:
        """A step's frames (N, H, W, 3) with their features, where those are known, and the seeds of their episodes; those that are
        `wanted` (N,) bool may be drawn."""
        if not self._quota or frames is None:
            return
        lots = self._rng.random(len(wanted))
        for i in np.flatnonzero(wanted):
            if len(self._held) == self._quota and -lots[i] <= self._held[0][0]:
                continue
            kept = (-lots[i], int(episode[i]), np.array(frames[i]), None if features is None else features[i].clone())
            (heapq.heappush if len(self._held) < self._quota else heapq.heapreplace)(self._held, kept)

    def end(self) -> None:
        """Measures what was drawn from the piece."""
        if self._quota and self._held:
            _, episode, frames, features = zip(*sorted(self._held, key=lambda kept: kept[0]))
            known = None if features[0] is None else torch.stack(features)
            self.parts.append(measure(self.features, np.stack(frames), np.array(episode), known))
        self._held = []

    def look(self) -> TrainingLook | None:
        """The statistics of all that was drawn; None for a policy without pictures, and for too few of them."""
        return TrainingLook.fit(Rows.join(self.parts)) if self.parts else None

    def state(self) -> dict[str, Tensor]:
        """What was drawn so far, as tensors."""
        return Rows.join(self.parts).tensors() if self.parts else {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.parts = [Rows.of_tensors(tensors)] if tensors else []


def look_of_demonstrations(
    demos: Any, camera: str, data, features, augmenting: AugmentConfig, seed: int
) -> TrainingLook | None:
    """Of the frames of the kept steps in `data` (`policies.cloning.demonstrations`), read from the set `demos` also where their features
    came from a cache; changed at random as in training."""
    if features.needs != "rgb":
        return None
    rng = np.random.default_rng(stream(seed, "look"))
    steps = np.sort(rng.permutation(len(data))[:SIZE])
    first = np.unique(data.first.numpy())
    of = np.searchsorted(first, steps, side="right") - 1
    frames = []
    for e in np.unique(of):
        episode, kept = data.kept[e]
        frames.append(demos.episode(episode, keys=[f"rgb_{camera}"])[f"rgb_{camera}"][kept[steps[of == e] - first[e]]])
    pictures = np.concatenate(frames)
    if not augmenting.changes_frames:
        return TrainingLook.fit(measure(features, pictures, of, data.features[steps]))
    # a frozen encoder sees each frame as it is in one of its `copies`; a network that is trained sees none as it is
    changed = rng.integers(data.copies, size=len(steps)) > 0 if data.copies > 1 else np.ones(len(steps), bool)
    generator = torch.Generator().manual_seed(stream(seed, "look", "augment")[0])
    pictures[changed] = augment(torch.from_numpy(pictures[changed]), augmenting, generator).numpy()
    return TrainingLook.fit(measure(features, pictures, of))


def look_of_set(demos: Any, camera: str, episodes: list[int], features, seed: int) -> TrainingLook | None:
    """Of the frames of these `episodes` of the set `demos`, as they are."""
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
    """Of `episodes` episodes of `env` (a `RobotEnv`), driven by the expert `label(env)`, at seeds of the training range."""
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

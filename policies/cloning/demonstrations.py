"""Demonstrations as training data: features of the chosen episodes, and batches of steps and windows.

On the arrow: `policies.cloning.episodes` (numbers) and the set's frames → features, from the encoder or its cache →
batches for `policies.cloning.cloner`.
"""

import functools
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from policies.cloning.augment import AugmentConfig, augment
from policies.cloning.episodes import DataConfig, DemoReader, Recorded, camera_of, moving
from policies.features.cache import FeatureCache, digest
from policies.features.features import Features
from policies.memory import Window
from policies.seeds import stream


class Demonstrations:
    """The kept steps of the chosen episodes, in memory: N steps of E episodes, with `copies` looks of each frame."""

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
        """features (copies · N, *shape), look after look; proprio (N, P); action and applied (N, A) in [-1, 1].
        `kept` has the set's episode and its kept steps for each of `lengths`."""
        self.features, self.proprio, self.action, self.applied = features, proprio, action, applied
        self.copies, self.episodes, self.kept = copies, len(lengths), kept or []
        ends = torch.tensor(lengths).cumsum(0)
        counts = torch.tensor(lengths)
        self.first = (ends - counts).repeat_interleave(counts)
        """(N,) the first step of each step's episode."""
        self.last = (ends - 1).repeat_interleave(counts)
        """(N,) the last step of each step's episode."""
        self.fingerprint = digest(*(t.numpy().tobytes() for t in (self.proprio, self.action, self.applied, ends)))

    def __len__(self) -> int:
        return len(self.action)

    def batch(self, steps: Tensor, look: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, proprioception and labels of `steps` (B,), each seen in its `look` (B,) of the copies."""
        return self._seen(steps, look), self.proprio[steps], self.action[steps]

    def windows(self, steps: Tensor, look: Tensor, context: int, chunk: int) -> tuple[Window, Tensor, Tensor]:
        """What a policy with a context sees at `steps` (B,), the next `chunk` labels (B, K, A), and which of the labels
        are inside the episode (B, K)."""
        # 1. The context: steps before the episode's start repeat its first step, and are not valid.
        back = steps[:, None] + torch.arange(1 - context, 1)
        valid = back >= self.first[steps, None]
        back = torch.maximum(back, self.first[steps, None])
        # 2. The actions taken so far. The present one is unknown.
        past = self.applied[back] * valid[..., None]
        past[:, -1] = 0
        # 3. The labels: the actions from the present step on.
        ahead = steps[:, None] + torch.arange(chunk)
        there = ahead <= self.last[steps, None]
        labels = self.action[torch.minimum(ahead, self.last[steps, None])]
        return Window(self._seen(back, look[:, None]), self.proprio[back], past, valid), labels, there

    def _seen(self, steps: Tensor, look: Tensor) -> Tensor:
        """Features of `steps` in `look`. NumPy takes them: torch copies frames byte by byte, in four times the time."""
        rows = look * len(self) + steps
        return torch.from_numpy(self.features.numpy().take(rows.numpy(), 0))


def load_demonstrations(
    demos: DemoReader,
    recorded: list[Recorded],
    config: DataConfig,
    features: Features,
    cache: str | Path | None,
    *,
    augmenting: AugmentConfig | None = None,
    binary: tuple[int, ...] = (),
    joints_rad: Callable[[dict, np.ndarray], np.ndarray] | None = None,
    on_episode: Callable[[int, int], None] = lambda done, of: None,
) -> Demonstrations:
    """The training data from the episodes `recorded` of the set `demos`.

    Frozen features come from `cache` if they are there. Frames that the policy's own network sees stay uint8.
    `augmenting` replaces `config.augment`. `joints_rad(attrs, proprio)` gives joint positions (T, J) for the static
    filter, and `binary` the gripper's actions.
    """
    encode = EpisodeEncoder(demos, f"rgb_{camera_of(demos, config)}", features, cache, augmenting or config.augment)
    looks: list[list[Tensor]] = []
    columns: list[tuple[Tensor, ...]] = []
    kept: list[tuple[int, np.ndarray]] = []
    for done, episode in enumerate(recorded):
        # 1. The steps that are kept, and their numbers.
        keep = np.arange(len(episode.action))
        if config.static_filter:
            assert joints_rad is not None
            joints = joints_rad(demos.attrs, episode.proprio)
            keep = moving(joints, episode.action[:, list(binary)], config.static_rad)
        kept.append((episode.index, keep))
        columns.append(tuple(torch.from_numpy(x[keep]) for x in (episode.proprio, episode.action, episode.applied)))
        # 2. Their features, in every look.
        looks.append([look[keep] for look in encode(episode)])
        on_episode(done + 1, len(recorded))
    stacked = torch.cat([episode[copy] for copy in range(encode.copies) for episode in looks])
    proprios, actions, applieds = (torch.cat(column) for column in zip(*columns))
    lengths = [len(steps) for _, steps in kept]
    return Demonstrations(stacked, proprios, actions, applieds, lengths, encode.copies, kept)


class EpisodeEncoder:
    """Features (T, *shape) of whole episodes in every look: the frames unchanged (copy 0), then augmented copies."""

    def __init__(self, demos: DemoReader, key: str, features: Features, cache, augmenting: AugmentConfig):
        self.demos, self.key, self.features = demos, key, features
        frozen = features.needs == "rgb" and features.dtype != torch.uint8
        self.copies = 1 + augmenting.copies if frozen and augmenting.changes_frames else 1
        self.augmenting = replace(augmenting, proprio_std=0.0, copies=1)  # only what a frame depends on
        self.caches: list[FeatureCache] = []
        """For the frames unchanged, and for the augmented ones; empty where nothing is cached."""
        if cache and frozen:
            looks = (None, asdict(self.augmenting))
            self.caches = [FeatureCache(cache, features.fingerprint, features.config.crop, look) for look in looks]

    def __call__(self, episode: Recorded) -> list[Tensor]:
        """The features in every look. The frames are read only if the cache lacks one of them."""
        if self.features.needs is None:
            return [self.features({"proprio": episode.numbers["proprio"]})]
        read_frames = functools.cache(lambda: self.demos.episode(episode.index, keys=[self.key])[self.key])
        numbers = [np.ascontiguousarray(value).tobytes() for value in episode.numbers.values()]
        looks = []
        for copy in range(self.copies):
            name = digest(self.demos.attrs, self.key, copy, *numbers)
            compute = functools.partial(self._compute, episode, copy, name, read_frames)
            shape = (len(episode.action), *self.features.shape)
            cache = self.caches[min(copy, 1)] if self.caches else None
            looks.append(compute() if cache is None else cache.get(name, shape, self.features.dtype, compute))
        return looks

    def _compute(self, episode: Recorded, copy: int, name: str, read_frames: Callable[[], np.ndarray]) -> Tensor:
        frames = read_frames()
        if copy:
            generator = torch.Generator().manual_seed(stream("augment", copy, name)[0])
            frames = augment(torch.from_numpy(frames), self.augmenting, generator).numpy()
        return self.features({"rgb": frames, "proprio": episode.numbers["proprio"]})

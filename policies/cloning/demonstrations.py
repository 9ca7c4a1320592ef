"""Demonstrations as training data: features of the chosen episodes, and batches of steps and windows.

On the arrow: `policies.cloning.episodes` (numbers) and the set's frames → features, from the encoder or its cache →
batches for `policies.cloning.cloner`.
"""

import functools
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from policies.cloning.augment import AugmentConfig, augment
from policies.cloning.episodes import DataConfig, DemoReader, Recorded, camera_of, moving
from policies.features.cache import FeatureCache, digest
from policies.features.feature_rows import FeatureRows
from policies.features.features import EncoderFeatures, Features
from policies.history import History, of_episode
from policies.memory import Window
from policies.seeds import stream

if TYPE_CHECKING:  # it loads zarr
    from policies.cloning.redrawing import Redrawing


class Demonstrations:
    """The kept steps of the chosen episodes: N steps of E episodes, with `copies` looks of each frame."""

    def __init__(
        self,
        features: FeatureRows,
        proprio: Tensor,
        action: Tensor,
        applied: Tensor,
        lengths: list[int],
        copies: int = 1,
        kept: list[tuple[int, np.ndarray]] | None = None,
        history: History | None = None,
        past: Tensor | None = None,
    ):
        """features: copies · N rows, look after look; proprio (N, P); action and applied (N, A) in [-1, 1].
        `kept` has the set's episode and its kept steps for each of `lengths`.

        With a `history` of stacked frames, `features` has a row for each recorded step in each look, and `past` (N, F)
        has the rows of each kept step's history in the first look."""
        self.features, self.proprio, self.action, self.applied = features, proprio, action, applied
        self.copies, self.episodes, self.kept = copies, len(lengths), kept or []
        self.history, self.past = history, past
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
        return self.seen(steps, look), self.proprio[steps], self.action[steps]

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
        return Window(self.seen(back, look[:, None]), self.proprio[back], past, valid), labels, there

    def seen(self, steps: Tensor, look: Tensor) -> Tensor:
        """Features of `steps` (...) in `look` (...), or look 0: the frames as they were recorded."""
        rows_in_a_look = self.features.count // self.copies
        if self.past is None:
            return self.features.take(look * rows_in_a_look + steps)
        assert self.history is not None
        stacked = self.features.take((look * rows_in_a_look)[..., None] + self.past[steps])
        return self.history.join(stacked, self.features.shape)


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
    redrawing: "Redrawing | None" = None,
    history: History | None = None,
) -> Demonstrations:
    """The training data from the episodes `recorded` of the set `demos`.

    Frozen features come from `cache` if they are there. Frames that the policy's own network sees stay uint8.
    `augmenting` replaces `config.augment`. `joints_rad(attrs, proprio)` gives joint positions (T, J) for the static
    filter, and `binary` the gripper's actions. `redrawing` adds the looks that it draws. `history`: the frames that the
    policy sees beside the newest one.
    """
    key = f"rgb_{camera_of(demos, config)}"
    encode = EpisodeEncoder(demos, key, features, cache, augmenting or config.augment, redrawing, history)
    # 1. The steps that are kept, and their numbers.
    kept = [(episode.index, _kept(episode, demos.attrs, config, binary, joints_rad)) for episode in recorded]
    columns = [
        [torch.from_numpy(x[keep]) for x in (episode.proprio, episode.action, episode.applied)]
        for episode, (_, keep) in zip(recorded, kept)
    ]
    proprios, actions, applieds = (torch.cat(column) for column in zip(*columns))
    # 2. Their features, in every look, one episode after the other.
    #    A stack is made of single frames when a minibatch asks for it, also of frames at steps that are not kept.
    stacks = history is not None and history.form == "stack"
    stored = [np.arange(len(episode.action)) if stacks else keep for episode, (_, keep) in zip(recorded, kept)]
    steps = sum(map(len, stored))
    rows = FeatureRows(encode.copies * steps, features.shape, features.dtype, config.memory_gb, cache)
    start, past = 0, []
    for done, (episode, (_, keep), store) in enumerate(zip(recorded, kept, stored)):
        for copy, look in enumerate(encode(episode)):
            rows.put(copy * steps + start, look[store])
        if stacks and history is not None:
            past.append(torch.from_numpy(start + history.steps(keep)))
        start += len(store)
        on_episode(done + 1, len(recorded))
    lengths = [len(keep) for _, keep in kept]
    frames = torch.cat(past) if past else None
    return Demonstrations(rows, proprios, actions, applieds, lengths, encode.copies, kept, history, frames)


def _kept(episode: Recorded, attrs: dict, config: DataConfig, binary: tuple[int, ...], joints_rad) -> np.ndarray:
    """The steps of an episode that are kept."""
    if not config.static_filter:
        return np.arange(len(episode.action))
    return moving(joints_rad(attrs, episode.proprio), episode.action[:, list(binary)], config.static_rad)


class EpisodeEncoder:
    """Features (T, *shape) of whole episodes in every look.

    Copy 0 has the frames unchanged. The other copies are the frames that `redrawing` draws, each augmented, or without
    it augmented copies of the recorded frames. The policy's own network sees frames that `cloner` augments.
    """

    def __init__(
        self,
        demos: DemoReader,
        key: str,
        features: Features,
        cache,
        augmenting: AugmentConfig,
        redrawing: "Redrawing | None" = None,
        history: History | None = None,
    ):
        self.demos, self.key, self.features, self.redrawing = demos, key, features, redrawing
        self.clips = history if history is not None and history.form == "clip" else None
        frozen = features.needs == "rgb" and features.dtype != torch.uint8
        self.changes = frozen and augmenting.changes_frames
        also = () if redrawing is None else redrawing.also
        self.copies = 1 + (len(also) or (augmenting.copies if self.changes else 0))
        self.augmenting = replace(augmenting, proprio_std=0.0, copies=1)  # only what a frame depends on
        self.caches: list[FeatureCache] = []
        """One for each copy; empty where nothing is cached."""
        if cache and frozen:
            change = asdict(self.augmenting)
            looks: list = [None, *([look, i, change if self.changes else None] for i, look in enumerate(also))]
            looks += [change] * (self.copies - len(looks))
            clips = [asdict(self.clips)] if self.clips is not None else []
            made_by = (features.fingerprint, features.config.crop)
            self.caches = [FeatureCache(cache, *made_by, look, *clips) for look in looks]

    def __call__(self, episode: Recorded) -> list[Tensor]:
        """The features in every look. The frames are read or drawn only if the cache lacks one of them."""
        if self.features.needs is None:
            return [self.features({"proprio": episode.numbers["proprio"]})]
        read = functools.cache(lambda: self.demos.episode(episode.index, keys=[self.key])[self.key])
        draw = None if self.redrawing is None else functools.cache(functools.partial(self.redrawing, episode.index))
        numbers = [np.ascontiguousarray(value).tobytes() for value in episode.numbers.values()]
        drawn = [] if self.redrawing is None else [self.redrawing.name(episode.index)]
        out = []
        for copy in range(self.copies):
            name = digest(self.demos.attrs, self.key, copy, *numbers, *(drawn if copy else []))
            frames = read if draw is None or not copy else lambda copy=copy: draw()[:, copy - 1]
            compute = functools.partial(self._compute, episode, copy, name, frames)
            shape = (len(episode.action), *self.features.shape)
            cache = self.caches[copy] if self.caches else None
            out.append(compute() if cache is None else cache.get(name, shape, self.features.dtype, compute))
        return out

    def _compute(self, episode: Recorded, copy: int, name: str, frames_of: Callable[[], np.ndarray]) -> Tensor:
        frames = frames_of()
        if copy and self.changes:
            generator = torch.Generator().manual_seed(stream("augment", copy, name)[0])
            frames = augment(torch.from_numpy(frames), self.augmenting, generator).numpy()
        if self.clips is not None:
            return of_episode(cast(EncoderFeatures, self.features), self.clips, {"rgb": frames})
        return self.features({"rgb": frames, "proprio": episode.numbers["proprio"]})

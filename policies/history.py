"""Frame history: which earlier frames of its episode a policy sees beside the newest one.

`clip`: the frames go through Toto as one clip, `[video start]` and then all their tokens. Attention is causal, so the
features of the newest frame hold what the earlier frames add. `stack`: the features of all frames stand side by side,
each frame encoded alone.

On the arrow: frames → here (with `policies.features`) → features for `policies.network`. `Policy.act`, DAgger's
collector and the cloned set take the same frames for the same step of an episode (`History.steps`).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from policies.features.features import NOT_FROZEN, EncoderFeatures, Features
from policies.seeds import stream
from toto_robot.ground.errors import UserError, unknown

FORMS = ("clip", "stack")
MOST_FRAMES = 16
"""Frames of the clips that Toto is pre-trained on."""
MOST_STEPS = 100_000


@dataclass
class HistoryConfig:
    """Which earlier frames of the episode the policy sees."""

    frames: int = 1
    """How many of the newest frames: 1 is the present one alone, 16 the most. Before there are enough of them, the
    episode's first frame stands for those that are missing."""
    every_s: float | None = None
    """Seconds between these frames, rounded to control periods. null: one control period."""
    first: int = 0
    """How many of the episode's first frames are kept as well, `every_s` apart. With `frames`, 16 at most."""
    form: str = "clip"
    """clip: one clip through Toto; the features are those of the newest frame. Each step costs a pass over all frames.
    stack: the features of all frames side by side. Each frame is encoded once, and the policy's input grows."""
    shuffle: bool = False
    """Put the earlier frames into a random order, the same in every episode: a control of whether order matters."""

    def __post_init__(self) -> None:
        if self.frames < 1 or self.first < 0 or self.frames + self.first > MOST_FRAMES:
            raise UserError(
                f"history: expected frames >= 1, first >= 0 and at most {MOST_FRAMES} of both together, got "
                f"frames={self.frames} and first={self.first}."
            )
        if self.every_s is not None and not 0 < self.every_s < 3600:
            raise UserError(f"history.every_s={self.every_s}: expected seconds above 0, or null for a control period.")
        if self.form not in FORMS:
            raise unknown("history.form", self.form, FORMS)

    @property
    def on(self) -> bool:
        """Whether there is more than the newest frame."""
        return self.frames + self.first > 1

    def check(self, encoder: str) -> None:
        """Raise UserError if the encoder of this name gives no frozen features of frames."""
        if self.on and encoder in NOT_FROZEN:
            raise UserError(
                f"history.frames={self.frames}: encoder={encoder} gives no frozen features of frames, which a history "
                "is made of. Choose another encoder, or leave history out."
            )

    def at(self, control_hz: float, features: Features) -> "History | None":
        """The history at a control rate, or None for the newest frame alone. Raises UserError if `features` can't give
        it."""
        if not self.on:
            return None
        every = 1 if self.every_s is None else max(1, round(self.every_s * control_hz))
        history = History(self.frames, every, self.first, self.form, self.shuffle)
        history.check(features)
        return history


@dataclass(frozen=True)
class History:
    """A history in steps of control, as a policy's folder stores it."""

    frames: int
    """How many of the newest frames."""
    every: int
    """Steps between them."""
    first: int = 0
    """How many of the episode's first frames, `every` steps apart."""
    form: str = "clip"
    """clip or stack."""
    shuffle: bool = False
    """Whether the earlier frames are in a random order."""

    def __post_init__(self) -> None:
        HistoryConfig(self.frames, None, self.first, self.form, self.shuffle)
        if not 1 <= self.every <= MOST_STEPS:
            raise UserError(f"history.every: expected 1 to {MOST_STEPS} steps, got {self.every}.")

    @property
    def length(self) -> int:
        """F, the frames of a history."""
        return self.frames + self.first

    def check(self, features: Features) -> None:
        """Raise UserError if `features` can't give this history."""
        name = features.config.name
        if not isinstance(features, EncoderFeatures):
            HistoryConfig(self.frames, None, self.first).check(name)
        elif self.form == "clip" and not features.encoder.reads_clips:
            raise UserError(
                f"history.form=clip: encoder={name} reads single frames only. Give history.form=stack, or a Toto."
            )

    def steps(self, now: np.ndarray) -> np.ndarray:
        """(N, F): the steps whose frames belong to the history at the steps `now` (N,) of an episode. They are in the
        order of time, and the present step is the last one."""
        return np.stack([self._at(int(step)) for step in now]) if len(now) else np.zeros((0, self.length), int)

    @lru_cache(maxsize=4096)  # noqa: B019 (it is frozen and small)
    def _at(self, now: int) -> np.ndarray:
        first = np.minimum(self.every * np.arange(self.first), now)
        newest = np.maximum(now - self.every * np.arange(self.frames), 0)
        steps = np.sort(np.concatenate([first, newest]))
        if self.shuffle:
            order = np.random.default_rng(stream("history", now)).permutation(self.length - 1)
            steps[:-1] = steps[:-1][order]
        return steps

    def shape(self, features: Features) -> tuple[int, ...]:
        """The shape of a policy's feature, from those of single frames."""
        if self.form == "stack":
            return self.stacked(features.shape)
        assert isinstance(features, EncoderFeatures)
        return features.clip_shape(self.length)

    def stacked(self, one: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of F features of the shape `one` side by side."""
        return (self.length * one[0], *one[1:])

    def join(self, features: Tensor, one: tuple[int, ...]) -> Tensor:
        """Features (..., F, *one) of single frames, side by side: (..., *stacked(one))."""
        return features.reshape(*features.shape[: features.ndim - 1 - len(one)], *self.stacked(one))


class Past:
    """What the running episodes of several slots have shown, as far as their histories need it."""

    def __init__(self, history: History):
        self.history = history
        self.slots: dict[int, dict[int, Tensor]] = {}
        """For each slot, what was seen by step, in the order of time."""

    def see(self, seen: Tensor, slots: list[int], steps: list[int] | None = None) -> Tensor:
        """Remember `seen` (N, ...) and return each slot's history (N, F, ...).

        `steps` are the steps since the episode began. A step that is not later than the one before begins an episode.
        Without `steps`, each call is the next step. A step that was never seen is replaced by the one before it.
        """
        out = []
        for i, slot in enumerate(slots):
            past = self.slots.setdefault(slot, {})
            latest = next(reversed(past), -1)
            now = latest + 1 if steps is None else steps[i]
            if now <= latest:
                past.clear()
            past[now] = seen[i].clone()
            wanted = self.history.steps(np.array([now]))[0]
            out.append(torch.stack([past[_newest(past, int(step))] for step in wanted]))
            self._drop(past, now)
        return torch.stack(out)

    def _drop(self, past: dict[int, Tensor], now: int) -> None:
        """Forget what no later history needs."""
        h = self.history
        begin = min(now, _newest(past, max(0, now + 1 - h.every * (h.frames - 1))))
        kept = {min(past)} if h.first else set()  # it stands for the episode's first frame if that was never seen
        for step in [step for step in past if h.every * (h.first - 1) < step < begin and step not in kept]:
            del past[step]

    def forget(self, slots: list[int] | None = None) -> None:
        """Episodes begin in `slots`, or in all."""
        for slot in list(self.slots) if slots is None else slots:
            self.slots.pop(slot, None)

    def state(self) -> dict[str, Tensor]:
        """Everything that is remembered, as tensors with the names <slot>.<step>."""
        return {f"{slot}.{step}": seen for slot, past in self.slots.items() for step, seen in past.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        self.slots = {}
        for slot, step in sorted(tuple(map(int, name.split("."))) for name in tensors):
            self.slots.setdefault(slot, {})[step] = tensors[f"{slot}.{step}"]


def _newest(past: dict[int, Tensor], step: int) -> int:
    """The newest step that was seen until `step`, or the first one that was seen at all."""
    return max((seen for seen in past if seen <= step), default=min(past))


class Recall:
    """Features with a history, of episodes that run."""

    def __init__(self, features: EncoderFeatures, history: History):
        self.features, self.history, self.past = features, history, Past(history)

    def __call__(self, obs: dict[str, np.ndarray], slots: list[int], steps: list[int] | None = None) -> Tensor:
        """Features (N, *shape) of the present observations of N slots; `slots` and `steps`: see `Past.see`."""
        if self.history.form == "clip":
            return self.features.of_clips(self.past.see(self.features.tokens(obs), slots, steps))
        return self.history.join(self.past.see(self.features(obs), slots, steps), self.features.shape)


def of_episode(features: EncoderFeatures, history: History, obs: dict[str, np.ndarray]) -> Tensor:
    """Features (T, *shape) of all steps of a recorded episode, as `Recall` gives them when it runs, for a clip."""
    tokens = features.tokens(obs)
    return features.of_clips(tokens[torch.from_numpy(history.steps(np.arange(len(tokens))))])

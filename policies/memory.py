"""What a policy with a context remembers of each episode, and how its chunks of actions become one action a step.

An environment's slot is told by `obs["slot"]`, and an episode's first step by `obs["step"] == 0` (`rollout.evaluate`
gives both). What a slot does depends on its own episode alone, so results don't depend on how many run side by side.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from policies.network.transformer import TransformerConfig


@dataclass
class Window:
    """The last steps of several episodes, oldest first: B slots, T steps of context."""

    features: Tensor
    """(B, T, *feature_shape)."""
    proprio: Tensor
    """(B, T, P)."""
    past: Tensor
    """(B, T, A): the action that was taken at each step; the present one's row is zeros."""
    valid: Tensor
    """(B, T) bool: false before the episode's start."""


@dataclass
class Episode:
    """One slot's memory."""

    steps: deque
    """(features, proprio) of the newest steps."""
    actions: deque
    """The actions taken after all of them but the present one."""
    chunks: list[tuple[int, np.ndarray]] = field(default_factory=list)
    """(the step at which it was predicted, actions (K, A)), oldest first."""
    step: int = 0


class Memory:
    """The episodes of every slot that acts."""

    def __init__(self, config: TransformerConfig, action_dim: int):
        self.config, self.action_dim = config, action_dim
        self.episodes: dict[int, Episode] = {}

    def act(
        self,
        predict: Callable[[Window], np.ndarray],
        features: Tensor,
        proprio: Tensor,
        slots: list[int],
        first: list[bool],
    ) -> np.ndarray:
        """Actions (N, A) for one step of N slots, `first` where an episode begins. `predict` gives (B, K, A)."""
        episodes = []
        for i, slot in enumerate(slots):
            if first[i] or slot not in self.episodes:
                length = self.config.context
                self.episodes[slot] = Episode(deque(maxlen=length), deque(maxlen=length - 1))
            episodes.append(self.episodes[slot])
            episodes[-1].steps.append((features[i], proprio[i]))
        asking = [e for e in episodes if self._must_predict(e)]
        if asking:
            for episode, chunk in zip(asking, predict(self._window(asking))):
                episode.chunks.append((episode.step, chunk))
        return np.stack([self._execute(e) for e in episodes])

    def _must_predict(self, episode: Episode) -> bool:
        if self.config.execute != "open_loop" or not episode.chunks:
            return True
        return episode.step - episode.chunks[-1][0] >= self.config.chunk

    def _window(self, episodes: list[Episode]) -> Window:
        """Short memories are padded in front with their first step, which `valid` hides."""
        T, rows = self.config.context, []
        for episode in episodes:
            steps = list(episode.steps)
            missing = T - len(steps)
            features, proprio = (torch.stack(part) for part in zip(*([steps[0]] * missing + steps)))
            past = torch.zeros(T, self.action_dim)
            for j, action in enumerate(episode.actions):
                past[missing + j] = torch.from_numpy(action)
            rows.append((features, proprio, past, torch.arange(T) >= missing))
        return Window(*(torch.stack(column) for column in zip(*rows)))

    def _execute(self, episode: Episode) -> np.ndarray:
        """The action of the present step, which is then behind it."""
        c, now = self.config, episode.step
        episode.chunks = [(t, chunk) for t, chunk in episode.chunks if now - t < c.chunk]
        if c.execute == "ensemble":
            weights = np.exp(-c.ensemble_m * np.arange(len(episode.chunks)))
            said = np.stack([chunk[now - t] for t, chunk in episode.chunks])
            action = (weights[:, None] * said).sum(0) / weights.sum()
        else:
            t, chunk = episode.chunks[-1]
            action = chunk[now - t]
        action = action.astype(np.float32)
        episode.actions.append(action)
        episode.step += 1
        return action

"""What a policy with a context remembers of each episode, and how its chunks of actions become one action a step.

`obs["slot"]` names an environment's slot, and `obs["step"] == 0` marks an episode's first step (`rollout.evaluate`
provides both). A slot's actions depend on its own episode alone, so results don't depend on how many slots run.

On the arrow: `policies.policy.Policy.act` asks it for every step of a policy with a transformer head.
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
    """(B, T, A): the action that was taken at each step. The present step's row is zeros."""
    valid: Tensor
    """(B, T) bool: False before the episode's start."""


@dataclass
class Episode:
    """One slot's memory."""

    steps: deque
    """(features, proprio) of the newest steps."""
    actions: deque
    """The actions that were taken in these steps, without the present one."""
    chunks: list[tuple[int, np.ndarray]] = field(default_factory=list)
    """Predictions as (step of the prediction, actions (K, A)), oldest first."""
    step: int = 0


class Memory:
    """The running episode of every slot."""

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
        """Actions (N, A) for one step of N slots. `first` is True where an episode begins. `predict` returns (B, K,
        A)."""
        # 1. Remember the step; a new episode begins with an empty memory.
        episodes = []
        for i, slot in enumerate(slots):
            if first[i] or slot not in self.episodes:
                length = self.config.context
                self.episodes[slot] = Episode(deque(maxlen=length), deque(maxlen=length - 1))
            episodes.append(self.episodes[slot])
            episodes[-1].steps.append((features[i], proprio[i]))
        # 2. Predict a chunk for the episodes that need one, all in one batch.
        asking = [e for e in episodes if self._must_predict(e)]
        if asking:
            for episode, chunk in zip(asking, predict(self._window(asking))):
                episode.chunks.append((episode.step, chunk))
        # 3. One action for each episode.
        return np.stack([self._execute(e) for e in episodes])

    def _must_predict(self, episode: Episode) -> bool:
        if self.config.execute != "open_loop" or not episode.chunks:
            return True
        return episode.step - episode.chunks[-1][0] >= self.config.chunk

    def _window(self, episodes: list[Episode]) -> Window:
        """The newest steps of each episode. A short memory is padded in front with its first step, which `valid`
        masks."""
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
        """The action of the present step. The episode moves on by one step."""
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

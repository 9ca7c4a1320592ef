"""MVP's networks for stable-baselines3, and how they become a `Policy` (arXiv 2203.06173, mvp/ppo in its code)."""

import copy
from dataclasses import replace

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from policies.network.heads import HeadConfig
from policies.network.normalise import Normaliser
from policies.policy import PolicyNet


def head_for(head: HeadConfig, privileged: bool, squash: bool) -> HeadConfig:
    """The head that is trained. The privileged state goes directly into the MLP, as in MVP. SAC squashes actions."""
    if privileged:
        head = replace(head, feature_width=0, proprio_width=0)
    return replace(head, squash=squash)


class Inputs(BaseFeaturesExtractor):
    """Flat observations (B, D) → what the MLPs read (B, W): normalised, projected and joined as in `PolicyNet`.

    The statistics are set from outside (`rounds.py`). They don't change while an iteration's steps are collected and
    learned from.
    """

    def __init__(self, observation_space, net: PolicyNet, feature_shape: tuple[int, ...]):
        super().__init__(observation_space, net.head.joined_width)
        self.shape, self.size = feature_shape, int(np.prod(feature_shape))
        self.features, self.proprio = Normaliser(feature_shape), Normaliser(tuple(net.proprio.mean.shape))
        # Copies, because SAC has three networks, each with its own first part.
        self.pool, self.project = copy.deepcopy(net.head.pool), copy.deepcopy(net.head.proprio)

    def forward(self, observations: Tensor) -> Tensor:
        parts = []
        if self.pool is not None:
            parts.append(self.pool(self.features(observations[:, : self.size].reshape(-1, *self.shape))))
        if self.project is not None:
            parts.append(self.project(self.proprio(observations[:, self.size :])))
        return torch.cat(parts, 1)


class MvpActorCritic(ActorCriticPolicy):
    """The standard deviation is exp(2·log_std), as in MVP's code."""

    def _get_action_dist_from_latent(self, latent_pi: Tensor):
        return self.action_dist.proba_distribution(self.action_net(latent_pi), 2 * self.log_std)


class MvpRollouts(RolloutBuffer):
    """Advantages are normalised over the whole iteration. Minibatches are consecutive steps of all environments."""

    def compute_returns_and_advantage(self, last_values: Tensor, dones: np.ndarray) -> None:
        super().compute_returns_and_advantage(last_values, dones)
        self.advantages = (self.advantages - self.advantages.mean()) / (self.advantages.std(ddof=1) + 1e-8)

    def get(self, batch_size: int | None = None):
        if not self.generator_ready:
            for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
                setattr(self, name, self.swap_and_flatten(getattr(self, name)))
            self.generator_ready = True
        steps = np.arange(self.buffer_size * self.n_envs).reshape(self.n_envs, self.buffer_size).T.reshape(-1)
        for start in range(0, len(steps), batch_size or len(steps)):
            yield self._get_samples(steps[start : start + (batch_size or len(steps))])


@torch.no_grad()
def export(agent, net: PolicyNet) -> PolicyNet:
    """Copy the actor of a PPO or SAC `agent` into `net`, which then returns the same deterministic actions."""
    if hasattr(agent, "actor"):
        inputs, mlp, action = agent.actor.features_extractor, agent.actor.latent_pi, agent.actor.mu
    else:
        inputs, mlp, action = (
            agent.policy.features_extractor,
            agent.policy.mlp_extractor.policy_net,
            agent.policy.action_net,
        )
    net.features.load_state_dict(inputs.features.state_dict())
    net.proprio.load_state_dict(inputs.proprio.state_dict())
    pairs = [(inputs.pool, net.head.pool), (inputs.project, net.head.proprio), (action, net.head.action)]
    pairs += zip(_linears(mlp), _linears(net.head.mlp), strict=True)
    for source, target in pairs:
        if source is not None:
            target.load_state_dict(source.state_dict())
    return net.eval()


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [part for part in module.modules() if isinstance(part, nn.Linear)]

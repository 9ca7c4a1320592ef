"""The algorithm of stable-baselines3 that a config names, and its whole state as tensors."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from policies.bookkeeping.state import moments, restore_moments, under
from policies.network.heads import ACTIVATIONS
from policies.policy import PolicyNet
from policies.rl.config import ExpertConfig
from policies.rl.networks import Inputs, MvpActorCritic, MvpRollouts
from policies.rl.vec import FlatVec


def make_agent(cfg: ExpertConfig, vec: FlatVec, net: PolicyNet, iterations: int):
    """PPO or SAC on `vec`, with networks shaped like `net`. The weights come from torch's global generator."""
    algo = cfg.algo
    env = VecNormalize(vec, norm_obs=False, clip_reward=math.inf, gamma=algo.gamma) if algo.scale_rewards else vec
    policy = dict(
        net_arch=list(cfg.policy.hidden),
        activation_fn=ACTIVATIONS[cfg.policy.activation],
        features_extractor_class=Inputs,
        features_extractor_kwargs=dict(net=net, feature_shape=vec.features.shape),
    )
    shared = dict(env=env, learning_rate=cfg.schedule(iterations), gamma=algo.gamma, device="cpu")
    agent = _ppo(algo, policy, shared) if algo.ppo is not None else _sac(algo, policy, shared)
    agent.set_logger(Logger(folder=None, output_formats=[]))  # `loss_of` reads its `name_to_value`
    return agent


def _ppo(algo, policy: dict, shared: dict) -> PPO:
    ppo, mvp = algo.ppo, algo.ppo.mvp_details
    log_std = math.log(ppo.init_std) / (2 if mvp else 1)
    kind = MvpActorCritic if mvp else "MlpPolicy"
    if mvp:
        policy = policy | {"optimizer_kwargs": {"eps": 1e-8}}
    return PPO(
        kind,
        **shared,
        n_steps=ppo.n_steps,
        batch_size=algo.iteration_steps // ppo.minibatches,
        n_epochs=ppo.epochs,
        gae_lambda=ppo.gae_lambda,
        clip_range=ppo.clip,
        normalize_advantage=not mvp,
        ent_coef=ppo.ent_coef,
        vf_coef=ppo.vf_coef,
        max_grad_norm=ppo.grad_clip,
        policy_kwargs=policy | {"log_std_init": log_std},
        rollout_buffer_class=MvpRollouts if mvp else None,
    )


def _sac(algo, policy: dict, shared: dict) -> SAC:
    sac = algo.sac
    entropy = sac.ent_coef if sac.ent_coef.startswith("auto") else float(sac.ent_coef)
    return SAC(
        "MlpPolicy",
        **shared,
        buffer_size=sac.buffer_size,
        learning_starts=sac.learning_starts,
        batch_size=sac.batch_size,
        tau=sac.tau,
        train_freq=sac.train_every,
        gradient_steps=sac.updates,
        ent_coef=entropy,
        policy_kwargs=policy,
    )


def inputs_of(agent) -> list[Inputs]:
    """The first part of every network. They share statistics, but not weights."""
    return [module for module in agent.policy.modules() if isinstance(module, Inputs)]


def state_of(agent) -> dict[str, Tensor]:
    """Weights, optimizers' moments and reward statistics: what another process needs to continue in the same way."""
    tensors = {f"policy.{key}": value for key, value in agent.policy.state_dict().items()}
    for name, optimizer in _optimizers(agent):
        tensors |= {f"optimizer.{name}.{key}": value for key, value in moments(optimizer).items()}
    if getattr(agent, "log_ent_coef", None) is not None:
        tensors["log_ent_coef"] = agent.log_ent_coef.detach()
    if isinstance(agent.env, VecNormalize):
        seen = agent.env.ret_rms
        tensors["returns"] = torch.from_numpy(agent.env.returns.copy())
        tensors["returns_seen"] = torch.tensor(
            [float(seen.mean), float(seen.var), float(seen.count)], dtype=torch.float64
        )
    return {key: value.clone() for key, value in tensors.items()}


def restore_agent(agent, tensors: dict[str, Tensor]) -> None:
    """Continue from what `state_of` returned. `restore_returns` restores the reward statistics later."""
    agent.policy.load_state_dict(under(tensors, "policy."))
    for name, optimizer in _optimizers(agent):
        restore_moments(optimizer, under(tensors, f"optimizer.{name}."))
    if "log_ent_coef" in tensors:
        agent.log_ent_coef.data.copy_(tensors["log_ent_coef"])


def restore_returns(agent, tensors: dict[str, Tensor]) -> None:
    """Restore the reward statistics. stable-baselines3 resets them when learning starts, so call this afterwards."""
    if "returns" in tensors:
        agent.env.returns = tensors["returns"].numpy().copy()
        seen = agent.env.ret_rms
        seen.mean, seen.var, seen.count = (float(x) for x in tensors["returns_seen"])


REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def replay_rows(agent, steps: int) -> dict[str, Tensor]:
    """SAC's newest `steps` steps of each environment, (steps, N, ...), oldest first. Empty for PPO."""
    buffer = getattr(agent, "replay_buffer", None)
    if buffer is None:
        return {}
    rows = np.arange(buffer.pos - min(steps, buffer.buffer_size), buffer.pos) % buffer.buffer_size
    return {name: torch.from_numpy(getattr(buffer, name)[rows]) for name in REPLAYED}


def replay(agent, rounds: Iterator[dict[str, Tensor]]) -> None:
    """Fill SAC's buffer with what `replay_rows` returned, in order."""
    buffer = getattr(agent, "replay_buffer", None)
    if buffer is None:
        return
    for tensors in rounds:
        rows = np.arange(buffer.pos, buffer.pos + len(tensors["rewards"]))
        for name in REPLAYED:
            getattr(buffer, name)[rows % buffer.buffer_size] = tensors[name].numpy()
        buffer.full |= bool(rows[-1] + 1 >= buffer.buffer_size)
        buffer.pos = int(rows[-1] + 1) % buffer.buffer_size


def _optimizers(agent) -> list[tuple[str, torch.optim.Optimizer]]:
    if isinstance(agent, PPO):
        return [("policy", agent.policy.optimizer)]
    pairs = [("actor", agent.actor.optimizer), ("critic", agent.critic.optimizer)]
    return pairs + ([("entropy", agent.ent_coef_optimizer)] if agent.ent_coef_optimizer is not None else [])


def loss_of(agent) -> float:
    """The newest loss, of PPO or of SAC's critics. nan before the first update."""
    seen = agent.logger.name_to_value
    return float(seen.get("train/loss", seen.get("train/critic_loss", math.nan)))

"""Our vector environments with stable-baselines3's interface: flat observations, and automatic reset."""

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from policies.bookkeeping.state import restore_slot_states, slot_states
from policies.features.features import Features
from policies.scoring.rollout import VectorEnv
from policies.seeds import training_seed


class FlatVec(VecEnv):
    """Observations are float32 (N, D): the flattened features, then proprioception. The privileged state already
    contains proprioception, so nothing is added to it.

    The encoder sees each frame once. After an episode, the slot continues with the next seed of `training_seed`. The
    `info` of a finished episode has `terminal_observation` (D,), `TimeLimit.truncated` (whether the critic's value
    replaces what would have followed), `episode` (the environment's own reward r and length l) and `is_success`.
    `at_success` and `at_timeout` are those of AlgoConfig; the former is for environments with `ends_at_success`.
    """

    def __init__(
        self,
        vec: VectorEnv,
        features: Features,
        seed: int,
        *,
        at_success: str = "end",
        ends_at_success: bool = True,
        at_timeout: str = "bootstrap",
        gamma: float = 0.99,
    ):
        self.vec, self.features, self.seed_ = vec, features, seed
        self.at_success, self.ends_at_success, self.at_timeout, self.gamma = (
            at_success,
            ends_at_success,
            at_timeout,
            gamma,
        )
        self.with_proprio = features.needs != "privileged"
        dim = int(np.prod(features.shape)) + vec.proprio_dim * self.with_proprio
        box = spaces.Box(-np.inf, np.inf, (dim,), np.float32)
        super().__init__(vec.num_envs, box, spaces.Box(-1.0, 1.0, (vec.action_dim,), np.float32))
        self.started = 0
        self.rewards, self.steps = np.zeros(vec.num_envs), np.zeros(vec.num_envs, np.int64)
        self._restored: dict | None = None

    def reset(self) -> np.ndarray:
        """Start every slot's next episode. After `restore`, continue the running episodes instead."""
        if self._restored is not None:
            obs, self._restored = self._restored, None
            return self._flat(obs)
        self.rewards[:], self.steps[:] = 0, 0
        return self._flat(self.vec.reset(self._seeds_of(self.num_envs)))

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = np.clip(actions, -1, 1)

    def step_wait(self):
        obs, reward, terminated, truncated, info = self.vec.step(self._actions)
        self.rewards += reward
        self.steps += 1
        flat, reward = self._flat(obs), reward.astype(np.float32)
        infos: list[dict] = [{} for _ in range(self.num_envs)]
        done = terminated | truncated
        for i in np.flatnonzero(done):
            success = bool(info["success"][i])
            goes_on = bool(truncated[i]) and self.at_timeout == "bootstrap"
            if success and terminated[i] and self.ends_at_success:
                goes_on = self.at_success == "bootstrap"
                if self.at_success == "stay":
                    reward[i] *= 1 / (1 - self.gamma)  # the reward of this step, repeated for ever
            infos[i] = {
                "terminal_observation": flat[i].copy(),
                "TimeLimit.truncated": goes_on,
                "is_success": success,
                "episode": {"r": float(self.rewards[i]), "l": int(self.steps[i])},
            }
        if done.any():
            over = np.flatnonzero(done)
            self.rewards[over], self.steps[over] = 0, 0
            obs = self.vec.reset(self._seeds_of(len(over)), over.tolist())
            flat[over] = self._flat({key: value[over] for key, value in obs.items()})
        return flat, reward, done, infos

    def state(self) -> dict[str, torch.Tensor]:
        """The running episodes as tensors. The environments' own state is stored as bytes."""
        tensors = {
            "started": torch.tensor(self.started),
            "rewards": torch.from_numpy(self.rewards.copy()),
            "steps": torch.from_numpy(self.steps.copy()),
        }
        return tensors | slot_states(self.vec)

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Continue from what `state` returned."""
        self.started = int(tensors["started"])
        self.rewards, self.steps = tensors["rewards"].numpy().copy(), tensors["steps"].numpy().copy()
        self._restored = restore_slot_states(self.vec, tensors)

    def _seeds_of(self, episodes: int) -> list[int]:
        first, self.started = self.started, self.started + episodes
        return [training_seed(self.seed_, index) for index in range(first, self.started)]

    def _flat(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        features = self.features(obs).float().flatten(1).numpy()
        return np.concatenate([features, obs["proprio"]], 1, dtype=np.float32) if self.with_proprio else features

    def close(self) -> None:
        """Do nothing: the caller who made the environments closes them."""

    def seed(self, seed: int | None = None) -> list[None]:
        """Do nothing: an episode's seed is a function of the run's seed and the episode's number."""
        return [None] * self.num_envs

    def get_attr(self, attr_name: str, indices=None) -> list:
        if attr_name == "render_mode":
            return [None for _ in self._get_indices(indices)]
        return [getattr(self.vec, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value, indices=None) -> None:
        raise AttributeError(f"{attr_name} can't be set: the environments live in other processes")

    def env_method(self, method_name: str, *args, indices=None, **kwargs) -> list:
        raise AttributeError(f"{method_name} can't be called: the environments live in other processes")

    def env_is_wrapped(self, wrapper_class, indices=None) -> list[bool]:
        """`info` has what stable-baselines3's Monitor would add, so no Monitor is needed."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._get_indices(indices)]

"""Evaluation on a fixed list of seeds: each is run once and scored once, whatever its episode's length."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

import envs
from envs.backends import interface
from envs.errors import EnvError
from envs.interface import Interface
from policies.scoring.statistics import wilson95

NONE = "none"
"""The name of no environment: a set of any robot is cloned without one."""


@dataclass
class EnvConfig:
    """Which environment, and what a policy must know about its actions."""

    name: str = "franka_pick"
    """The environment's name. `robot=iiwa_gripper` beside `env=franka_pick` is the same task with another robot. `none`: no
    environment, for train_bc on a set of any robot."""
    binary_actions: list[int] = field(default_factory=list)
    """Indices of actions that are open/close commands, from the end if negative: learned as a choice."""
    appearance: str = "nominal"
    """How it looks: nominal; near_nominal, wide or mixed (looks to train on, none of which an evaluation draws); random (new colours, the object's too, textures, lights, camera pose, exposure and,
    in half of them, noise in each episode); random_each_step (in each frame, to learn many looks from few episodes); or
    cluttered (as random, without noise, with boxes on the table that are not the object)."""
    workers: int = 2
    """Processes that simulate; mujoco_warp and isaacgym simulate their batch in one."""
    backend: str = "mujoco"
    """The simulator: mujoco, robosuite (its Lift), mujoco_warp (the same environments in batches, on a GPU where there is
    one) or isaacgym (a worker in Isaac Gym's own Python). `backend=` is short for it; docs/backends.md has more."""
    python: str | None = None
    """The interpreter that backend=isaacgym starts, of an environment that has Isaac Gym Preview 4."""

    def __post_init__(self) -> None:
        if self.backend not in envs.BACKENDS:
            raise EnvError(f"backend={self.backend!r} does not exist; there are: {', '.join(envs.BACKENDS)}")

    @property
    def exists(self) -> bool:
        """False for env=none."""
        return self.name != NONE

    def interface(self, image_size: int = 128) -> Interface:
        """What this environment's numbers mean; no process is started."""
        return interface(self.name, self.backend, image_size)

    def make_vec(self, num_envs: int, **options) -> "VectorEnv":
        """`num_envs` of these environments; `options` are `envs.VectorEnv`'s."""
        if not self.exists:
            raise EnvError(
                "env=none is no environment, and this command runs in one; give env=NAME. train_bc can do without."
            )
        options = {"workers": self.workers, "appearance": self.appearance} | options
        return envs.make_vec(self.name, num_envs, backend=self.backend, python=self.python, **options)


class VectorEnv(Protocol):
    """N environments without autoreset; `envs.VectorEnv` is one. See there for shapes."""

    num_envs: int
    action_dim: int
    proprio_dim: int
    privileged_dim: int
    control_hz: float
    horizon: int
    interface: Interface

    def reset(self, seeds: list[int], indices: list[int] | None = None) -> dict[str, np.ndarray]: ...
    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> tuple: ...
    def get_state(self) -> list[bytes]: ...
    def set_state(self, state: list[bytes]) -> dict[str, np.ndarray]: ...
    def close(self) -> None: ...


@dataclass
class Episode:
    """One scored episode."""

    seed: int
    success: bool
    steps: int
    reward: float


class Watcher(Protocol):
    """Sees every step of an evaluation; `policies.scoring.video.Recorder` makes a video of it."""

    def see(self, vec: VectorEnv, slot: int, episode: int, obs: dict, done: bool, success: bool) -> None: ...


def evaluate(
    vec: VectorEnv,
    act: Callable[[dict[str, np.ndarray]], np.ndarray],
    seeds: list[int],
    watcher: Watcher | None = None,
    on_episode: Callable[[int], Any] = lambda done: None,
) -> list[Episode]:
    """Run `act` once on each of `seeds`, in the order of `seeds`; slots of `vec` that run out of seeds stand still,
    and `act` doesn't get their observations. It also gets `slot` (N,), the slot of each row, and `step` (N,), 0 where
    an episode begins, for policies that remember.

    Every seed is started and every started episode is finished, so short episodes are not favoured.
    `on_episode(k)` is called when k are finished.
    """
    n = min(vec.num_envs, len(seeds))
    episodes: list[Episode | None] = [None] * len(seeds)
    running = np.full(vec.num_envs, -1)  # the index into `seeds` that each slot runs, -1 for none
    running[:n] = np.arange(n)
    rewards, steps = np.zeros(vec.num_envs), np.zeros(vec.num_envs, int)
    # Idle slots are reset too: a vectorised environment starts whole.
    obs = vec.reset([seeds[i] if i < n else seeds[0] for i in range(vec.num_envs)])
    _show(watcher, vec, running, obs, np.zeros(vec.num_envs, bool), np.zeros(vec.num_envs, bool))
    started, actions = n, np.zeros((vec.num_envs, vec.action_dim), np.float32)
    while (active := running >= 0).any():
        seen = {key: value[active] for key, value in obs.items()}
        actions[active] = act(seen | {"slot": np.flatnonzero(active), "step": steps[active]})
        steps += active
        obs, reward, terminated, truncated, info = vec.step(actions, active)
        rewards += np.where(active, reward, 0)
        done = active & (terminated | truncated)
        _show(watcher, vec, running, obs, done, info["success"])
        fresh: list[int] = []
        for slot in np.flatnonzero(done):
            index = running[slot]
            episodes[index] = Episode(
                seeds[index], bool(info["success"][slot]), int(info["steps"][slot]), float(rewards[slot])
            )
            rewards[slot], running[slot], steps[slot] = 0.0, -1, 0
            if started < len(seeds):
                running[slot], started = started, started + 1
                fresh.append(int(slot))
        if fresh:
            obs = vec.reset([seeds[running[slot]] for slot in fresh], fresh)
            was_reset = np.full(vec.num_envs, -1)
            was_reset[fresh] = running[fresh]
            _show(watcher, vec, was_reset, obs, np.zeros(vec.num_envs, bool), np.zeros(vec.num_envs, bool))
        if done.any():
            on_episode(sum(e is not None for e in episodes))
    assert all(e is not None for e in episodes)
    return episodes  # type: ignore[return-value]


def summarise(episodes: list[Episode]) -> dict:
    """{episodes, successes, success, wilson95, mean_steps}: the keys that every evaluation reports."""
    successes = sum(e.success for e in episodes)
    return {
        "episodes": len(episodes),
        "successes": successes,
        "success": successes / len(episodes),
        "wilson95": list(wilson95(successes, len(episodes))),
        "mean_steps": sum(e.steps for e in episodes) / len(episodes),
    }


def _show(watcher: Watcher | None, vec: VectorEnv, running: np.ndarray, obs: dict, done, success) -> None:
    if watcher is not None:
        for slot in np.flatnonzero(running >= 0):
            watcher.see(vec, int(slot), int(running[slot]), obs, bool(done[slot]), bool(success[slot]))

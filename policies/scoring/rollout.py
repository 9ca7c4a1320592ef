"""Evaluation on a fixed list of seeds: each seed is run once and scored once, however long its episode is.

On the arrow: environments (`envs`) ↔ a policy's `act` → success rates (`statistics`), and a video (`video`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

import envs
from envs.backends import interface
from envs.errors import EnvError
from envs.interface import Interface
from policies.scoring.statistics import wilson95
from toto_robot.ground.errors import unknown

NONE = "none"
"""env=none: train_bc clones a set of any robot without an environment."""


@dataclass
class EnvConfig:
    """Which environment, and which of its actions are choices."""

    name: str = "franka_pick"
    """The environment's name. `env=franka_pick robot=iiwa_gripper` is the same task with another robot. `none`: no
    environment, for train_bc on a set of any robot."""
    binary_actions: list[int] = field(default_factory=list)
    """Indices of the actions that are open/close commands, from the end if negative. They are learned as a choice."""
    appearance: str = "nominal"
    """How the scene looks. nominal: always the same. near_nominal, wide or mixed: looks to train on, none of which an
    evaluation draws (envs/looks.py). Training and recording refuse the others. random: each episode has new colours
    (the object's too), textures, lights, camera pose and exposure, and half of the episodes have noise.
    random_each_step: the same in each frame. cluttered: as random, without noise, with boxes on the table that are not
    the object. grey_card, mixed_grey_card: nominal and mixed, and a card that names the object is grey."""
    workers: int = 2
    """Processes that simulate. mujoco_warp and isaacgym simulate their batch in one process."""
    backend: str = "mujoco"
    """The simulator: mujoco, robosuite (its Lift), mujoco_warp (the same environments in batches, on a GPU if there is
    one) or isaacgym (a worker in Isaac Gym's own Python). `backend=` is short for this key. See docs/backends.md."""
    python: str | None = None
    """The Python interpreter that backend=isaacgym starts. It must have Isaac Gym Preview 4."""

    def __post_init__(self) -> None:
        if self.backend not in envs.BACKENDS:
            raise unknown("backend", self.backend, envs.BACKENDS, error=EnvError)

    @property
    def exists(self) -> bool:
        """False for env=none."""
        return self.name != NONE

    def interface(self, image_size: int = 128) -> Interface:
        """What this environment's numbers mean. Starts no process."""
        return interface(self.name, self.backend, image_size)

    def make_vec(self, num_envs: int, **options: Any) -> "VectorEnv":
        """`num_envs` of these environments. `options` are those of `envs.VectorEnv`."""
        if not self.exists:
            raise EnvError(
                "env=none: this command needs an environment; give env=NAME. Only train_bc works without one."
            )
        options = {"workers": self.workers, "appearance": self.appearance} | options
        return envs.make_vec(self.name, num_envs, backend=self.backend, python=self.python, **options)


class VectorEnv(Protocol):
    """N environments without automatic reset, such as `envs.VectorEnv`. See there for shapes."""

    name: str
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
    """Sees every step of an evaluation. `policies.scoring.video.Recorder` is one: it makes a video."""

    def see(self, vec: VectorEnv, slot: int, episode: int, obs: dict, done: bool, success: bool) -> None: ...


def evaluate(
    vec: VectorEnv,
    act: Callable[[dict[str, np.ndarray]], np.ndarray],
    seeds: list[int],
    watcher: Watcher | None = None,
    on_episode: Callable[[int], Any] = lambda done: None,
) -> list[Episode]:
    """Run `act` once on each of `seeds`. Returns the episodes in the order of `seeds`.

    Every seed is started and every started episode is finished, so short episodes are not favoured. When a slot of
    `vec` has no more seeds it stands still, and `act` doesn't get its observations. For policies with a memory, `act`
    also gets `slot` (N,), the slot of each row, and `step` (N,), which is 0 where an episode begins. `on_episode(k)` is
    called when k episodes are finished.
    """
    # 1. The first seeds go to the slots.
    n = min(vec.num_envs, len(seeds))
    episodes: list[Episode | None] = [None] * len(seeds)
    running = np.full(vec.num_envs, -1)  # the index into `seeds` that each slot runs, -1 for none
    running[:n] = np.arange(n)
    rewards, steps = np.zeros(vec.num_envs), np.zeros(vec.num_envs, int)
    # Idle slots are reset too, because a vectorised environment starts as a whole.
    obs = vec.reset([seeds[i] if i < n else seeds[0] for i in range(vec.num_envs)])
    _show(watcher, vec, running, obs, np.zeros(vec.num_envs, bool), np.zeros(vec.num_envs, bool))
    started, actions = n, np.zeros((vec.num_envs, vec.action_dim), np.float32)
    while (active := running >= 0).any():
        # 2. One step of the slots that run an episode.
        seen = {key: value[active] for key, value in obs.items()}
        actions[active] = act(seen | {"slot": np.flatnonzero(active), "step": steps[active]})
        steps += active
        obs, reward, terminated, truncated, info = vec.step(actions, active)
        rewards += np.where(active, reward, 0)
        done = active & (terminated | truncated)
        _show(watcher, vec, running, obs, done, info["success"])
        # 3. Score the episodes that ended, and give the next seeds to their slots.
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
        # 4. Begin these seeds' episodes.
        if fresh:
            obs = vec.reset([seeds[running[slot]] for slot in fresh], fresh)
            was_reset = np.full(vec.num_envs, -1)
            was_reset[fresh] = running[fresh]
            _show(watcher, vec, was_reset, obs, np.zeros(vec.num_envs, bool), np.zeros(vec.num_envs, bool))
        if done.any():
            on_episode(sum(e is not None for e in episodes))
    scored = [episode for episode in episodes if episode is not None]
    assert len(scored) == len(seeds)
    return scored


def summarise(episodes: list[Episode]) -> dict:
    """The keys that every evaluation reports: {episodes, successes, success, wilson95, mean_steps}."""
    successes = sum(e.success for e in episodes)
    return {
        "episodes": len(episodes),
        "successes": successes,
        "success": successes / len(episodes),
        "wilson95": list(wilson95(successes, len(episodes))),
        "mean_steps": sum(e.steps for e in episodes) / len(episodes),
    }


def _show(
    watcher: Watcher | None, vec: VectorEnv, running: np.ndarray, obs: dict, done: np.ndarray, success: np.ndarray
) -> None:
    if watcher is not None:
        for slot in np.flatnonzero(running >= 0):
            watcher.see(vec, int(slot), int(running[slot]), obs, bool(done[slot]), bool(success[slot]))

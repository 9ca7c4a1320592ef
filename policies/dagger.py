"""DAgger (Ross et al. 2011): a mixture of expert and student acts, the expert labels every state that is visited.

A round is `steps_per_round` environment steps over `num_envs` slots; episodes go on across rounds. The student acts
on features that are computed once for each frame and stored with the expert's label.
"""

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from policies.dataset import Shard
from policies.learner import Learner
from policies.policy import Policy
from policies.rollout import Episode, VectorEnv
from policies.seeds import stream, training_seed
from toto_robot.errors import UserError

SCHEDULES = ("linear", "exponential", "constant")


@dataclass
class DaggerConfig:
    """How data is collected. The first round is always the expert's (beta = 1)."""

    rounds: int = 10
    """Rounds of collecting and learning."""
    steps_per_round: int = 1536
    """Environment steps in a round, over all slots."""
    first_round_steps: int = 4096
    """Environment steps of the first round: enough for the expert to finish an episode in each slot."""
    num_envs: int = 32
    """Environments that run side by side."""
    beta_schedule: str = "linear"
    """How the expert's share of the actions falls: linear, exponential or constant."""
    beta_rounds: int = 4
    """linear: the round at which beta reaches 0."""
    beta_decay: float = 0.5
    """exponential: beta in round k is beta_decay^k. constant: beta in every round but the first."""
    beta_per: str = "step"
    """Whether the expert takes over for single steps (step) or for whole episodes (episode)."""
    noise_std: float = 0.1
    """Standard deviation of the noise on the expert's continuous actions when it acts (DART, Laskey et al. 2017), so
    that it visits states from which it must recover. Labels are never noisy."""
    buffer_gb: float = 4.0
    """Memory for the aggregated data; when it is full, the oldest samples are dropped first."""
    eval_every: int = 0
    """Evaluate after the first round, after every `eval_every`-th one from there and after the last, for the learning
    curve; 0 for none. Not counted as training time."""
    eval_episodes: int = 50
    """Episodes of each of these evaluations, on seeds apart from the final one's."""
    keep_data: bool = False
    """Keep the rounds' data in checkpoints/ after the run is finished."""

    def __post_init__(self) -> None:
        for name in ("rounds", "steps_per_round", "first_round_steps", "num_envs", "beta_rounds", "eval_episodes"):
            if getattr(self, name) < 1:
                raise UserError(f"dagger.{name}={getattr(self, name)}: expected at least 1.")
        for name in ("steps_per_round", "first_round_steps"):
            if getattr(self, name) % self.num_envs:
                raise UserError(
                    f"dagger.{name}={getattr(self, name)}: expected a multiple of dagger.num_envs={self.num_envs}."
                )
        if self.beta_schedule not in SCHEDULES:
            raise UserError(f"dagger.beta_schedule={self.beta_schedule!r}: expected one of {', '.join(SCHEDULES)}.")
        if self.beta_per not in ("step", "episode"):
            raise UserError(f"dagger.beta_per={self.beta_per!r}: expected step or episode.")
        if not 0 <= self.beta_decay <= 1 or self.noise_std < 0 or self.buffer_gb <= 0:
            raise UserError("dagger: expected beta_decay in [0, 1], noise_std >= 0 and buffer_gb > 0.")

    def beta(self, round_: int) -> float:
        """The probability that the expert acts in round `round_`; 1 in the first."""
        if round_ == 0:
            return 1.0
        if self.beta_schedule == "linear":
            return max(0.0, 1 - round_ / self.beta_rounds)
        return self.beta_decay**round_ if self.beta_schedule == "exponential" else self.beta_decay

    def steps(self, round_: int) -> int:
        """Environment steps of round `round_`, over all slots."""
        return self.first_round_steps if round_ == 0 else self.steps_per_round

    @property
    def total_steps(self) -> int:
        """Environment steps of the whole run."""
        return sum(self.steps(r) for r in range(self.rounds))


@dataclass
class Seconds:
    """Where a round's wall-clock time went."""

    sim: float = 0.0
    encode: float = 0.0
    act: float = 0.0
    train: float = 0.0


@dataclass
class Collected:
    """What a round of collecting gave."""

    shard: Shard
    episodes: list[Episode]
    """Those that ended in this round."""
    by_student: list[bool]
    """For each of them: whether the student alone drove it."""
    seconds: Seconds = field(default_factory=Seconds)


class Collector:
    """Holds the running episodes. `state` and `restore` let another process go on exactly where this one stood."""

    def __init__(self, vec: VectorEnv, policy: Policy, config: DaggerConfig, seed: int):
        self.vec, self.policy, self.config, self.seed = vec, policy, config, seed
        n = vec.num_envs
        self.started = 0
        self.expert_steps = np.zeros(n, np.int64)
        self.expert_episode = np.ones(n, bool)
        self.rewards = np.zeros(n)
        self.seeds = np.zeros(n, np.int64)
        self.obs: dict[str, np.ndarray] | None = None
        self.noisy = np.ones(vec.action_dim, np.float32)
        self.noisy[[i % vec.action_dim for i in policy.binary]] = 0

    def collect(self, round_: int, beta: float, head: torch.nn.Module, on_step=lambda steps: None) -> Collected:
        """Run `config.steps(round_)` environment steps, the expert acting with probability `beta`, else `head`."""
        n, a = self.vec.num_envs, self.vec.action_dim
        steps = self.config.steps(round_) // n
        rng = np.random.default_rng(stream(self.seed, "mixing", round_))
        dice = rng.random((steps, n))
        noise = (rng.standard_normal((steps, n, a)) * self.config.noise_std).astype(np.float32) * self.noisy
        if self.obs is None:
            self._start(np.arange(n), dice[0], beta)
        rows: list[tuple] = []
        out = Collected(None, [], [])  # type: ignore[arg-type]
        clock = out.seconds
        for t in range(steps):
            t0 = time.perf_counter()
            features = self.policy.features(self.obs)
            proprio = torch.from_numpy(np.array(self.obs["proprio"], np.float32))
            expert = np.array(self.obs["expert"], np.float32)
            t1 = time.perf_counter()
            by_expert = dice[t] < beta if self.config.beta_per == "step" else self.expert_episode.copy()
            executed = np.clip(expert + noise[t], -1, 1)
            if not by_expert.all():
                student = self.policy.act_on(features, proprio, head)
                executed = np.where(by_expert[:, None], executed, student)
            self.expert_steps += by_expert
            t2 = time.perf_counter()
            rows.append((features, proprio, *map(torch.from_numpy, (expert, executed, by_expert))))
            self._step(executed, rng, beta, out)
            t3 = time.perf_counter()
            clock.encode, clock.act, clock.sim = clock.encode + t1 - t0, clock.act + t2 - t1, clock.sim + t3 - t2
            on_step(n)
        out.shard = Shard(*(torch.cat(column) for column in zip(*rows)))
        return out

    def _step(self, executed: np.ndarray, rng: np.random.Generator, beta: float, out: Collected) -> None:
        self.obs, reward, terminated, truncated, info = self.vec.step(executed)
        self.rewards += reward
        done = np.flatnonzero(terminated | truncated)
        for slot in done:
            out.episodes.append(
                Episode(
                    int(self.seeds[slot]),
                    bool(info["success"][slot]),
                    int(info["steps"][slot]),
                    float(self.rewards[slot]),
                )
            )
            out.by_student.append(bool(self.expert_steps[slot] == 0))
        if len(done):
            self._start(done, rng.random(len(done)), beta)

    def _start(self, slots: np.ndarray, dice: np.ndarray, beta: float) -> None:
        for slot, die in zip(slots, dice):
            self.seeds[slot] = training_seed(self.seed, self.started)
            self.started += 1
            self.expert_steps[slot], self.rewards[slot], self.expert_episode[slot] = 0, 0.0, die < beta
        self.obs = self.vec.reset([int(self.seeds[s]) for s in slots], [int(s) for s in slots])

    def state(self) -> dict[str, torch.Tensor]:
        """The running episodes, as tensors: the environments' own state is kept as bytes."""
        tensors = {
            "started": torch.tensor(self.started),
            "expert_steps": torch.from_numpy(self.expert_steps.copy()),
            "expert_episode": torch.from_numpy(self.expert_episode.copy()),
            "rewards": torch.from_numpy(self.rewards.copy()),
            "seeds": torch.from_numpy(self.seeds.copy()),
        }
        for i, state in enumerate(self.vec.get_state()):
            tensors[f"env.{i:04d}"] = torch.from_numpy(np.frombuffer(state, np.uint8).copy())
        return tensors

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        self.started = int(tensors["started"])
        for name in ("expert_steps", "expert_episode", "rewards", "seeds"):
            setattr(self, name, tensors[name].numpy().copy())
        self.obs = self.vec.set_state(
            [tensors[f"env.{i:04d}"].numpy().tobytes() for i in range(self.vec.num_envs)]
        )


def student_success(outcomes: list[bool], window: int = 100) -> float | None:
    """Share of successes among the newest `window` episodes that the student alone drove; None before the first."""
    recent = outcomes[-window:]
    return sum(recent) / len(recent) if recent else None


def run_round(collector: Collector, learner: Learner, data, round_: int, progress) -> tuple[Collected, float]:
    """Collect, aggregate, learn: returns what was collected and the mean loss."""
    beta = collector.config.beta(round_)
    collected = collector.collect(round_, beta, learner.average, progress.stepped)
    started = time.perf_counter()
    shard = collected.shard
    data.add(shard)
    learner.normalise(round_, shard.features, shard.proprio, shard.expert)
    loss = learner.train(round_, data, progress.updated)
    collected.seconds.train = time.perf_counter() - started
    return collected, loss

"""DAgger (Ross et al. 2011): student and expert take turns in acting, and the expert labels the visited states.

A gate decides who acts and which states are labelled (policies/dagger/gates/). A round is `steps_per_round` environment
steps over `num_envs` slots. Episodes continue across rounds. The features of a frame are computed once: the student
acts on them, and they are stored with the expert's label.

On the arrow: environments → `policies.features` → here → `buffer.Dataset`, from which `learner` trains.
"""

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from policies.bookkeeping.config import check_further_looks, check_training_look
from policies.bookkeeping.state import restore_slot_states, slot_states, under
from policies.cloning.augment import AugmentConfig, augment
from policies.dagger.buffer import Shard
from policies.dagger.gates import Choice, Gate, View
from policies.dagger.gates.gate import POLICY, first_round
from policies.dagger.learner import Learner
from policies.look.sample import LookSample
from policies.policy import Policy
from policies.scoring.rollout import Episode, VectorEnv
from policies.seeds import stream, training_seed
from toto_robot.ground.errors import UserError


@dataclass
class DaggerConfig:
    """How data is collected. The first round is always the expert's."""

    rounds: int = 10
    """Rounds of collecting and learning. A run that is stopped loses at most the current round."""
    steps_per_round: int = 1536
    """Environment steps in a round, over all slots."""
    first_round_steps: int = 4096
    """Environment steps of the first round: enough for the expert to finish an episode in each slot."""
    learn_every: int = 0
    """Environment steps between the student's updates. 0: the student learns once, at the end of a round."""
    num_envs: int = 32
    """Environments that run side by side."""
    noise_std: float = 0.1
    """Standard deviation of the noise on the expert's continuous actions when the expert acts (DART, Laskey et al.
    2017). It leads to states from which the expert must recover. Labels are never noisy."""
    buffer_gb: float = 4.0
    """Memory for the aggregated data. When it is full, the oldest samples are dropped first."""
    buffer_steps: int = 0
    """The most steps that are stored; 0: as many as `buffer_gb` holds."""
    eval_every: int = 0
    """For the learning curve: evaluate after the first round, after every `eval_every`-th round from there, and after
    the last one. 0 for never. Training time does not include it."""
    eval_episodes: int = 50
    """Episodes of each of these evaluations. Their seeds are not those of the final evaluation."""
    appearance: str | None = None
    """How the episodes look in which data is collected; null: as `env.appearance`, which is also how the policy is
    evaluated at the end. `mixed` is nominal, near nominal and wide in thirds of the episodes (envs/looks.py)."""
    also: list[str] = field(default_factory=list)
    """More looks of every visited state, drawn anew in each step (with a history, in each episode): nominal,
    near_nominal, wide or mixed. No physics runs for them, so they are the cheapest data there is; each costs one
    drawing and one encoding a step."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Changes of the frames in `also`. Where `also` is empty and something changes, `augment.copies` changed versions
    of each frame become samples beside the frame itself. The student always acts on frames as they are."""
    keep_data: bool = False
    """Keep the data of the rounds in checkpoints/ after the run is finished."""

    def __post_init__(self) -> None:
        for name in ("rounds", "steps_per_round", "first_round_steps", "num_envs", "eval_episodes"):
            if getattr(self, name) < 1:
                raise UserError(f"dagger.{name}={getattr(self, name)}: expected at least 1.")
        for name in ("steps_per_round", "first_round_steps", "learn_every"):
            if getattr(self, name) % self.num_envs:
                raise UserError(
                    f"dagger.{name}={getattr(self, name)}: expected a multiple of dagger.num_envs={self.num_envs}."
                )
        if self.appearance is not None:
            check_training_look(self.appearance, "dagger.appearance")
        check_further_looks(self.also, "dagger.also")
        if min(self.learn_every, self.buffer_steps, self.noise_std) < 0 or self.buffer_gb <= 0:
            raise UserError("dagger: expected learn_every, buffer_steps and noise_std >= 0 and buffer_gb > 0.")

    def steps(self, round_: int) -> int:
        """Environment steps of round `round_`, over all slots."""
        return self.first_round_steps if round_ == 0 else self.steps_per_round

    def pieces(self, round_: int) -> list[int]:
        """Environment steps between updates in round `round_`. The expert's round is never divided."""
        steps, piece = self.steps(round_), self.learn_every
        if round_ == 0 or not piece:
            return [steps]
        return [min(piece, steps - start) for start in range(0, steps, piece)]

    @property
    def total_steps(self) -> int:
        """Environment steps of the whole run."""
        return sum(self.steps(r) for r in range(self.rounds))

    @property
    def looks(self) -> int:
        """How many looks of each visited state become samples."""
        return 1 + (len(self.also) or (self.augment.copies if self.augment.changes_frames else 0))


@dataclass
class Seconds:
    """Where a round's wall-clock time went."""

    sim: float = 0.0
    encode: float = 0.0
    act: float = 0.0
    train: float = 0.0

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values())))


@dataclass
class Collected:
    """The outcome of collecting one piece of a round."""

    shard: Shard = field(init=False)
    """The steps; set once they are all there."""
    episodes: list[Episode] = field(default_factory=list)
    """Episodes that ended in this piece."""
    alone: list[tuple[int, bool]] = field(default_factory=list)
    """The episodes among them in which only the student acted, as (first step, success). The first step is counted in
    the episode's slot since the run began."""
    queries: int = 0
    """States in which the expert was asked for its action."""
    expert_steps: int = 0
    """Steps in which the expert or the person acted."""
    interventions: int = 0
    """How often the expert or the person took over from the student."""
    seconds: Seconds = field(default_factory=Seconds)

    def add(self, part: "Collected") -> None:
        """Add the counts and episodes of `part`, but not its shard."""
        for name, value in vars(part).items():
            if name != "shard":
                setattr(self, name, getattr(self, name) + value)


class Collector:
    """The running episodes. With `state` and `restore` another process continues exactly where this one stopped."""

    def __init__(self, vec: VectorEnv, policy: Policy, config: DaggerConfig, gate: Gate, seed: int):
        self.vec, self.policy, self.config, self.gate, self.seed = vec, policy, config, gate, seed
        n = vec.num_envs
        self.look = LookSample(policy.features, config.total_steps, seed)
        """A sample of the training pictures, to compare a camera's pictures with later. It has a state of its own."""
        self.recall = policy.new_recall()
        """What the running episodes have shown in every look. None for a policy that sees the newest frame alone."""
        self.started = 0
        self.expert_steps = np.zeros(n, np.int64)
        self.taken = np.zeros(n, bool)
        """(N,) slots in which the expert took over from the student in the newest step."""
        self.rewards = np.zeros(n)
        self.seeds = np.zeros(n, np.int64)
        self.obs: dict[str, np.ndarray] = {}
        """What every slot shows now; empty before the first episodes begin."""
        self.noisy = np.ones(vec.action_dim, np.float32)
        self.noisy[[i % vec.action_dim for i in policy.binary]] = 0

    def collect(self, round_: int, head: torch.nn.Module, on_step=lambda steps: None, piece: int = 0) -> Collected:
        """Run the `piece`-th piece of round `round_`. `head` acts for the student."""
        # 1. How many steps follow, and the slots' step count `now`, since the run began.
        n, a = self.vec.num_envs, self.vec.action_dim
        pieces = self.config.pieces(round_)
        steps = pieces[piece] // n
        now = (sum(map(self.config.steps, range(round_))) + sum(pieces[:piece])) // n
        # 2. All random numbers of the piece are a function of (seed, round, piece).
        rng = np.random.default_rng(stream(self.seed, "mixing", round_, *([piece] if piece else [])))
        dice = rng.random((steps, n))
        noise = (rng.standard_normal((steps, n, a)) * self.config.noise_std).astype(np.float32) * self.noisy
        noise *= self.gate.noisy
        self.gate.attend(True)
        if not self.obs:
            self._start(np.arange(n), dice[0], round_)
        rows: list[tuple] = []
        out = Collected()
        clock = out.seconds
        self.look.piece(now * n, (now + steps) * n, round_, piece)
        for t in range(steps):
            # 3. Features of what the slots show now.
            t0 = time.perf_counter()
            features = self._features(self.obs, 0, 1)
            others = self._other_looks(now + t)
            proprio = torch.from_numpy(np.array(self.obs["proprio"], np.float32))
            # 4. The student proposes an action, and the gate decides who acts and what is labelled.
            t1 = time.perf_counter()
            student = self.policy.act_on(features, proprio, head)
            choice, expert = self._choose(round_, features, proprio, student, dice[t], out)
            executed = np.where(choice.by_expert[:, None], np.clip(expert + noise[t], -1, 1), student)
            taken = choice.by_expert & (round_ > 0)
            seeds = self.seeds.copy()
            known = features if self.recall is None else None  # the look is of single frames
            self.look.offer(self.obs.get("rgb"), known, choice.label, seeds)
            # 5. The step. It may end episodes and begin others.
            t2 = time.perf_counter()
            done, success = self._step(executed, rng, round_, taken, choice.by_expert, now + t + 1, out)
            # 6. One row for each column of `Shard`, in its order.
            rows.append(
                self._in_every_look(
                    [features, *others],
                    proprio,
                    *map(
                        torch.from_numpy,
                        (
                            expert,
                            executed,
                            student,
                            np.where(choice.by_expert, self.gate.actor, POLICY).astype(np.uint8),
                            taken,
                            choice.label.copy(),
                            choice.score,
                            np.full(n, round_, np.int32),
                            seeds,
                            done,
                            success,
                        ),
                    ),
                )
            )
            t3 = time.perf_counter()
            clock.encode, clock.act, clock.sim = clock.encode + t1 - t0, clock.act + t2 - t1, clock.sim + t3 - t2
            on_step(n)
        self.gate.attend(False)
        self.look.end()
        out.shard = Shard(*(torch.cat(column) for column in zip(*rows)))
        return out

    def _other_looks(self, step: int) -> list[torch.Tensor]:
        """The features (N, ...) of the present states in each further look; `step` counts steps since the run began."""
        k = self.config.looks - 1
        if not k:
            return []
        frames = self.obs["rgb_also"] if self.config.also else np.repeat(self.obs["rgb"][:, None], k, axis=1)
        n = len(frames)  # frames: (N, K, H, W, 3)
        if self.config.augment.changes_frames:
            generator = torch.Generator().manual_seed(stream(self.seed, "augmentation", step)[0])
            changed = augment(
                torch.from_numpy(frames.reshape(n * k, *frames.shape[2:])), self.config.augment, generator
            )
            frames = changed.numpy().reshape(frames.shape)
        encoded = self._features({**self.obs, "rgb": frames.reshape(n * k, *frames.shape[2:])}, 1, k)
        return list(encoded.unflatten(0, (n, k)).unbind(1))

    def _features(self, obs: dict[str, np.ndarray], look: int, looks: int) -> torch.Tensor:
        """Features of every slot in `looks` looks, the first of which is number `look`: (N·looks, *shape), slot after
        slot. Each look of a slot has a history of its own."""
        if self.recall is None:
            return self.policy.features(obs)
        slots = range(self.vec.num_envs)
        return self.recall(obs, [slot * self.config.looks + look + i for slot in slots for i in range(looks)])

    @staticmethod
    def _in_every_look(features: list[torch.Tensor], *columns: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """A step's columns (N, ...) as (looks·N, ...): all slots in the episodes' look, then in each other look."""
        if len(features) == 1:
            return (features[0], *columns)
        return (torch.cat(features), *(column.repeat(len(features), *[1] * (column.ndim - 1)) for column in columns))

    def _choose(self, round_: int, features, proprio, student, dice, out: Collected) -> tuple[Choice, np.ndarray]:
        """The gate's choice, and the expert's actions (N, A): NaN where the expert was not asked."""
        labels = np.array(self.obs["expert"], np.float32)
        asked = np.zeros(len(labels), bool)

        def ask(mask: np.ndarray) -> np.ndarray:
            if not self.gate.watches:
                asked[mask] = True
            return np.where(mask[:, None], labels, np.float32(np.nan))

        if round_ == 0:
            choice = first_round(len(labels))
        else:
            choice = self.gate.choose(round_, View(features, proprio, student, dice, ask))
        asked |= choice.by_expert | choice.label
        out.queries += int(asked.sum())
        return choice, np.where(asked[:, None], labels, np.float32(np.nan))

    def _step(
        self, executed, rng, round_: int, taken, by_expert, now: int, out: Collected
    ) -> tuple[np.ndarray, np.ndarray]:
        """One environment step, the `now`-th of each slot. Returns (N,) which episodes ended, and which of them with
        success."""
        out.expert_steps += int(by_expert.sum())
        out.interventions += int((taken & ~self.taken).sum())
        self.expert_steps += by_expert
        self.taken = taken.copy()
        self.obs, reward, terminated, truncated, info = self.vec.step(executed)
        self.rewards += reward
        ended = terminated | truncated
        done = np.flatnonzero(ended)
        for slot in done:
            success, steps = bool(info["success"][slot]), int(info["steps"][slot])
            out.episodes.append(Episode(int(self.seeds[slot]), success, steps, float(self.rewards[slot])))
            if self.expert_steps[slot] == 0:
                out.alone.append((now - steps, success))
        success = ended & np.array(info["success"], bool)
        if len(done):
            self._start(done, rng.random(len(done)), round_)
        return np.array(ended, bool), success

    def _start(self, slots: np.ndarray, dice: np.ndarray, round_: int) -> None:
        """Begin the next episode in each of `slots`."""
        for slot in slots:
            self.seeds[slot] = training_seed(self.seed, self.started)
            self.started += 1
            self.expert_steps[slot], self.rewards[slot], self.taken[slot] = 0, 0.0, False
        self.gate.start(slots, dice, round_)
        if self.recall is not None:
            looks = self.config.looks
            self.recall.past.forget([int(slot) * looks + look for slot in slots for look in range(looks)])
        self.obs = self.vec.reset([int(self.seeds[s]) for s in slots], [int(s) for s in slots])

    def state(self) -> dict[str, torch.Tensor]:
        """The running episodes as tensors. The environments' own state is stored as bytes."""
        tensors = {"started": torch.tensor(self.started)}
        tensors |= {name: torch.from_numpy(getattr(self, name).copy()) for name in KEPT}
        if self.recall is not None:
            tensors |= {f"past.{name}": seen for name, seen in self.recall.past.state().items()}
        return tensors | slot_states(self.vec)

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Continue from what `state` returned."""
        self.started = int(tensors["started"])
        for name in KEPT:
            setattr(self, name, tensors[name].numpy().copy())
        if self.recall is not None:
            self.recall.past.restore(under(tensors, "past."))
        self.obs = restore_slot_states(self.vec, tensors)


KEPT = ("expert_steps", "taken", "rewards", "seeds")
"""Attributes of a collector with one entry for each slot."""


def run_round(collector: Collector, learner: Learner, data, round_: int, progress) -> tuple[Collected, float]:
    """One round: collect, aggregate and learn, piece by piece; then the gate learns. Returns what was collected, and
    the mean loss."""
    whole, shards, losses = Collected(), [], []
    for piece in range(len(collector.config.pieces(round_))):
        part = collector.collect(round_, learner.average, progress.stepped, piece)
        started = time.perf_counter()
        shard = part.shard
        data.add(shard)
        learner.normalise(round_, shard.features, shard.proprio, shard.expert[shard.labelled])
        losses.append(learner.train(round_, data, progress.updated, piece))
        part.seconds.train = time.perf_counter() - started
        shards.append(shard)
        whole.add(part)
    started = time.perf_counter()
    if round_ + 1 < collector.config.rounds:
        collector.gate.learn(round_, data, learner.average)
    whole.seconds.train += time.perf_counter() - started
    whole.shard = shards[0] if len(shards) == 1 else Shard(*map(torch.cat, zip(*(vars(s).values() for s in shards))))
    return whole, float(np.mean(losses))

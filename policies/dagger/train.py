"""A whole DAgger run: rounds with checkpoints, then the policy, its evaluation and its video.

On the arrow: `toto_robot.train_dagger` calls `train`. A round collects (`collector`), learns (`learner`), and is
committed to the run's folder.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import torch

from policies.bookkeeping.config import RunConfig
from policies.bookkeeping.final_score import score
from policies.bookkeeping.lifetime import Lifetime, Trained
from policies.bookkeeping.peak_memory import peak_memory_gb
from policies.bookkeeping.recent_success import mean_outcome, settled, still_needed
from policies.bookkeeping.run_folder import RunFolder
from policies.bookkeeping.screen import Progress
from policies.bookkeeping.state import under
from policies.dagger.buffer import Dataset, Shard
from policies.dagger.collector import Collector, DaggerConfig, run_round
from policies.dagger.gates import LEARNED, GateConfig, make_gate
from policies.dagger.learner import Learner, LearnerConfig
from policies.features.features import Features
from policies.fit.spec import spec_from_env
from policies.history import HistoryConfig
from policies.policy import Policy
from policies.scoring.rollout import VectorEnv, evaluate, summarise
from policies.seeds import stream, watching_seeds
from toto_robot.features.contract import FrozenEncoder
from toto_robot.ground.errors import UserError

COUNTED = {"expert_queries": "queries", "interventions": "interventions", "expert_steps": "expert_steps"}
"""What a run reports about the expert's work → the attribute of `collector.Collected`."""


@dataclass
class TrainConfig(RunConfig):
    """Everything that decides the outcome of a training run."""

    expert: str = "scripted"
    """The expert that labels every visited state: scripted, or the folder or name of a run of train_expert."""
    dagger: DaggerConfig = field(default_factory=DaggerConfig)
    """How data is collected."""
    gate: GateConfig = field(default_factory=GateConfig)
    """Who acts, and which states the expert is asked to label."""
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    """How the student learns from the data."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Which earlier frames the policy sees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.history.check(self.encoder.name)
        if self.encoder.train != "none" and self.gate.name in LEARNED:
            raise UserError(
                f"encoder.train={self.encoder.train}: gate={self.gate.name} learns from frozen features. Choose "
                "gate=beta or gate=hg, or leave encoder.train out."
            )


def train(
    cfg: TrainConfig,
    make_vec: Callable[[TrainConfig], VectorEnv],
    encoder: FrozenEncoder | None = None,
    progress: Callable[..., Progress] = Progress,
) -> Trained:
    """Train a policy with DAgger, save it to its run's folder, and evaluate it on unseen seeds.

    `make_vec(cfg)` makes the environments, with the expert's labels. `encoder` replaces the one that `cfg.encoder`
    names. The result depends on `cfg` alone: a run that was killed and resumed ends with the same bits.
    """
    if cfg.policy.transformer is not None:
        raise UserError(
            "DAgger trains policies that see one step: expected an MLP, got policy.transformer. Train a transformer on "
            "demonstrations, by `python -m toto_robot.train_bc policy=bc_transformer demos=PATH`."
        )
    with Lifetime(cfg) as lifetime:
        vec, features = lifetime.open(make_vec, encoder)
        policy = _new_policy(cfg, vec, features)
        run = lifetime.begin(policy.spec)
        with progress(lifetime.title(), cfg.dagger.rounds, cfg.dagger.total_steps, run.folder) as screen:
            facts = _rounds(cfg, run, vec, policy, screen)
            policy.save(run.folder / "policy")
            if cfg.dagger.appearance or cfg.dagger.also:  # evaluated as `env.appearance` says, without further looks
                vec = lifetime.renew(make_vec, replace(cfg, dagger=replace(cfg.dagger, appearance=None, also=[])))
            result = _score(cfg, run, vec, policy, facts, screen)
        run.finish(result, cfg.dagger.keep_data)
        return Trained(policy, run.folder, result)


def _new_policy(cfg: TrainConfig, vec: VectorEnv, features: Features) -> Policy:
    torch.manual_seed(stream(cfg.seed, "weights")[0])
    return Policy.create(
        features,
        cfg.env.name,
        vec.proprio_dim,
        vec.action_dim,
        cfg.policy,
        tuple(cfg.env.binary_actions),
        spec_from_env(vec, needs=features.needs),
        cfg.history.at(vec.control_hz, features),
    )


def _rounds(cfg: TrainConfig, run: RunFolder, vec: VectorEnv, policy: Policy, screen: Progress) -> dict:
    """Run all rounds that are not committed yet. Returns the facts after the last one."""
    dagger = cfg.dagger
    learner = Learner(policy, cfg.learner, [dagger.pieces(r) for r in range(dagger.rounds)], cfg.seed)
    person = getattr(vec, "labeller", None) if cfg.gate.sits else None
    gate = make_gate(cfg.gate, policy, vec.num_envs, cfg.seed, person)
    collector = Collector(vec, policy, dagger, gate, cfg.seed)
    shape, dtype = policy.feature_shape, policy.features.dtype
    capacity = dagger.looks * min(dagger.total_steps, dagger.buffer_steps or dagger.total_steps)
    slots = dagger.looks * vec.num_envs
    data = Dataset(shape, vec.proprio_dim, vec.action_dim, capacity, dagger.buffer_gb, dtype, slots)
    facts: dict = {"alone": [], "env_steps": 0, "train_seconds": 0.0} | dict.fromkeys(COUNTED, 0)
    done = run.rounds()
    if done:
        for tensors in run.data(done):
            data.add(Shard(**tensors))
        tensors, known = run.state(done)
        facts |= known
        learner.restore(under(tensors, "learner."))
        gate.restore(under(tensors, "gate."))
        collector.look.restore(under(tensors, "look."))
        if done < dagger.rounds:
            collector.restore(under(tensors, "collector."))
    screen.resume(run.truncate_metrics(done), facts["env_steps"], facts["train_seconds"])
    for round_ in range(done, cfg.dagger.rounds):
        facts = _round(cfg, run, collector, learner, data, round_, facts, screen)
    learner.finish()
    policy.look = collector.look.look()
    return facts


def _round(
    cfg: TrainConfig,
    run: RunFolder,
    collector: Collector,
    learner: Learner,
    data: Dataset,
    round_: int,
    facts: dict,
    screen: Progress,
) -> dict:
    """One round: collect, learn, evaluate, commit, log. Returns the facts after it."""
    # 1. Collect and learn.
    screen.begin(round_)
    started = time.perf_counter()
    collected, loss = run_round(collector, learner, data, round_, screen)
    seconds = time.perf_counter() - started
    # 2. What was measured, since the run began and in this round.
    steps = cfg.dagger.steps(round_)
    now, horizon = (facts["env_steps"] + steps) // collector.vec.num_envs, collector.vec.horizon
    alone = still_needed(facts["alone"] + collected.alone, now, horizon)
    facts = {
        "alone": alone,
        "env_steps": facts["env_steps"] + steps,
        "train_seconds": facts["train_seconds"] + seconds,
        **{name: facts[name] + getattr(collected, key) for name, key in COUNTED.items()},
    }
    row = {
        "round": round_,
        "env_steps": facts["env_steps"],
        "beta": cfg.gate.beta(round_),
        "expert_share": collected.expert_steps / steps,
        **{name: facts[name] for name in COUNTED},
        "loss": loss,
        "lr": learner.lr(learner.done),
        "samples": len(data),
        "labelled": len(data.labelled()),
        "dropped": data.dropped,
        "finished_episodes": len(collected.episodes),
        "student_success": mean_outcome(settled(alone, now, horizon)),
        "steps_per_s": steps / seconds,
        **{f"{k}_s": v for k, v in asdict(collected.seconds).items()},
        "train_seconds": facts["train_seconds"],
    }
    # 3. The state that the next round depends on, taken before the evaluation.
    state = {f"learner.{k}": v for k, v in learner.state().items()}
    state |= {f"gate.{k}": v for k, v in collector.gate.state().items()}
    state |= {f"collector.{k}": v for k, v in collector.state().items()}
    state |= {f"look.{k}": v for k, v in collector.look.state().items()}
    row["eval_success"] = _watch(cfg, collector, learner, round_, screen)
    # 4. Commit and log.
    saving = time.perf_counter()
    run.save_round(round_, vars(collected.shard), state, facts)
    screen.end(row)
    facts["train_seconds"] += time.perf_counter() - saving
    return facts


def _watch(cfg: TrainConfig, collector: Collector, learner: Learner, round_: int, screen: Progress) -> float | None:
    """Success on the watching seeds if this round asks for it. The running episodes are restored afterwards."""
    every = cfg.dagger.eval_every
    if not every or (round_ % every and round_ + 1 < cfg.dagger.rounds):
        return None
    screen.begin(round_, "evaluating")
    vec, policy, state = collector.vec, collector.policy, collector.state()  # evaluation leaves the gate alone

    def act(obs):
        return policy.act(obs, learner.average)

    episodes = evaluate(vec, act, watching_seeds(cfg.seed, cfg.dagger.eval_episodes))
    collector.restore(state)
    return summarise(episodes)["success"]


def _score(cfg: TrainConfig, run: RunFolder, vec: VectorEnv, policy: Policy, facts: dict, screen: Progress) -> dict:
    """The final evaluation, the video, and the keys of the JSON line."""
    screen.begin(cfg.dagger.rounds, "evaluating")
    return score(vec, policy, run.folder, cfg.episodes, cfg.eval_seed) | {
        "train_seconds": facts["train_seconds"],
        "env_steps": facts["env_steps"],
        **{name: facts[name] for name in COUNTED},
        "peak_memory_gb": peak_memory_gb(),
    }

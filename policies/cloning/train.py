"""A whole run of behaviour cloning: demonstrations, epochs with checkpoints, the policy, its evaluation and its video.

On the arrow: `toto_robot.train_bc` calls `train`. `episodes` reads the set, `demonstrations` makes batches, `cloner`
learns from them, and each checkpoint is committed to the run's folder.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import envs
from policies.bookkeeping.config import RunConfig
from policies.bookkeeping.final_score import score
from policies.bookkeeping.lifetime import Lifetime, Trained
from policies.bookkeeping.peak_memory import peak_memory_gb
from policies.bookkeeping.run_folder import RunFolder
from policies.bookkeeping.screen import Progress
from policies.bookkeeping.state import under
from policies.cloning.augment import AugmentConfig
from policies.cloning.cloner import Cloner, OptimConfig
from policies.cloning.demonstrations import Demonstrations, load_demonstrations
from policies.cloning.episodes import DataConfig, DemoReader, Recorded, bounds, camera_of, read_episodes
from policies.features.cache import digest
from policies.features.features import Features
from policies.fit.rules import refusals
from policies.fit.spec import PolicySpec, env_of_set, spec_from_set
from policies.history import HistoryConfig
from policies.look.sample import look_of_demonstrations
from policies.policy import Policy
from policies.scoring.held_out import Best, HeldOut, split
from policies.scoring.rollout import VectorEnv, evaluate, summarise
from policies.seeds import stream, watching_seeds
from toto_robot.features.contract import FrozenEncoder
from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.screen import show_count

if TYPE_CHECKING:
    from policies.cloning.redrawing import Redrawing

RESNET_SHIFT_PX = 6
"""Random shift when frames train the network: 5 % of 128 pixels each way, as robomimic crops 10 % off (76 of 84)."""
MOST_ROUNDS = 20
"""Checkpoints of a run."""
KEEPS = ("auto", "best", "last")
HELD_OUT = 0.1
"""Share of the episodes that env=none holds out by default."""


@dataclass
class TrainBcConfig(RunConfig):
    """Everything that decides the outcome of a run of behaviour cloning."""

    demos: str = "???"
    """Folder of the demonstration set, recorded (`python -m demos.record`) or imported. A set of another format,
    such as a LeRobot folder, is read as it is. Import it if many runs read it: its pictures are then decoded once."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """How the policy learns. mvp and rpt are the published settings. fast (MLP), rpt_fast (transformer) and
    scratch_fast (resnet) suit a CPU."""
    data: DataConfig = field(default_factory=DataConfig)
    """Which demonstrations are learned from, and how they are prepared."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Which earlier frames the policy sees."""
    cache: str = "data/features"
    """Folder for cached frozen features; empty for no cache."""
    eval_every: int = 0
    """Evaluate after every `eval_every`-th of the run's 20 checkpoints, for the learning curve; 0 for never."""
    eval_episodes: int = 50
    """Episodes of each of these evaluations. Their seeds are not those of the final evaluation."""
    num_envs: int = 32
    """Environments that run side by side in an evaluation."""
    keep: str = "auto"
    """Which checkpoint becomes the policy. best: the one with the smallest held-out error. last: the newest. auto: best
    with env=none, and last with an environment, because a smaller held-out error does not mean more success."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eval_every < 0 or min(self.num_envs, self.eval_episodes) < 1:
            raise UserError("expected eval_every >= 0, and num_envs and eval_episodes >= 1.")
        if self.privileged:
            raise UserError("encoder=privileged: demonstrations hold no privileged state; train_dagger can use it.")
        self.history.check(self.encoder.name)
        if self.data.also and not self.renders:
            raise UserError(
                f"data.also={list(self.data.also)}: encoder={self.encoder.name} sees no pictures. Leave it out."
            )
        if self.keep not in KEEPS:
            raise unknown("keep", self.keep, KEEPS)
        if self.keep == "best" and not self.held_out:
            raise UserError(
                "keep=best: no episode is held out, so no checkpoint can be called the best. Add data.held_out=0.1, or "
                "use keep=last."
            )
        if not self.env.exists:
            self.episodes = 0  # there is no environment to evaluate in
            if self.eval_every:
                raise UserError(
                    f"eval_every={self.eval_every}: env=none has no environment to evaluate in. Leave it out, or give "
                    "env=NAME."
                )

    @property
    def held_out(self) -> float:
        """`data.held_out`, or its default."""
        default = 0.0 if self.env.exists else HELD_OUT
        return default if self.data.held_out is None else self.data.held_out

    @property
    def evaluates(self) -> bool:
        """Whether the policy is evaluated in an environment."""
        return bool(self.episodes or self.eval_every)

    @property
    def label(self) -> str:
        """The environment's name, or without an environment the set's."""
        return self.env.name if self.env.exists else Path(self.demos).stem

    @property
    def rounds(self) -> int:
        """Checkpoints of the run."""
        return min(self.optim.epochs, MOST_ROUNDS)

    def epochs(self, round_: int) -> range:
        """The epochs between checkpoint `round_` and the one before."""
        return range(*(self.optim.epochs * r // self.rounds for r in (round_, round_ + 1)))

    @property
    def augmenting(self) -> AugmentConfig:
        """`data.augment` with a number for its shift."""
        a = self.data.augment
        default = RESNET_SHIFT_PX if self.encoder.name == "resnet" else 0
        return a if a.shift_px is not None else replace(a, shift_px=default)


def train(
    cfg: TrainBcConfig,
    make_vec: Callable[[TrainBcConfig], VectorEnv],
    encoder: FrozenEncoder | None = None,
    progress: Callable[..., Progress] = Progress,
    demos: DemoReader | None = None,
    joints_rad: Callable | None = None,
) -> Trained:
    """Clone the demonstrations, save the policy to its run's folder, and evaluate it on unseen seeds.

    `encoder` and `demos` replace those that `cfg` names. `joints_rad`: see `load_demonstrations`. The result depends on
    `cfg` and the set alone: a run that was killed and resumed ends with the same bits.
    """
    with Lifetime(cfg) as lifetime:
        # 1. Read and check: everything that does not fit is refused before the encoder is loaded and processes start.
        if demos is None:
            from demos.formats.foreign_set import open_set  # loads zarr

            demos = open_set(cfg.demos)
        recorded = read_episodes(demos, cfg.data, cfg.encoder.needs, cfg.demos)
        redrawing = None
        if cfg.data.also:
            from policies.cloning.redrawing import Redrawing  # loads zarr

            redrawing = Redrawing(demos, cfg.data, cfg.demos, steady=cfg.history.on)
        spec = spec_of_demos(cfg, demos, recorded[0])
        check_fits(cfg, demos.attrs, spec)
        lifetime.check(spec)
        # 2. Load: the encoder, the environments, the features.
        features = lifetime.features = cfg.features(encoder)
        vec = lifetime.vec = make_vec(cfg) if cfg.evaluates else None
        data, held_out = _load(cfg, demos, recorded, features, joints_rad, spec, redrawing)
        policy = _new_policy(cfg, demos.attrs, data, features, spec)
        # 3. Learn, save, evaluate.
        run = lifetime.begin(spec)
        cloner = Cloner(policy, cfg.optim, data, cfg.augmenting, cfg.seed)
        title = lifetime.title(f"{data.episodes} demonstrations")
        with progress(title, cfg.rounds, cloner.total, run.folder, axis="updates") as screen:
            facts, best = _rounds(cfg, run, vec, cloner, held_out, screen)
            policy.look = look_of_demonstrations(
                demos, camera_of(demos, cfg.data), data, features, cfg.augmenting, cfg.seed, redrawing
            )
            policy.save(run.folder / "policy")
            screen.begin(cfg.rounds, "evaluating")
            result = score(vec, policy, run.folder, cfg.episodes, cfg.eval_seed)
        counts = {"demonstrations": data.episodes, "samples": len(data), "updates": cloner.done}
        result |= {"train_seconds": facts["train_seconds"], **counts, "peak_memory_gb": peak_memory_gb()}
        result |= {"held_out": held_out.report(policy, best)} if held_out else {}
        run.finish(result, keep_data=False)
        return Trained(policy, run.folder, result)


def spec_of_demos(cfg: TrainBcConfig, demos: DemoReader, first: Recorded) -> PolicySpec:
    """What the numbers of a policy mean that learns from `demos`. Their counts and the picture's size are those of the
    episode `first`."""
    camera, needs = camera_of(demos, cfg.data), cfg.encoder.needs
    dims = first.proprio.shape[1], first.action.shape[1]
    low, high = (np.broadcast_to(end, dims[1]).tolist() for end in bounds(demos.attrs, cfg.demos))
    key = f"rgb_{camera}"
    return spec_from_set(
        demos.attrs | {"action": demos.attrs["action"] | {"low": low, "high": high}},
        needs=needs,
        camera=camera,
        dims=dims,
        robot=cfg.data.robot,
        picture=demos.episode(first.index, keys=[key])[key].shape[1:3] if needs == "rgb" else None,
        transformer=cfg.policy.transformer,
    )


def check_fits(cfg: TrainBcConfig, attrs: dict, spec: PolicySpec) -> None:
    """Raise UserError if the policy is evaluated in an environment that can't run what the set teaches."""
    if not cfg.evaluates:
        return
    if refused := refusals(spec, cfg.env.interface(), f"env={cfg.env.name}"):
        own = env_of_set(attrs)
        remedy = f"The set's own env is {own}: give that, or"
        if not own:
            remedy = f"The set is from {attrs.get('env')}, which is not ours:"
        raise UserError(
            f"{cfg.demos} teaches what env={cfg.env.name} can't run: {refused}. {remedy} train without an evaluation "
            "(env=none or episodes=0)."
        )


def _load(
    cfg: TrainBcConfig,
    demos: DemoReader,
    recorded: list[Recorded],
    features: Features,
    joints_rad: Callable | None,
    spec: PolicySpec,
    redrawing: "Redrawing | None",
) -> tuple[Demonstrations, HeldOut | None]:
    """The training data, and the held-out episodes if there are any."""
    learned, held = split(recorded, cfg.held_out, cfg.seed, cfg.demos)
    binary = tuple(i % learned[0].action.shape[1] for i in cfg.env.binary_actions)
    count = functools.partial(show_count, what="demonstrations")
    history = cfg.history.at(demos.attrs["control_hz"], features)
    options: dict = dict(binary=binary, joints_rad=joints_rad, on_episode=count, history=history)
    data = load_demonstrations(
        demos, learned, cfg.data, features, cfg.cache, augmenting=cfg.augmenting, redrawing=redrawing, **options
    )
    if not held:
        return data, None
    plain = AugmentConfig(shift_px=0)
    apart = load_demonstrations(demos, held, cfg.data, features, cfg.cache, augmenting=plain, **options)
    return data, HeldOut(apart, data, spec.action)


def _new_policy(cfg: TrainBcConfig, attrs: dict, data: Demonstrations, features: Features, spec: PolicySpec) -> Policy:
    torch.manual_seed(stream(cfg.seed, "weights")[0])
    dims = data.proprio.shape[1], data.action.shape[1]
    # The environment that the set is from, if it is ours; never the one that the policy is merely evaluated in.
    stamped = attrs.get("env")
    made_here = stamped == cfg.env.name and stamped not in envs.names()
    env = env_of_set(attrs) or (cfg.env.name if made_here else None)
    policy = Policy.create(features, env, *dims, cfg.policy, tuple(cfg.env.binary_actions), spec, data.history)
    policy.notes = {
        "demonstrations": data.episodes,
        "demonstrations_fingerprint": data.fingerprint,
        "control_hz": attrs.get("control_hz"),
        "action": attrs["action"],
        "set": attrs.get("env"),
    }
    return policy


def _rounds(
    cfg: TrainBcConfig,
    run: RunFolder,
    vec: VectorEnv | None,
    cloner: Cloner,
    held_out: HeldOut | None,
    screen: Progress,
) -> tuple[dict, Best]:
    """Run all epochs that are not committed yet. Returns the facts after the last one, and the weights that the policy
    now has."""
    fingerprint = digest(cloner.data.fingerprint, held_out.data.fingerprint) if held_out else cloner.data.fingerprint
    facts: dict = {"train_seconds": 0.0, "data": fingerprint}
    best = Best(always=cfg.keep == "last" or cfg.keep == "auto" and cfg.env.exists)
    done = run.rounds()
    if done:
        tensors, facts = run.state(done)
        if facts["data"] != fingerprint:
            raise UserError(
                f"{run.folder} was begun on other demonstrations than {cfg.demos} holds now. "
                "Restore the set, or start a new run."
            )
        cloner.restore(tensors)
        best = Best(best.always, **facts.get("best", {}), weights=under(tensors, "best."))
    screen.resume(run.truncate_metrics(done), cloner.done, facts["train_seconds"])
    for round_ in range(done, cfg.rounds):
        facts = _round(cfg, run, vec, cloner, held_out, best, round_, facts, screen)
    cloner.finish()
    if held_out:
        best.put(cloner)
    return facts, best


def _round(
    cfg: TrainBcConfig,
    run: RunFolder,
    vec: VectorEnv | None,
    cloner: Cloner,
    held_out: HeldOut | None,
    best: Best,
    round_: int,
    facts: dict,
    screen: Progress,
) -> dict:
    """The epochs up to one checkpoint: learn, measure, evaluate, commit, log. Returns the facts after it."""
    # 1. Learn.
    screen.begin(round_, "learning")
    started, before = time.perf_counter(), cloner.done
    losses = [cloner.train(epoch, lambda: screen.stepped(1)) for epoch in cfg.epochs(round_)]
    seconds = time.perf_counter() - started
    facts = facts | {"train_seconds": facts["train_seconds"] + seconds}
    row = {
        "round": round_,
        "updates": cloner.done,
        "epochs": cfg.epochs(round_).stop,
        "loss": losses[-1],
        "lr": cloner.lr(cloner.done),
        "samples": len(cloner.data),
        "steps_per_s": (cloner.done - before) / seconds,
        "train_seconds": facts["train_seconds"],
        "eval_success": None,
    }
    state = cloner.state()
    # 2. The error on held-out episodes, and the best weights so far.
    if held_out:
        screen.begin(round_, "held-out error")
        error, loss = held_out.measure(cloner.policy, cloner.average)
        row |= held_out.row(cloner.policy, error, loss)
        best.offer(row["epochs"], row["held_out_error"], error, cloner.average)
        facts |= {"best": best.facts()}
        state |= {f"best.{k}": v for k, v in best.weights.items()}
    # 3. Success on the watching seeds, if this checkpoint asks for it.
    if cfg.eval_every and ((round_ + 1) % cfg.eval_every == 0 or round_ + 1 == cfg.rounds):
        assert vec is not None
        screen.begin(round_, "evaluating")
        seeds = watching_seeds(cfg.seed, cfg.eval_episodes)
        episodes = evaluate(vec, lambda obs: cloner.policy.act(obs, cloner.average), seeds)
        row["eval_success"] = summarise(episodes)["success"]
    # 4. Commit and log.
    run.save_round(round_, {}, state, facts)
    screen.end(row)
    return facts

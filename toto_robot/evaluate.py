"""Evaluate a policy on a fixed list of seeds that training can't reach. Each seed is run once and scored once.

    python -m toto_robot.evaluate runs/franka_pick-20261120-120000 env=franka_pick episodes=200 seed=12345
    python -m toto_robot.evaluate policy=expert env=franka_pick
    python -m toto_robot.evaluate expert expert=runs/NAME env=franka_reach
    python -m toto_robot.evaluate policy=runs/first/policy shift=colour video=shifted.mp4
    python -m toto_robot.evaluate expert env=panda_lift backend=robosuite
    python -m toto_robot.evaluate bc_cube env=franka_cube protocol=trials16
    python -m toto_robot.evaluate bc_cube env=franka_pick convert=[rate,range]

A policy whose numbers don't mean the same as the environment's is refused before anything starts (docs/policy_fit.md).
The command prints a table, and last one JSON line: env, policy, episodes, successes, success, wilson95, mean_steps.
With protocol=trials16 it first runs the paper's 16 trials with varied position and orientation (their layout is
described in policies/scoring/trials.py). The line then also has protocol, trials (such as "13/16"), trials_successes,
trials_wilson95 and trials_seeds.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import envs
import policies
from envs.appearance import EVERY_SHIFT
from policies.experts.choose import make_labeller
from policies.fit.adapted import adapted, check_policy
from policies.fit.rules import FitKeys
from policies.scoring.rollout import EnvConfig, evaluate, summarise
from policies.scoring.statistics import summary_line
from policies.scoring.trials import report, trials16
from policies.scoring.video import Recorder
from policies.seeds import evaluation_seeds
from toto_robot import command
from toto_robot.ground.errors import UserError, expected, unknown
from toto_robot.ground.screen import show_count

PROTOCOLS = ("episodes", "trials16")


@dataclass
class EvaluateConfig(FitKeys):
    """What is evaluated, where, and how often."""

    policy: str = "???"
    """A policy's folder, a run's folder or name, `expert`, or `random`."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """The environment."""
    episodes: int = 200
    """How many episodes. The first k seeds are the same for every number."""
    seed: int = 12345
    """Chooses the list of episode seeds."""
    shift: str | None = None
    """Changed appearance: colour, light, camera, noise or all; photo, shadow, blur, drift, cloth or held_out (a family
    that no training draws); grey_card (a control of env=franka_pick_clutter); null for what training showed."""
    expert: str = "scripted"
    """The expert behind `policy=expert`: scripted, or the folder or name of a run of train_expert."""
    protocol: str = "episodes"
    """episodes: `episodes` random episodes. trials16: first the paper's 16 trials, then the episodes."""
    num_envs: int = 32
    """Environments that run side by side. A deterministic policy's result does not depend on it."""
    video: str | None = None
    """File for an MP4 of the first eight episodes; null for no video."""
    encode_processes: int = 2
    """Processes that encode frames on a CPU, one thread each."""
    threads: int | None = None
    """Threads of PyTorch's arithmetic in this process; by default all cores."""
    device: str = "cpu"
    """Where the encoder runs: cpu or cuda."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.episodes < 1 or self.num_envs < 1:
            raise UserError(f"expected episodes and num_envs >= 1, got {self.episodes} and {self.num_envs}.")
        if self.threads is not None and self.threads < 1:
            raise expected("threads", "a whole number from 1 on", self.threads)
        if self.shift is not None and self.shift not in EVERY_SHIFT:
            raise unknown("shift", self.shift, EVERY_SHIFT)
        if self.protocol not in PROTOCOLS:
            raise unknown("protocol", self.protocol, PROTOCOLS)


def main(cfg: EvaluateConfig) -> dict:
    envs.check(cfg.env.name, cfg.env.backend)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    policy, pictures = _load(cfg)
    vec = cfg.env.make_vec(
        min(cfg.num_envs, cfg.episodes),
        privileged=policy is not None and policy.needs == "privileged",
        render=bool(cfg.video) or (policy is not None and policy.needs == "rgb"),
        labeller=make_labeller(cfg.expert, cfg.env.name) if cfg.policy == "expert" else None,
        shift=cfg.shift,
        **pictures,
    )
    try:
        policy = policy or policies.RandomPolicy(vec.action_dim, cfg.seed)
        trials = _trials(cfg, vec, policy) if cfg.protocol == "trials16" else {}
        recorder = Recorder() if cfg.video else None
        tell = lambda done: show_count(done, cfg.episodes)
        episodes = evaluate(vec, policy.act, evaluation_seeds(cfg.seed, cfg.episodes), recorder, tell)
        if recorder is not None and cfg.video is not None:
            recorder.save(cfg.video, fps=vec.control_hz)
    finally:
        vec.close()
        if policy is not None:
            policy.close()
    simulator = {} if cfg.env.backend == "mujoco" else {"backend": cfg.env.backend}
    result = {"env": cfg.env.name, "policy": cfg.policy} | summarise(episodes) | trials | simulator
    _print_table(cfg, result)
    return result


def _trials(cfg: EvaluateConfig, vec, policy) -> dict:
    """Run the paper's 16 trials. Returns the keys that they add to the result."""
    trials = trials16(cfg.env.name, cfg.seed)
    seeds = [t.seed for t in trials]
    scored = summarise(evaluate(vec, policy.act, seeds, on_episode=lambda done: show_count(done, len(seeds))))
    print(f"trials16: {summary_line(scored['successes'], len(trials))}", flush=True)
    return report(scored, seeds)


def _load(cfg: EvaluateConfig) -> tuple:
    """The policy, and the options of the scene's pictures. Whether the policy fits is checked before any process
    starts."""
    if cfg.policy == "expert":
        return policies.ExpertPolicy(), {}
    if cfg.policy == "random" and not Path("random").exists():
        return None, {}  # `main` makes it when the number of actions is known
    fit, image_size = check_policy(cfg.policy, cfg.env, cfg)
    policy = policies.load(cfg.policy, device=cfg.device, processes=cfg.encode_processes)
    return adapted(policy, fit), {"image_size": image_size}


def _print_table(cfg: EvaluateConfig, result: dict) -> None:
    table = Table(title=summary_line(result["successes"], result["episodes"]), title_justify="left")
    cells = {
        "env": cfg.env.name,
        "policy": cfg.policy,
        "shift": cfg.shift or "none",
        "seed": str(cfg.seed),
        "episodes": str(result["episodes"]),
        "mean steps": f"{result['mean_steps']:.1f}",
    }
    for name in cells:
        table.add_column(name, overflow="fold")
    table.add_row(*cells.values())
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    command.run(main, EvaluateConfig, "evaluate", positional=("policy",))

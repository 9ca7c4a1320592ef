"""A run of reinforcement learning: rounds with checkpoints, then the policy, its evaluation and its video."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch

from policies import runs
from policies.features import make_features
from policies.policy import Policy
from policies.progress import Progress
from policies.rl.config import ExpertConfig
from policies.rollout import VectorEnv
from policies.scoring import score
from toto_robot.errors import UserError


@dataclass
class Trained:
    """The outcome of `train`."""

    policy: Policy
    folder: Path
    result: dict
    """The keys of the JSON line."""


def train(
    cfg: ExpertConfig,
    make_vec: Callable[[ExpertConfig], VectorEnv],
    encoder: Callable | None = None,
    progress: Callable[..., Progress] = Progress,
) -> Trained:
    """Train a policy from reward, save it to its run's folder, evaluate it on unseen seeds.

    `make_vec(cfg)` gives the environments; `encoder` takes the place of the one that `cfg.encoder` names. The result
    depends on `cfg` alone: a run that was killed and resumed ends with the same bits.
    """
    _require_stable_baselines3()
    from policies.rl.rounds import Session  # needs it

    torch.set_num_threads(cfg.threads)
    cfg.settled()  # what is missing is told before anything starts
    run = runs.resumable(cfg.run, cfg) if cfg.resume else None
    options = dict(device=cfg.device, encoder=encoder, processes=cfg.encode_processes)
    features = None if cfg.privileged else make_features(cfg.encoder, **options)
    vec = make_vec(cfg)
    try:
        features = features or make_features(cfg.encoder, privileged_dim=vec.privileged_dim)
        session = Session(cfg, vec, features)
        run = run or runs.start(cfg.run, cfg.env.name, cfg)
        title = f"{cfg.env.name}, {cfg.encoder.name}, {run.name}"
        with progress(title, session.rounds, session.total_steps, run.folder) as screen:
            facts = session.learn(run, screen)
            screen.begin(session.rounds, "evaluating")
            policy = session.policy()
            policy.save(run.folder / "policy")
            result = score(vec, policy, run.folder, cfg.episodes, cfg.eval_seed)
        result |= {key: facts[key] for key in ("train_seconds", "env_steps")} | {"peak_memory_gb": runs.peak_memory_gb()}
        run.finish(result, keep_data=False)
        return Trained(policy, run.folder, result)
    except KeyboardInterrupt:
        if run is not None:
            print(f"{run.rounds()} rounds are saved in {run.folder}; resume=true goes on from there.", file=sys.stderr)
        raise
    finally:
        vec.close()
        if features is not None:
            features.close()
        if run is not None:
            run.unlock()


def _require_stable_baselines3() -> None:
    try:
        import stable_baselines3  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"Reinforcement learning needs stable-baselines3 ({error}). Install it with `pip install 'toto_robot[rl]'`."
        ) from None

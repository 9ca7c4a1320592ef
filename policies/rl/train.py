"""A whole run of reinforcement learning: rounds with checkpoints, then the policy, its evaluation and its video.

On the arrow: `toto_robot.train_expert` calls `train`; `rounds` does the learning.
"""

from collections.abc import Callable

from policies.bookkeeping.final_score import score
from policies.bookkeeping.lifetime import Lifetime, Trained
from policies.bookkeeping.peak_memory import peak_memory_gb
from policies.bookkeeping.screen import Progress
from policies.rl.config import ExpertConfig
from policies.scoring.rollout import VectorEnv
from toto_robot.features.contract import FrozenEncoder
from toto_robot.ground.errors import UserError


def train(
    cfg: ExpertConfig,
    make_vec: Callable[[ExpertConfig], VectorEnv],
    encoder: FrozenEncoder | None = None,
    progress: Callable[..., Progress] = Progress,
) -> Trained:
    """Train a policy from reward, save it to its run's folder, and evaluate it on unseen seeds.

    `make_vec(cfg)` makes the environments. `encoder` replaces the one that `cfg.encoder` names. The result depends on
    `cfg` alone: a run that was killed and resumed ends with the same bits.
    """
    _require_stable_baselines3()
    from policies.rl.rounds import Session  # needs it

    cfg.settled()  # a missing number is an error before anything starts
    with Lifetime(cfg) as lifetime:
        vec, features = lifetime.open(make_vec, encoder)
        session = Session(cfg, vec, features)
        run = lifetime.begin(session.spec)
        with progress(lifetime.title(), session.rounds, session.total_steps, run.folder) as screen:
            facts = session.learn(run, screen)
            screen.begin(session.rounds, "evaluating")
            policy = session.policy()
            policy.save(run.folder / "policy")
            result = score(vec, policy, run.folder, cfg.episodes, cfg.eval_seed)
        result |= {key: facts[key] for key in ("train_seconds", "env_steps")}
        result["peak_memory_gb"] = peak_memory_gb()
        run.finish(result, keep_data=False)
        return Trained(policy, run.folder, result)


def _require_stable_baselines3() -> None:
    try:
        import stable_baselines3  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"Reinforcement learning needs stable-baselines3 ({error}). Install it with `pip install 'toto_robot[rl]'`."
        ) from None

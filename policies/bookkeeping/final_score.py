"""The end of every training run: the evaluation on unseen seeds, its video, and what people and scripts are told.

On the arrow: the trainers call `score`, and the commands (`toto_robot/train_*.py`) return what `report` returns.
"""

import sys
from pathlib import Path

from rich.console import Console

from policies.bookkeeping.lifetime import Trained
from policies.policy import Policy
from policies.scoring.held_out import sentence, table
from policies.scoring.rollout import VectorEnv, evaluate, summarise
from policies.scoring.statistics import summary_line
from policies.scoring.video import Recorder
from policies.seeds import evaluation_seeds


def score(vec: VectorEnv | None, policy: Policy, folder: Path, episodes: int, eval_seed: int) -> dict:
    """The first keys of a run's result: {env, policy} and, for `episodes` above 0, those of `summarise`. Writes
    rollouts.mp4 to `folder`."""
    result: dict = {"env": policy.env or "none", "policy": str(folder / "policy")}
    if episodes:
        assert vec is not None, "a run without environments has episodes=0"
        recorder = Recorder()
        scored = evaluate(vec, policy.act, evaluation_seeds(eval_seed, episodes), recorder)
        recorder.save(folder / "rollouts.mp4", fps=vec.control_hz)
        result |= summarise(scored)
    return result


def report(trained: Trained) -> dict:
    """Print the outcome of a run: held-out errors and success on stdout, the run's folder on stderr. Returns the
    result, which the command prints as its JSON line."""
    result = trained.result
    if held_out := result.get("held_out"):
        Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table(held_out))
        print(sentence(held_out), flush=True)
    if "successes" in result:
        print(summary_line(result["successes"], result["episodes"]), flush=True)
    print(f"run: {trained.folder}", file=sys.stderr)
    return result

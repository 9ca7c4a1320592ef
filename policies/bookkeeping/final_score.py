"""The end of every training run: the policy's evaluation on unseen seeds, its video, and the result's first keys."""

from pathlib import Path

from policies.policy import Policy
from policies.scoring.rollout import VectorEnv, evaluate, summarise
from policies.scoring.video import Recorder
from policies.seeds import evaluation_seeds


def score(vec: VectorEnv | None, policy: Policy, folder: Path, episodes: int, eval_seed: int) -> dict:
    """{env, policy} and what `summarise` gives of `episodes` episodes; rollouts.mp4 in `folder`. 0 episodes: no
    evaluation."""
    result: dict = {"env": policy.env or "none", "policy": str(folder / "policy")}
    if episodes:
        recorder = Recorder()
        scored = evaluate(vec, policy.act, evaluation_seeds(eval_seed, episodes), recorder)
        recorder.save(folder / "rollouts.mp4", fps=vec.control_hz)
        result |= summarise(scored)
    return result

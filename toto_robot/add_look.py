"""Add the statistics of its training pictures to a policy that was saved without them, so that a camera can be compared with them.

    python -m toto_robot.add_look runs/NAME                      from its own environment, driven by the scripted expert
    python -m toto_robot.add_look runs/NAME appearance=random    the same, in the looks that it was trained in
    python -m toto_robot.add_look NAME demos=data/mine           from the demonstrations that it was cloned from

`python -m deploy.check --policy` and the preflight of run_real judge live frames by them: in, doubtful or out. Training writes
them by itself. The policy's folder gets look.safetensors, and its policy.yaml names it; nothing else changes. Prints one JSON
line: policy, frames, episodes, units.
"""

import sys
from dataclasses import dataclass

import envs
import policies
from envs.appearance import LOOKS
from policies.demonstrations import DataConfig, choose
from policies.labelling import make_labeller
from policies.look.folder import add_look
from policies.look.sample import look_of_environment, look_of_set
from policies.folder import find
from toto_robot import door
from toto_robot.errors import UserError, unknown


@dataclass
class AddLookConfig:
    """Keys of `python -m toto_robot.add_look`."""

    policy: str = "???"
    """A policy's folder, a run's folder or name, or an embedded policy."""
    demos: str = ""
    """The demonstration set that it was trained on; empty for the policy's own environment."""
    camera: str = "wrist"
    """The set's camera that the policy sees."""
    appearance: str = "nominal"
    """How the environment looked in training: nominal, random, random_each_step or cluttered."""
    expert: str = "scripted"
    """Who drives in the environment: scripted, or a run of train_expert."""
    episodes: int = 60
    """How many episodes of the environment."""
    seed: int = 0
    """Chooses the episodes, among those of training, and the pictures."""
    device: str = "cpu"
    """Where the encoder runs: cpu or cuda."""

    def __post_init__(self) -> None:
        if self.appearance not in LOOKS:
            raise unknown("appearance", self.appearance, LOOKS)
        if self.episodes < 2:
            raise UserError(f"episodes={self.episodes}: expected at least 2, for pictures of one are judged by those of others.")


def main(cfg: AddLookConfig) -> dict:
    """Measures, and writes the policy's folder anew."""
    folder, policy = find(cfg.policy), policies.load(cfg.policy, device=cfg.device)
    if policy.needs != "rgb":
        raise UserError(f"The policy {cfg.policy} sees no pictures (encoder {policy.features.config.name}), so it needs no statistics.")
    look = _of_demonstrations(cfg, policy) if cfg.demos else _of_environment(cfg, policy)
    if look is None:
        raise UserError("there are too few pictures for statistics: expected at least 20. Give more episodes.")
    add_look(look, folder)
    units = {name: round(unit, 4) for name, unit in look.units.items()}
    return {"policy": str(folder), "frames": look.frames, "episodes": look.episodes, "units": units}


def _of_demonstrations(cfg: AddLookConfig, policy):
    from demos.store import DemoSet

    demos = DemoSet(cfg.demos)
    if f"rgb_{cfg.camera}" not in demos.keys:
        there = [key.removeprefix("rgb_") for key in demos.keys if key.startswith("rgb_")]
        raise unknown("camera", cfg.camera, there)
    return look_of_set(demos, cfg.camera, choose(demos, DataConfig(), cfg.demos), policy.features, cfg.seed)


def _of_environment(cfg: AddLookConfig, policy):
    if policy.env not in envs.names():
        raise UserError(f"The policy {cfg.policy} was trained on {policy.env}, which is not one of our environments. Give demos=SET.")
    env = envs.make(policy.env, appearance=cfg.appearance)
    label = make_labeller(cfg.expert, policy.env).label
    end = lambda done: "\n" if done == cfg.episodes else ""  # noqa: E731
    return look_of_environment(
        env, label, policy.features, cfg.episodes, cfg.seed,
        lambda done: print(f"\r{done}/{cfg.episodes} episodes", end=end(done), file=sys.stderr, flush=True))


if __name__ == "__main__":
    door.run(main, AddLookConfig, "add_look", positional=("policy",))

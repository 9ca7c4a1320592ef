"""Add the statistics of the training pictures to a policy that was saved without them.

    python -m toto_robot.add_look runs/NAME                      from its own environment, with the scripted expert
    python -m toto_robot.add_look runs/NAME appearance=random    the same, with the appearance of its training
    python -m toto_robot.add_look NAME demos=data/mine           from the demonstrations that it was cloned from

`python -m deploy.check --policy` and the preflight of run_real compare a camera's frames with these statistics: in,
doubtful or out. Training writes them automatically. The command adds look.safetensors to the policy's folder and names
it in policy.yaml. Nothing else changes. It prints one JSON line: policy, frames, episodes, units.
"""

from collections.abc import Callable
from dataclasses import dataclass

import envs
import policies
from envs.appearance import LOOKS
from policies.cloning.episodes import DataConfig, camera_of, choose
from policies.experts.choose import make_labeller
from policies.fit.folder import About, find
from policies.look.folder import add_look
from policies.look.sample import look_of_environment, look_of_set
from policies.look.training_look import LEAST
from policies.policy import inspect
from toto_robot import command
from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.screen import show_count


@dataclass
class AddLookConfig:
    """Keys of `python -m toto_robot.add_look`."""

    policy: str = "???"
    """A policy's folder, a run's folder or name, or an embedded policy."""
    demos: str = ""
    """The demonstration set of its training; empty for the policy's own environment."""
    camera: str | None = None
    """The set's camera that the policy sees. null: the one in the policy's description, otherwise wrist or the only
    camera of the set."""
    appearance: str = "nominal"
    """The environment's appearance in training: nominal, random, random_each_step or cluttered."""
    expert: str = "scripted"
    """The expert that acts in the environment: scripted, or a run of train_expert."""
    episodes: int = 60
    """How many episodes of the environment."""
    seed: int = 0
    """Chooses the episodes, within the training range, and the pictures."""
    device: str = "cpu"
    """Where the encoder runs: cpu or cuda."""

    def __post_init__(self) -> None:
        if self.appearance not in LOOKS:
            raise unknown("appearance", self.appearance, LOOKS)
        if self.episodes < 2:
            raise UserError(
                f"episodes={self.episodes}: expected at least 2, because pictures are compared with other episodes."
            )


def main(cfg: AddLookConfig) -> dict:
    """Compute the statistics and add them to the policy's folder. Mistakes are found before the encoder is loaded."""
    folder, about = find(cfg.policy), inspect(cfg.policy)
    if about.needs != "rgb":
        raise UserError(
            f"The policy {cfg.policy} sees no pictures (encoder {about.encoder.name}), so it needs no statistics."
        )
    measured = _of_demonstrations(cfg, about) if cfg.demos else _of_environment(cfg, about)
    look = measured(policies.load(cfg.policy, device=cfg.device).features)
    if look is None:
        raise UserError(f"There are too few pictures for statistics: expected at least {LEAST}. Give more episodes.")
    add_look(look, folder)
    units = {name: round(unit, 4) for name, unit in look.units.items()}
    return {"policy": str(folder), "frames": look.frames, "episodes": look.episodes, "units": units}


def _of_demonstrations(cfg: AddLookConfig, about: About) -> Callable:
    from demos.formats.foreign_set import open_set

    demos, known = open_set(cfg.demos), about.spec.cameras[0].name if about.spec and about.spec.cameras else None
    data = DataConfig(camera=cfg.camera or known)
    camera = camera_of(demos, data)
    if f"rgb_{camera}" not in demos.keys:
        there = [key.removeprefix("rgb_") for key in demos.keys if key.startswith("rgb_")]
        raise unknown("camera", camera, there, f"Choose one of {cfg.demos} by camera=NAME.")
    episodes = choose(demos, data, cfg.demos)
    return lambda features: look_of_set(demos, camera, episodes, features, cfg.seed)


def _of_environment(cfg: AddLookConfig, about: About) -> Callable:
    if about.env not in envs.names():
        said = f"in {about.env}, which is not one of our environments" if about.env else "in no environment of ours"
        raise UserError(f"The policy {cfg.policy} was trained {said}. Give the set that it was cloned from: demos=SET.")
    env = envs.make(about.env, appearance=cfg.appearance)
    label = make_labeller(cfg.expert, about.env).label
    return lambda features: look_of_environment(
        env,
        label,
        features,
        cfg.episodes,
        cfg.seed,
        lambda done: show_count(done, cfg.episodes),
    )


if __name__ == "__main__":
    command.run(main, AddLookConfig, "add_look", positional=("policy",))

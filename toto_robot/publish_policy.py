"""Embed a trained policy in the package, with a model card. `policies.load(NAME)` then finds it.

    python -m toto_robot.publish_policy runs/bc_cube bc_cube recipe=recipes/bc_cube.sh 'scores=[trials.json]'

The command copies the run's policy to policies/weights/NAME and writes MODEL_CARD.md from the run's config, its result
and the JSON lines of further evaluations. It prints one JSON line: out, encoder, success, megabytes.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from policies.fit.folder import CONFIG, EMBEDDED, FORMAT, WEIGHTS, About
from policies.fit.rules import spec_of_folder
from policies.look.folder import LOOK_FILE
from policies.policy import inspect
from policies.scoring.statistics import summary_line
from toto_robot import command
from toto_robot.features.encoder import encoder_names
from toto_robot.ground.atomic import atomic_folder
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import dump_yaml, read_yaml
from toto_robot.weights import LIMIT_MB

WITHOUT_FILES = ("none", "privileged", "resnet")
"""Inputs of a policy that need no encoder."""


@dataclass
class PublishPolicyConfig:
    """Keys of `python -m toto_robot.publish_policy`."""

    run: str = "???"
    """A finished run's folder."""
    name: str = "???"
    """Name by which `policies.load` finds it."""
    recipe: str = ""
    """The script that makes the policy, for the card."""
    scores: list[str] = field(default_factory=list)
    """Files whose last line is the JSON line of `evaluate`, for the card."""

    def __post_init__(self):
        if not self.name.isidentifier():
            raise UserError(f"name={self.name!r}: expected letters, digits and _")


def main(cfg: PublishPolicyConfig) -> dict:
    """Copy the policy and write its card."""
    folder = Path(cfg.run)
    source = folder / "policy"
    try:
        about = inspect(source)
        config = read_yaml(folder / "config.yaml")
        scores = [json.loads((folder / "result.json").read_text())]
        scores += [json.loads(Path(path).read_text().splitlines()[-1]) for path in cfg.scores]
        weights = (source / WEIGHTS).read_bytes()
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{cfg.run} can't be published ({error}); expected a finished run's folder") from error
    encoder, spec = about.encoder.name, spec_of_folder(about)
    if spec is None:
        raise UserError(
            f"{cfg.run} doesn't say what its policy's numbers mean, and env={about.env} is not one of ours; train it "
            "again"
        )
    if encoder not in (*encoder_names(), *WITHOUT_FILES):
        raise UserError(f"{cfg.run} reads the encoder {encoder!r}, which isn't shipped; publish that first")
    if len(weights) / 1e6 > LIMIT_MB:
        raise UserError(f"{cfg.run} has {len(weights) / 1e6:.1f} MB; embedded weights must stay within {LIMIT_MB} MB")
    with atomic_folder(EMBEDDED / cfg.name) as out:
        (out / WEIGHTS).write_bytes(weights)
        (out / CONFIG).write_text(dump_yaml(replace(about, format=FORMAT, spec=spec).plain()))
        if about.look is not None:
            (out / LOOK_FILE).write_bytes((source / LOOK_FILE).read_bytes())
        (out / "MODEL_CARD.md").write_text(card(cfg, about, config, scores))
    success = scores[0].get("success")
    size = round(len(weights) / 1e6, 2)
    return {"out": str(EMBEDDED / cfg.name), "encoder": encoder, "success": success, "megabytes": size}


def card(cfg: PublishPolicyConfig, about: About, config: dict, scores: list[dict]) -> str:
    """The text of MODEL_CARD.md."""
    rows = []
    for i, s in enumerate(scores):
        if "success" in s:
            where = f"{s['env']}, {'evaluated again' if i else 'at the end of the run'}"
            rows.append(f"- {where}: {summary_line(s['successes'], s['episodes'])}")
        if "trials" in s:
            rows.append(f"- {s['env']}, the paper's 16 trials: {summary_line(s['trials_successes'], 16)}")
    notes = {k: v for k, v in about.notes.items() if k != "action"}
    made = notes | {k: scores[0][k] for k in ("samples", "updates", "train_seconds", "env_steps") if k in scores[0]}
    facts = "\n".join(f"- {key}: {value}" for key, value in made.items())
    kept = ("encoder", "policy", "optim", "dagger", "learner", "data", "seed")
    settings = dump_yaml({k: config[k] for k in kept if k in config})
    return f"""# {cfg.name}

A policy for `{about.env}`: features of `{about.encoder.name}` and proprioception in, {about.action_dim} actions in
[-1, 1] out. {f"Made by `{cfg.recipe}`. " if cfg.recipe else ""}Loads with `policies.load("{cfg.name}")`.

## Success on unseen seeds
{chr(10).join(dict.fromkeys(rows)) or "not evaluated"}

## Training
{facts}

```yaml
{settings}```

## Use and limits
For the simulated task that it was trained on, with that protocol and that appearance. Licence: Apache-2.0.
"""


if __name__ == "__main__":
    command.run(main, PublishPolicyConfig, "publish_policy", positional=("run", "name"))

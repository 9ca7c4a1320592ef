"""Fit the power law of loss against compute to pre-training runs of several sizes.

    python -m toto_robot.scaling 'runs=[runs/a1,runs/a2,runs/a3]' out=scaling.png

It fits L = A·C^-b to the last held-out losses, with 95 % intervals. C is in multiply-adds, as in the paper.
"""

from dataclasses import dataclass, field
from pathlib import Path

from toto_robot import command
from toto_robot.evaluation.scaling import draw, fit, load_run
from toto_robot.ground.errors import UserError


@dataclass
class ScalingConfig:
    """Settings of `python -m toto_robot.scaling`."""

    runs: list[str] = field(default_factory=list)
    """Folders of finished runs, one for each size."""
    out: str = "scaling.png"
    """Picture to write."""

    def __post_init__(self):
        if not self.runs:
            raise UserError("scaling needs runs=[FOLDER,...].")


def main(cfg: ScalingConfig) -> dict:
    """Fit and draw the law. Returns its numbers."""
    runs = [load_run(folder) for folder in cfg.runs]
    law = fit([run.macs[-1] for run in runs], [run.loss[-1] for run in runs])
    draw(runs, law, Path(cfg.out))
    return {
        "out": cfg.out,
        "factor": law.factor,
        "factor95": list(law.factor95),
        "exponent": law.exponent,
        "exponent95": list(law.exponent95),
        "runs": {run.name: {"macs": run.macs[-1], "loss": run.loss[-1]} for run in runs},
    }


if __name__ == "__main__":
    command.run(main, ScalingConfig, "scaling")

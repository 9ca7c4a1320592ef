"""Success against the number of demonstrations, for several conditions in one picture, and the numbers in one line.

    python -m toto_robot.demo_curve 'runs=[runs/toto-30-0,runs/toto-60-0,runs/resnet-30-0]'
    out=docs/bc_demonstrations.png

A run's name is CONDITION-DEMONSTRATIONS-SEED. The episodes of a condition's seeds are counted together. Bars are
Wilson's 95 % intervals.
"""

import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib.figure import Figure

from policies.scoring.statistics import wilson95
from toto_robot import command
from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError


@dataclass
class DemoCurveConfig:
    """Keys of `python -m toto_robot.demo_curve`."""

    runs: list[str] = field(default_factory=list)
    """Folders of finished runs of train_bc."""
    out: str = "demonstrations.png"
    """Picture to write."""
    title: str = ""
    """The picture's title."""

    def __post_init__(self):
        if not self.runs:
            raise UserError("demo_curve needs runs=[FOLDER,...]")


def points(runs: list[str]) -> dict[str, dict[int, list[int]]]:
    """condition → demonstrations → [successes, episodes], over seeds."""
    found: dict[str, dict[int, list[int]]] = {}
    for run in runs:
        try:
            result = json.loads((Path(run) / "result.json").read_text())
            scored = result["demonstrations"], result["successes"], result["episodes"]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{run} is not a finished and evaluated run of train_bc ({error!r})") from error
        condition = re.sub(r"(-\d+)+$", "", Path(run).name)
        total = found.setdefault(condition, {}).setdefault(scored[0], [0, 0])
        total[0], total[1] = total[0] + scored[1], total[1] + scored[2]
    return found


def main(cfg: DemoCurveConfig) -> dict:
    """Draw the picture. Returns every point."""
    found, out = points(cfg.runs), Path(cfg.out)
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = figure.subplots()
    numbers: dict[str, dict] = {}
    for condition, by_count in found.items():
        counts = sorted(by_count)
        rates = [by_count[n][0] / by_count[n][1] for n in counts]
        bounds = [wilson95(*by_count[n]) for n in counts]
        below = [100 * (rate - low) for rate, (low, _) in zip(rates, bounds)]
        above = [100 * (high - rate) for rate, (_, high) in zip(rates, bounds)]
        axes.errorbar(counts, [100 * r for r in rates], [below, above], marker="o", ms=4, capsize=3, label=condition)
        numbers[condition] = {
            str(n): {"successes": by_count[n][0], "episodes": by_count[n][1], "wilson95": interval}
            for n, interval in zip(counts, bounds)
        }
    axes.set(xlabel="demonstrations", ylabel="success, %", ylim=(-2, 102), title=cfg.title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    atomic_write_bytes(out, buffer.getvalue())
    return {"out": str(out), "points": numbers}


if __name__ == "__main__":
    command.run(main, DemoCurveConfig, "demo_curve")

"""Learning curves of several runs in one picture, and their final scores in one table.

    python -m toto_robot.compare 'runs=[runs/toto-0,runs/toto-1,runs/random-0]' out=docs/controls.png
    python -m toto_robot.compare 'runs=[runs/a-0,runs/b-0]' 'second=[runs/c-0]' 'titles=[mean,grid]'

Runs whose names differ only in a trailing number (`toto-0`, `toto-1`) are seeds of one condition. The line is their
mean, and the band is their range. The curve shows the success that was measured during training (`dagger.eval_every`).
"""

import io
import json
import re
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib.figure import Figure

from toto_robot import command
from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError, unknown

AXES = {"env_steps": "environment steps", "expert_queries": "states in which the expert was asked"}
"""The horizontal axis → its name."""


@dataclass
class CompareConfig:
    """Keys of `python -m toto_robot.compare`."""

    runs: list[str] = field(default_factory=list)
    """Run folders."""
    second: list[str] = field(default_factory=list)
    """Run folders for a second panel beside the first."""
    titles: list[str] = field(default_factory=list)
    """Titles of the panels."""
    out: str = "comparison.png"
    """Picture to write."""
    title: str = ""
    """The picture's title."""
    axis: str = "env_steps"
    """The horizontal axis: env_steps or expert_queries."""
    lowest: int = 0
    """Where the axis of success begins, in per cent."""

    def __post_init__(self):
        if self.axis not in AXES:
            raise unknown("axis", self.axis, AXES)
        if not 0 <= self.lowest < 100:
            raise UserError(f"lowest={self.lowest}: expected 0 to 99 per cent.")
        if not self.runs:
            raise UserError("compare needs runs=[FOLDER,...]")


def curve(folder: str, axis: str = "env_steps") -> tuple[list[int], list[float]]:
    """(values of `axis`, success) of the evaluations during a run."""
    path = Path(folder) / "metrics.jsonl"
    if not path.is_file():
        raise UserError(f"{folder} is not a run: it has no metrics.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if row.get("eval_success") is not None]
    if not rows:
        raise UserError(f"{folder} was not evaluated during training; run it with dagger.eval_every=2, for example")
    if axis not in rows[0]:
        raise UserError(f"{folder} was trained before runs counted {axis}; train it again, or leave axis= out")
    return [row[axis] for row in rows], [row["eval_success"] for row in rows]


def by_condition(runs: list[str]) -> dict[str, list[str]]:
    """Run folders grouped by name without the trailing number."""
    groups: dict[str, list[str]] = {}
    for run in runs:
        groups.setdefault(re.sub(r"[-_]?\d+$", "", Path(run).name) or Path(run).name, []).append(run)
    return groups


def draw(axes, runs: list[str], colours: dict[str, str], axis: str = "env_steps", lowest: int = 0) -> dict[str, dict]:
    """Draw one panel. Returns the last point of each condition.

    `colours` maps a name without its pooling to a colour. All seeds of a condition must be evaluated at the same steps;
    their queries up to there are averaged. Raises UserError for a point below `lowest` %.
    """
    last = {}
    for name, folders in by_condition(runs).items():
        if len({tuple(curve(folder)[0]) for folder in folders}) > 1:
            raise UserError(f"the runs of {name} were evaluated at different steps; compare runs of one recipe")
        curves = [curve(folder, axis) for folder in folders]
        steps, values = np.mean([x for x, _ in curves], 0), 100 * np.array([value for _, value in curves])
        seeds = f"{len(folders)} seed{'s' * (len(folders) > 1)}"
        if values.min() < lowest:
            raise UserError(f"lowest={lowest} would hide {name} ({seeds}) at {values.min():.0f} %.")
        colour = colours.setdefault(re.sub(r"_(mean|grid|attention)$", "", name), f"C{len(colours)}")
        axes.plot(steps, values.mean(0), marker="o", ms=3, color=colour, label=f"{name} ({seeds})")
        axes.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)
        last[name] = {
            "seeds": len(folders),
            "steps": int(steps[-1]),
            "success": [round(v / 100, 4) for v in values[:, -1]],
        }
    margin = 0.02 * (100 - lowest)
    axes.set(xlabel=AXES[axis], ylabel="success, %", ylim=(lowest - margin, 100 + margin))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize=8)
    return last


def main(cfg: CompareConfig) -> dict:
    """Draw the picture. Returns the last point of each condition."""
    panels = [runs for runs in (cfg.runs, cfg.second) if runs]
    figure = Figure(figsize=(1.5 + 6 * len(panels), 4.5), layout="constrained")
    figure.suptitle(cfg.title)
    last: dict[str, dict] = {}
    colours: dict[str, str] = {}
    for axes, runs, title in zip_longest(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, cfg.titles[: len(panels)]
    ):
        axes.set_title(title or "")
        last |= draw(axes, runs, colours, cfg.axis, cfg.lowest)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    out = Path(cfg.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(out, buffer.getvalue())
    return {"out": str(out), "last": last}


if __name__ == "__main__":
    command.run(main, CompareConfig, "compare")

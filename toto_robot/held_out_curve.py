"""The held-out errors of runs of train_bc in one picture, with one column for each run, and their numbers in one line.

    python -m toto_robot.held_out_curve 'runs=[runs/fr3_stack,runs/bridge,runs/g1]' out=docs/held_out.png
    python -m toto_robot.held_out_curve 'runs=[runs/small,runs/wide]' 'titles=[256 units,1024 units]'

The upper row shows all actions together, in standard deviations of the training actions, beside the errors of the mean
action and of the previous action. The lower row shows each action in its own unit. docs/did_training_work.md explains
the picture. A run need not be finished. The command prints one JSON line: out, and for each run the epoch and the
errors at its smallest held-out error.
"""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib.figure import Figure

from policies.bookkeeping.learning_curve import AXES, GUESSES, dimensions, draw_each, draw_held_out
from toto_robot import command
from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError


@dataclass
class HeldOutCurveConfig:
    """Keys of `python -m toto_robot.held_out_curve`."""

    runs: list[str] = field(default_factory=list)
    """Folders of runs with data.held_out above 0."""
    titles: list[str] = field(default_factory=list)
    """Titles of the columns; [] for the runs' names."""
    out: str = "held_out.png"
    """Picture to write."""

    def __post_init__(self):
        if not self.runs:
            raise UserError("held_out_curve needs runs=[FOLDER,...]")
        if self.titles and len(self.titles) != len(self.runs):
            raise UserError(f"titles: expected {len(self.runs)}, one for each run, or none; got {len(self.titles)}.")


def rows_of(run: str) -> list[dict]:
    """The rows of a run's checkpoints that have a held-out error."""
    path = Path(run) / "metrics.jsonl"
    if not path.is_file():
        raise UserError(f"{run} is not a run: it has no metrics.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    if not (found := [row for row in rows if row.get("held_out_error") is not None]):
        raise UserError(f"{run} has no held-out episodes; train it with data.held_out=0.1, for example")
    return found


def main(cfg: HeldOutCurveConfig) -> dict:
    """Draw the picture. Returns the numbers at the smallest errors."""
    columns = [rows_of(run) for run in cfg.runs]
    figure = Figure(figsize=(5 * len(columns), 7), layout="constrained")
    numbers = {}
    for axes, rows, run, title in zip(
        figure.subplots(2, len(columns), squeeze=False).T, columns, cfg.runs, cfg.titles or cfg.runs
    ):
        draw_held_out(axes[0], rows, "updates")
        draw_each(axes[1], rows, "updates")
        axes[0].set(title=title if cfg.titles else Path(run).name)
        axes[1].set(xlabel=AXES["updates"])
        for each in axes:
            each.grid(alpha=0.3)
        best = min(rows, key=lambda row: row["held_out_error"])
        guesses = {key.removeprefix("held_out_"): best[key] for key, _ in GUESSES}
        numbers[run] = {
            "epoch": best["epochs"],
            "error": best["held_out_error"],
            **guesses,
            "dimensions": dimensions(best),
        }
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    out = Path(cfg.out)
    atomic_write_bytes(out, buffer.getvalue())
    return {"out": str(out), "runs": numbers}


if __name__ == "__main__":
    command.run(main, HeldOutCurveConfig, "held_out_curve")

"""Pre-training runs side by side: what each cost, its held-out loss, and what a probe reads from its features."""

import json
from dataclasses import dataclass
from pathlib import Path

from toto_robot.evaluation.probe import POOLINGS
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import read_yaml
from toto_robot.pretraining.logs import RESULT

PROBE = "probe"
"""Folder in a run that its probe's results are in."""


@dataclass(frozen=True)
class Row:
    """One run."""

    name: str
    """The run's folder name."""
    parameters: int
    """Of the model."""
    tokens: int
    """Predicted in training, those of the run that it started from included."""
    flops: float
    """Of training, likewise."""
    loss: float | None
    """Held-out loss: nats a token, or the squared error of a normalised patch. Runs of one tokenizer compare."""
    probes: dict[str, tuple[int, float, float]]
    """For each pooling the best layer, its R² and its error in millimetres."""


def read_row(folder: str | Path) -> Row:
    """A finished run, and what `python -m toto_robot.probe` wrote to its folder probe/. Raises UserError."""
    folder = Path(folder)
    result, scores = _read(folder / RESULT, "pretrain"), _read(folder / PROBE / "probe.json", "probe")["scores"]
    probes = {}
    for pooling in POOLINGS:
        found = min((score for score in scores if score["pooling"] == pooling), key=lambda score: score["error_mm"])
        probes[pooling] = found["layer"], found["r2"], found["error_mm"]
    runs = [result, *(_read(path / RESULT, "pretrain") for path in _started_from(folder))]
    return Row(
        folder.name,
        result["parameters"],
        sum(run["tokens"] for run in runs),
        sum(run["flops"] for run in runs),
        result.get("held_out"),
        probes,
    )


def markdown(rows: list[Row]) -> str:
    """A table with a row for each run."""
    lines = [
        "| run | parameters | tokens | training FLOPs | held-out loss | "
        + " | ".join(f"{p}: layer, R², mm" for p in POOLINGS)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(POOLINGS),
    ]
    for row in rows:
        probes = " | ".join(f"{layer}, {r2:.3f}, {mm:.1f}" for layer, r2, mm in (row.probes[p] for p in POOLINGS))
        loss = "–" if row.loss is None else f"{row.loss:.3f}"
        lines.append(
            f"| {row.name} | {row.parameters / 1e6:.2f}M | {row.tokens:,} | {row.flops:.2e} | {loss} | {probes} |"
        )
    return "\n".join(lines) + "\n"


def _started_from(folder: Path) -> list[Path]:
    """The runs that a run's weights came from, newest first."""
    chain = []
    while (start := read_yaml(folder / "config.yaml").get("init")) is not None:
        folder = Path(start).parent
        if not (folder / RESULT).is_file():
            break
        chain.append(folder)
    return chain


def _read(path: Path, command: str) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}); make it with `python -m toto_robot.{command}`"
        ) from error

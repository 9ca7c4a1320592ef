"""Pre-training runs side by side: the cost of each, its held-out loss, and the error of a probe on its features."""

import json
from dataclasses import dataclass
from pathlib import Path

from toto_robot.features.pooling import PROBED
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import read_yaml
from toto_robot.pretraining.logs import RESULT

PROBE = "probe"
"""Folder in a run with the results of its probe."""


@dataclass(frozen=True)
class Row:
    """One run."""

    name: str
    """Name of the run's folder."""
    parameters: int
    """Number of parameters of the model."""
    tokens: int
    """Tokens predicted in training, including the run that it started from."""
    flops: float
    """FLOPs of training, including the run that it started from."""
    loss: float | None
    """Held-out loss: nats a token, or the squared error of a normalised patch. Only runs with one tokenizer are
    comparable."""
    probes: dict[str, tuple[int, float, float]]
    """For each pooling the best layer, its R² and its error in millimetres."""


def read_row(folder: str | Path) -> Row:
    """The row of a finished run, with the results of `python -m toto_robot.probe` in its folder probe/.

    Raises UserError if something is missing or damaged.
    """
    folder = Path(folder)
    result, scores = _read(folder / RESULT, "pretrain"), _read(folder / PROBE / "probe.json", "probe")["scores"]
    probes = {}
    for pooling in PROBED:
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
        + " | ".join(f"{p}: layer, R², mm" for p in PROBED)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(PROBED),
    ]
    for row in rows:
        probes = " | ".join(f"{layer}, {r2:.3f}, {mm:.1f}" for layer, r2, mm in (row.probes[p] for p in PROBED))
        loss = "–" if row.loss is None else f"{row.loss:.3f}"
        lines.append(
            f"| {row.name} | {row.parameters / 1e6:.2f}M | {row.tokens:,} | {row.flops:.2e} | {loss} | {probes} |"
        )
    return "\n".join(lines) + "\n"


def _started_from(folder: Path) -> list[Path]:
    """The runs that the weights of a run came from, newest first."""
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
            f"{path} is missing or damaged ({error}). Make it with `python -m toto_robot.{command}`."
        ) from error

"""Loss against compute: the power law of runs of several sizes (Sec. 4.8, Fig. 9)."""

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError
from toto_robot.ground.screen import read_log
from toto_robot.pretraining.logs import LOG, RESULT

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t at 97.5 % for 1 to 10 degrees of freedom."""


@dataclass
class ScalingRun:
    """One run's held-out losses."""

    name: str
    """Name of the run's folder."""
    parameters: int
    """Number of parameters of the model."""
    macs: np.ndarray
    """(n,) multiply-adds until then: half the FLOPs. This is the paper's unit."""
    loss: np.ndarray
    """(n,) held-out loss in nats a token."""


@dataclass
class PowerLaw:
    """L(C) = factor · C^-exponent, with C in multiply-adds, and 95 % confidence intervals."""

    factor: float
    factor95: tuple[float, float]
    exponent: float
    exponent95: tuple[float, float]

    def __call__(self, macs: npt.ArrayLike) -> np.ndarray:
        return self.factor * np.asarray(macs, float) ** -self.exponent


def load_run(folder: str | Path) -> ScalingRun:
    """Read a finished run of `pretrain`. Raises UserError for another folder, or if there is no held-out loss."""
    folder = Path(folder)
    try:
        parameters = json.loads((folder / RESULT).read_text())["parameters"]
        lines = [line for line in read_log(folder / LOG) if "held_out" in line]
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{folder} is not a finished run of `python -m toto_robot.pretrain` ({said}).") from error
    if not lines:
        raise UserError(f"{folder} has no held-out loss. Train it with validation=[STORE].")
    if "flops" not in lines[-1]:
        raise UserError(f"{folder / LOG} does not say what compute it took: an older version wrote it. Train it again.")
    macs = np.array([line["flops"] for line in lines]) / 2
    return ScalingRun(folder.name, parameters, macs, np.array([line["held_out"] for line in lines]))


def fit(macs: npt.ArrayLike, loss: npt.ArrayLike) -> PowerLaw:
    """Least squares on a log-log scale, with intervals from Student's t. Raises UserError for fewer than 3 points."""
    x, y = np.log(np.asarray(macs, float)), np.log(np.asarray(loss, float))
    n = len(x)
    if n < 3:
        raise UserError(f"A power law with an interval needs at least 3 runs, got {n}.")
    spread = ((x - x.mean()) ** 2).sum()
    if not spread > 0:
        raise UserError("All runs used the same compute, so nothing can be fitted. Give runs of different sizes.")
    slope = ((x - x.mean()) * (y - y.mean())).sum() / spread
    start = y.mean() - slope * x.mean()
    error = math.sqrt(((y - start - slope * x) ** 2).sum() / (n - 2))
    t = T_975[n - 3] if n - 2 <= len(T_975) else 1.96 + 2.5 / (n - 2)
    of_slope = t * error / math.sqrt(spread)
    of_start = t * error * math.sqrt(1 / n + x.mean() ** 2 / spread)
    return PowerLaw(
        math.exp(start),
        (math.exp(start - of_start), math.exp(start + of_start)),
        -slope,
        (-slope - of_slope, -slope + of_slope),
    )


def draw(runs: list[ScalingRun], law: PowerLaw, path: Path) -> None:
    """Draw the curve and the last point of each run, and the law through the last points."""
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for run in runs:
        (line,) = axes.plot(run.macs, run.loss, lw=1, label=f"{run.name}, {run.parameters / 1e6:.3g}M")
        axes.plot(run.macs[-1:], run.loss[-1:], "o", color=line.get_color())
    ends = np.array([run.macs[-1] for run in runs])
    at = np.geomspace(ends.min() / 2, ends.max() * 2, 50)
    low, high = law.exponent95
    axes.plot(
        at, law(at), "k--", lw=1, label=f"{law.factor:.2f}·C^-{law.exponent:.4f}  (95 %: {low:.4f} to {high:.4f})"
    )
    axes.set(xscale="log", yscale="log", xlabel="compute (multiply-adds)", ylabel="held-out loss (nats per token)")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=130)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, image.getvalue())

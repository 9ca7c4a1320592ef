"""The results of the probe as JSON, as a table and as a picture."""

import io
import json
from dataclasses import asdict
from pathlib import Path

from toto_robot.evaluation.probe import Score
from toto_robot.features.pooling import PROBED
from toto_robot.ground.atomic import atomic_write_bytes, atomic_write_text


def best(scores: list[Score]) -> Score:
    """The score with the smallest error."""
    return min(scores, key=lambda score: score.error_mm)


def table(scores: list[Score]) -> str:
    """Markdown: a row for each encoder and layer, R² and millimetres for each pooling."""
    lines = ["| encoder | layer | " + " | ".join(f"{p}: R² | mm" for p in PROBED) + " |"]
    lines.append("|---|---" + "|---|---" * len(PROBED) + "|")
    by_place = {(s.encoder, s.layer, s.pooling): s for s in scores}
    for encoder, layer in dict.fromkeys((s.encoder, s.layer) for s in scores):
        cells = [by_place[encoder, layer, p] for p in PROBED]
        shown = " | ".join(f"{s.r2:.3f} | {s.error_mm:.1f}" for s in cells)
        lines.append(f"| {encoder} | {layer or 'codes'} | {shown} |")
    return "\n".join(lines) + "\n"


def write_report(out: Path, scores: list[Score], facts: dict) -> None:
    """Write probe.json, probe.md and probe.png to `out`. `facts` describe the data (frames, episodes, baseline)."""
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_text(out / "probe.json", json.dumps({**facts, "scores": [asdict(s) for s in scores]}, indent=1) + "\n")
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    title = "# The cube's position in the hand's frame, read from frozen features\n\n"
    atomic_write_text(out / "probe.md", f"{title}{said}\n\n{table(scores)}")
    atomic_write_bytes(out / "probe.png", draw(scores, facts["guess_mm"]))


def draw(scores: list[Score], guess_mm: float) -> bytes:
    """A PNG: error in millimetres against the layer, a panel for each pooling, a line for each encoder."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    panels = figure.subplots(1, len(PROBED), sharey=True)
    for axes, pooling in zip(panels, PROBED):
        for encoder in dict.fromkeys(s.encoder for s in scores):
            points = [(s.layer, s.error_mm) for s in scores if s.encoder == encoder and s.pooling == pooling]
            if len(points) == 1:
                axes.axhline(points[0][1], linestyle="--", color="tab:green", label=encoder)
            else:
                axes.plot(*zip(*points), "o-", label=encoder)
        axes.axhline(guess_mm, linestyle=":", color="grey", label="guessing the mean")
        axes.set(title=f"{pooling} pooling", xlabel="layer", ylim=(0, None))
    panels[0].set_ylabel("error on held-out episodes (mm)")
    panels[-1].legend(frameon=False, fontsize=8)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()

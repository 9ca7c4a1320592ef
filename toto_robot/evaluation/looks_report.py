"""The looks table as JSON, as Markdown and as a picture."""

import io
import json
from dataclasses import asdict
from pathlib import Path

from toto_robot.evaluation.looks import Interval, Looks
from toto_robot.ground.atomic import atomic_write_bytes, atomic_write_text


def tables(found: Looks) -> str:
    """Markdown: codes, distances and probes, with 95 % intervals in brackets."""
    looks = list(found.changed)
    parts = [
        "## Codes that change, in %\n",
        _table(
            ["", *looks, "two states"],
            [["same state, other look", *(_percent(found.changed[look]) for look in looks), _percent(found.between)]],
        ),
    ]
    if found.real:
        parts += [
            "\n## Codes that change on real frames, in %\n",
            _table(["", *found.real], [["same frame, jittered", *map(_percent, found.real.values())]]),
        ]
    used = ", ".join(
        f"{count} in {'the nominal look' if name == 'nominal' else 'all looks'}"
        for name, count in found.codes_used.items()
    )
    parts += [
        f"\nDistinct codes on the test states: {used}.\n",
        "\n## How far a look moves a feature, in distances between two states\n",
    ]
    parts.append(
        _table(
            ["input", *looks],
            [[_name(*key), *(f"{row[look].mean:.2f}" for look in looks)] for key, row in found.distance.items()],
        )
    )
    for trained in dict.fromkeys(key[0] for key in found.probe):
        guess = f"guessing the mean: {found.guess_mm:.0f}"
        parts.append(f"\n## Probe for the cube's position, trained on {trained} looks, in mm ({guess})\n")
        rows = {key[1:]: row for key, row in found.probe.items() if key[0] == trained}
        tested = list(next(iter(rows.values())))
        parts.append(
            _table(
                ["input", *tested],
                [
                    [
                        _name(*key),
                        *(f"{row[look].mean:.0f} ({row[look].low:.0f}–{row[look].high:.0f})" for look in tested),
                    ]
                    for key, row in rows.items()
                ],
            )
        )
    return "\n".join(parts)


def write_report(out: Path, found: Looks, facts: dict) -> None:
    """Write looks.json, looks.md and looks.png to `out`. `facts` describe what was measured."""
    out.mkdir(parents=True, exist_ok=True)
    plain = asdict(found) | {
        "distance": [{"input": n, "layer": layer, "looks": _plain(row)} for (n, layer), row in found.distance.items()],
        "probe": [
            {"trained": t, "input": n, "layer": layer, "looks": _plain(row)}
            for (t, n, layer), row in found.probe.items()
        ],
    }
    atomic_write_text(out / "looks.json", json.dumps({**facts, **plain}, indent=1) + "\n")
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    atomic_write_text(out / "looks.md", f"# The looks table\n\n{said}\n\n{tables(found)}\n")
    atomic_write_bytes(out / "looks.png", draw(found))


def draw(found: Looks) -> bytes:
    """A PNG: codes that change by look, and the probe's error by look for the best layer of each input."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = [*found.changed, "two states"]
    values = [*found.changed.values(), found.between]
    colours = ["tab:blue"] * len(found.changed) + ["tab:grey"]
    left.bar(names, [100 * v.mean for v in values], yerr=_whiskers(values, 100), color=colours, capsize=3)
    left.set(title="codes that change", ylabel="%", ylim=(0, 100))
    left.tick_params(axis="x", rotation=45)
    rows = {key[1:]: row for key, row in found.probe.items() if key[0] == "random"}
    best: dict[str, dict[str, Interval]] = {}
    for (name, _), row in rows.items():
        if name not in best or row["nominal"].mean < best[name]["nominal"].mean:
            best[name] = row
    tested = list(next(iter(best.values())))
    for i, (name, row) in enumerate(best.items()):
        at = [x + 0.8 * (i / max(1, len(best)) - 0.4) for x in range(len(tested))]
        right.bar(
            at,
            [row[look].mean for look in tested],
            width=0.8 / len(best),
            label=name,
            yerr=_whiskers([row[look] for look in tested], 1),
            capsize=1,
        )
    right.axhline(found.guess_mm, linestyle=":", color="grey", label="guessing the mean")
    right.set(title="probe trained on random looks (best layer of each input)", ylabel="mm")
    right.set_xticks(range(len(tested)), tested, rotation=45)
    right.legend(frameon=False, fontsize=8)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def _whiskers(values: list[Interval], scale: float) -> list[list[float]]:
    return [[scale * (v.mean - v.low) for v in values], [scale * (v.high - v.mean) for v in values]]


def _plain(row: dict[str, Interval]) -> dict[str, dict]:
    return {look: asdict(value) for look, value in row.items()}


def _percent(value: Interval) -> str:
    return f"{100 * value.mean:.1f} ({100 * value.low:.1f}–{100 * value.high:.1f})"


def _name(name: str, layer: int) -> str:
    return f"{name} {layer}" if layer else name


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])

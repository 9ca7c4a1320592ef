"""A set as one HTML file with numbers, pictures and plots. It fetches nothing and has no script."""

import base64
import html
import io
import json
from collections.abc import Sequence

import numpy as np
from PIL import Image

from demos.store.demo_set import DemoSet
from demos.store.schema import CAMERA
from demos.viewing.summary import is_vector

COLOURS = ("#0072bd", "#d95319", "#edb120", "#7e2f8e", "#77ac30", "#4dbeee", "#a2142f", "#666666", "#17becf")
MOMENTS = 6
STYLE = """body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #ddd}
table{border-collapse:collapse}td,th{padding:.15em .7em;text-align:right;border-bottom:1px solid #eee}
th{background:#f6f6f6}td:first-child,th:first-child{text-align:left}
.bad{background:#fdecea;border-left:4px solid #c0392b;padding:.5em 1em}.good{color:#2c7a4b}
svg{background:#fafafa;border:1px solid #eee;margin:.3em .6em .3em 0}svg text{font:11px system-ui,sans-serif;fill:#555}
img{image-rendering:pixelated;display:block}pre{white-space:pre-wrap;background:#f6f6f6;padding:.6em}
details{margin:.5em 0}figure{margin:1em 0}figcaption{color:#555}"""


def report(demos: DemoSet, summary: dict, damage: list[str], shown: int = 8) -> str:
    """The page. `shown` episodes, evenly spaced, have pictures and curves. `damage` comes from `verify`."""
    picked = sorted(set(np.linspace(0, demos.episodes - 1, min(shown, demos.episodes)).round().astype(int).tolist()))
    parts = [
        f"<h1>{_text(demos.path)}</h1>",
        _overview(demos, summary),
        _damage(damage),
        "<h2>Lengths</h2>",
        histogram(demos.lengths, "steps"),
        _ranges(demos, summary),
        "<h2>Episodes</h2>",
    ]
    parts += [_episode(demos, i) for i in picked]
    parts += ["<h2>Every episode</h2>", _table(summary["per_episode"]), "<h2>Attributes</h2>", _attributes(demos.attrs)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(demos.path)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _overview(demos: DemoSet, summary: dict) -> str:
    rate = summary["measured_hz"]
    rows = {
        "environment": demos.attrs.get("env"),
        "robot": demos.attrs.get("robot"),
        "episodes": summary["episodes"],
        "steps": summary["steps"],
        "successes": summary["successes"],
        "length (min, mean, max)": _three(summary["length"]),
        "control rate (Hz)": summary["control_hz"],
        "measured rate (Hz; min, mean, max)": _three(rate),
        "dropped frames": summary["dropped_frames"],
        "size (MB)": summary["size_mb"],
        "arrays": ", ".join(f"{key} {v['dtype']} {tuple(v['step'])}" for key, v in summary["keys"].items()),
    }
    cells = "".join(f"<tr><th>{_text(k)}</th><td style='text-align:left'>{_text(v)}</td></tr>" for k, v in rows.items())
    return f"<table>{cells}</table>"


def _damage(damage: list[str]) -> str:
    if not damage:
        return '<p class="good">Every byte was read; nothing is damaged.</p>'
    return '<div class="bad"><b>Damaged</b><ul>' + "".join(f"<li>{_text(d)}</li>" for d in damage) + "</ul></div>"


def _names(demos: DemoSet, key: str) -> list[str]:
    """The names that the set gives to the components of `key`; [] if it gives none."""
    names = {"action": demos.attrs["action"].get("names"), "proprio": demos.attrs.get("proprio_names")}
    said = list(names.get(key.removesuffix("_applied")) or [])
    return said if demos.shape(key) == (len(said),) else []


def _ranges(demos: DemoSet, summary: dict) -> str:
    out = []
    for key, r in summary["ranges"].items():
        names = _names(demos, key) or [f"{key}[{j}]" if len(r["min"]) > 1 else key for j in range(len(r["min"]))]
        rows = [
            dict(component=names[j], min=r["min"][j], max=r["max"][j], mean=r["mean"][j], std=r["std"][j])
            for j in range(len(r["min"]))
        ]
        out.append(f"<details><summary>{_text(key)} ({len(rows)})</summary>{_table(rows)}</details>")
    return "<h2>Ranges</h2>" + "".join(out)


def _episode(demos: DemoSet, i: int) -> str:
    length = int(demos.lengths[i])
    moments = sorted(set(np.linspace(0, length - 1, MOMENTS).round().astype(int).tolist()))
    pictures = ""
    for key in demos.keys:
        if key.startswith(CAMERA):
            strip = np.concatenate([thumbnail(demos.slice(key, i, t, t + 1)[0]) for t in moments], 1)
            pictures += f"<figcaption>{_text(key)}, steps {', '.join(map(str, moments))}</figcaption>{picture(strip)}"
    plots = "".join(
        curves(demos.slice(key, i, 0, length).reshape(length, -1), key, _names(demos, key))
        for key in demos.keys
        if is_vector(demos, key) and key not in ("success", "timestamp_s")
    )
    good = bool(demos.meta("success")[i]) if "success" in demos.meta_names else None
    said = "" if good is None else ", success" if good else ", no success"
    tasks = demos.attrs.get("episode_tasks") or []
    said += f": {_text(tasks[i])}" if i < len(tasks) and tasks[i] else ""
    return f"<figure><b>Episode {i}</b>: {length} steps{said}{pictures}<div>{plots}</div></figure>"


def thumbnail(frame: np.ndarray, height: int = 96) -> np.ndarray:
    """`frame` at this height, uint8 (height, w, 3), with its proportions."""
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


def picture(frame: np.ndarray) -> str:
    """An <img> that holds its own PNG."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img width="{frame.shape[1]}" height="{frame.shape[0]}" alt="" src="data:image/png;base64,{data}">'


def curves(values: np.ndarray, title: str, names: Sequence[str] = (), width: int = 300, height: int = 110) -> str:
    """An <svg> with one line for each column of `values` (T, n). The name of a line appears under the pointer. A value
    that is not finite leaves a gap."""
    good = values[np.isfinite(values)]
    low, high = (float(good.min()), float(good.max())) if good.size else (0.0, 1.0)
    span = high - low or 1.0
    x = 40 + (width - 50) * np.arange(len(values)) / max(1, len(values) - 1)
    lines = ""
    for j in range(values.shape[1]):
        y = 18 + (height - 28) * (1 - (values[:, j] - low) / span)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y) if np.isfinite(b))
        name = f"<title>{_text(names[j])}</title>" if len(names) else ""
        lines += f'<polyline fill="none" stroke="{COLOURS[j % len(COLOURS)]}" points="{points}">{name}</polyline>'
    return (
        f'<svg width="{width}" height="{height}"><text x="40" y="13">{_text(title)}</text>'
        f'<text x="2" y="24">{high:.3g}</text><text x="2" y="{height - 8}">{low:.3g}</text>{lines}</svg>'
    )


def histogram(values: np.ndarray, unit: str, width: int = 420, height: int = 120) -> str:
    """An <svg> with the counts of `values` in up to 20 bins."""
    if not len(values):
        return "<p>No episodes.</p>"
    counts, edges = np.histogram(values, bins=min(20, max(1, len(np.unique(values)))))
    step, top = (width - 50) / len(counts), counts.max()
    bars = "".join(
        f'<rect x="{40 + k * step:.1f}" y="{height - 22 - (height - 40) * c / top:.1f}" width="{step - 1:.1f}" '
        f'height="{(height - 40) * c / top:.1f}" fill="{COLOURS[0]}"/>'
        for k, c in enumerate(counts)
    )
    return (
        f'<svg width="{width}" height="{height}">{bars}<text x="2" y="24">{top}</text>'
        f'<text x="40" y="{height - 6}">{edges[0]:.0f}</text>'
        f'<text x="{width - 60}" y="{height - 6}">{edges[-1]:.0f} {_text(unit)}</text></svg>'
    )


def _table(rows: list[dict]) -> str:
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{_text(k)}</th>" for k in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_text(v)}</td>" for v in row.values()) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _attributes(attrs: dict) -> str:
    rest = {key: value for key, value in attrs.items() if key != "environment"}
    whole = json.dumps(attrs.get("environment"), indent=1)
    return (
        f"<pre>{_text(json.dumps(rest, indent=1))}</pre>"
        f"<details><summary>environment</summary><pre>{_text(whole)}</pre></details>"
    )


def _three(spread: dict | None) -> str | None:
    return ", ".join(f"{v:.4g}" for v in spread.values()) if spread else None


def _text(value: object) -> str:
    shown = "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return html.escape(shown)

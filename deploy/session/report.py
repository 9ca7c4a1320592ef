"""The report of a run: the live line, the timing table, the outcome. Every printed number comes from this file."""

from dataclasses import dataclass, field

import numpy as np
from rich.table import Table


@dataclass
class Timings:
    """The durations of every step of a run in seconds, by name."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **seconds: float) -> None:
        for name, value in seconds.items():
            if np.isfinite(value):
                self.values.setdefault(name, []).append(float(value))

    def summary(self) -> dict[str, dict[str, float]]:
        """{name: {p50_ms, p99_ms, max_ms, n}}."""
        ms = lambda seconds: round(1e3 * float(seconds), 2)
        return {
            name: {
                "p50_ms": ms(np.percentile(v, 50)),
                "p99_ms": ms(np.percentile(v, 99)),
                "max_ms": ms(max(v)),
                "n": len(v),
            }
            for name, v in self.values.items()
        }

    def table(self) -> Table:
        table = Table(title="timing, milliseconds", title_justify="left")
        for name in ("", "p50", "p99", "max", "n"):
            table.add_column(name, justify="left" if not name else "right")
        for name, row in self.summary().items():
            table.add_row(
                name.replace("_", " "), *(f"{row[k]:.1f}" for k in ("p50_ms", "p99_ms", "max_ms")), str(row["n"])
            )
        return table


@dataclass
class Counts:
    """Counts of a run in addition to its episodes."""

    periods: int = 0
    missed: int = 0
    """Control periods in RUN and HOLD without an action."""
    late: int = 0
    """Actions that were dropped because their frame was too old."""
    refused: int = 0
    """Actions that could not be sent: NaN, infinity, wrong shape, out of range."""
    limited: int = 0
    """Actions that were shortened because of the workspace box, the arm's distance to itself, or a contact."""
    holds: int = 0
    recoveries: int = 0

    def missed_share(self) -> float:
        return self.missed / self.periods if self.periods else 0.0


def periods_line(counts: Counts, period_s: float) -> str:
    """One line: how well the rate was kept, and how many actions were changed."""
    if not counts.periods:
        return "no control period was run"
    return (
        f"{1 / period_s:g} Hz: {counts.missed} of {counts.periods} control periods "
        f"({100 * counts.missed_share():.1f} %) without an action in time, {counts.late} actions "
        f"dropped as too late, {counts.limited} limited, {counts.refused} refused; {counts.holds} holds, "
        f"{counts.recoveries} recoveries"
    )


def outcome_line(number: int, seed: int, steps: int, success: bool) -> str:
    """One line for an episode. `number` counts from 1."""
    return f"episode {number}: {'success' if success else 'no success'} after {steps} steps (seed {seed})"


def status_line(state: str, episode: int, episodes: int, period, hz: float, counts: Counts, inference_s: float) -> str:
    """The live line of a run. `period` is the newest `Period`, or None before the first."""
    parts = [f"[bold]{state.upper():<9}[/bold]", f"episode {max(episode, 0) + 1}/{episodes}"]
    if period is not None:
        error = float(np.abs(period.q_d_rad - period.q_rad).max())
        parts += [
            f"step {period.index}",
            f"{hz:4.1f} Hz",
            f"inference {1e3 * inference_s:.0f} ms",
            f"behind {1e3 * error:.0f} mrad",
            f"missed {counts.missed}",
            f"limited {counts.limited}",
        ]
    return "  ".join(parts)

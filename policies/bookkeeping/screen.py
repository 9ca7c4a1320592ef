"""What a training run shows and logs: one screen (or plain lines), TensorBoard, JSON lines, a learning curve.

On the arrow: the trainers call `Progress` around each round. Nothing that is learned depends on it.
"""

import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from policies.bookkeeping.learning_curve import AXES, dimensions, learning_curve
from toto_robot.ground.screen import Record

SHOWN = 8
"""A plain line lists the held-out error of this many actions. The screen lists all."""


class Progress:
    """One screen on stderr while a run trains. If stderr is not a terminal, one line for each round.

    Call `begin` at the start of each round, `stepped` and `updated` within it, `end` with its metrics. Use as a
    context manager. With `folder`, metrics go to `metrics.jsonl`, `tb/` and `learning_curve.png` in it.
    """

    def __init__(
        self,
        title: str,
        rounds: int,
        total_steps: int,
        folder: Path | None = None,
        console=None,
        axis: str = "env_steps",
    ):
        """`axis` is what progress is counted in: a key of AXES and of every row."""
        self.axis = axis
        self.title, self.rounds, self.total_steps, self.folder = title, rounds, total_steps, folder
        self.console = console or Console(stderr=True)
        self.rows: list[dict] = []
        self.round, self.steps, self.phase, self.updates = 0, 0, "starting", (0, 1)
        self.train_seconds, self.seconds_at_start = 0.0, 0.0
        self.began = time.perf_counter()
        self.steps_at_start = 0
        self._drawn = self.began
        self._live: Live | None = None
        self._record = Record(folder / "metrics.jsonl", folder / "tb", axis) if folder else None

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=4, transient=False)
            self._live.__enter__()
        return self

    def __exit__(self, *error) -> None:
        if self._live is not None:
            self._live.__exit__(*error)
        self._draw()
        if self._record is not None:
            self._record.close()

    def resume(self, rows: list[dict], steps: int, train_seconds: float) -> None:
        """Continue after the rounds in `rows`."""
        self.rows, self.steps, self.train_seconds = list(rows), steps, train_seconds
        self.steps_at_start, self.seconds_at_start = steps, train_seconds

    def begin(self, round_: int, phase: str = "collecting") -> None:
        """Round `round_` begins."""
        self.round, self.phase, self.updates = round_, phase, (0, 1)

    def stepped(self, steps: int) -> None:
        """Progress by `steps`, in the unit of `axis`."""
        self.steps += steps

    def updated(self, done: int, of: int) -> None:
        """`done` of this round's `of` minibatches are done."""
        self.phase, self.updates = "learning", (done, of)

    def say(self, text: str) -> None:
        """Print a line above the screen."""
        self.console.print(text, highlight=False, markup=False)

    def end(self, row: dict) -> None:
        """Log the metrics of a committed round (a flat dict with `round`, `env_steps`, `loss`, ...)."""
        self.rows.append(row)
        self.train_seconds = row["train_seconds"]
        if self._record is not None:
            self._record.write(row)
            self._draw(at_most_every_s=20)
        if self._live is None:
            print(self.line(row), file=sys.stderr, flush=True)

    def line(self, row: dict) -> str:
        """A round in one line."""
        success = row.get("student_success")
        shown = "–" if success is None else f"{100 * success:.0f} %"
        watched = "" if row.get("eval_success") is None else f"  unseen seeds {100 * row['eval_success']:.0f} %"
        acted = f"  success {shown}" if "student_success" in row else ""
        paid = "" if row.get("episode_reward") is None else f"  reward {row['episode_reward']:.1f}"
        paid += self._held_out(row)
        expert = ""
        if "expert_share" in row:
            expert = f"expert drove {100 * row['expert_share']:.0f} %, asked {row['expert_queries']}  "
        what = AXES[self.axis].split()[-1]
        return (
            f"round {row['round'] + 1}/{self.rounds}  {row[self.axis]} {what}  {row['steps_per_s']:.0f} {what}/s  "
            f"{expert}loss {row['loss']:.4f}{paid}{acted}{watched}  {self.left()} left"
        )

    def _held_out(self, row: dict) -> str:
        """The held-out error in one line: all actions together, then the first ones in their units."""
        if "held_out_error" not in row:
            return ""
        each = list(dimensions(row).items())
        shown = ", ".join(f"{name} {value:.3g}" for name, value in each[:SHOWN])
        more = f", {len(each) - SHOWN} more in metrics.jsonl" if len(each) > SHOWN else ""
        return (
            f"  held out {row['held_out_error']:.3f} std (mean action {row['held_out_mean_action']:.3f}): {shown}{more}"
        )

    def _held_out_cells(self) -> dict[str, str]:
        """The same for the screen, for the newest round and for the one with the smallest error."""
        rows = [row for row in self.rows if "held_out_error" in row]
        if not rows:
            return {}
        best, row = min(rows, key=lambda r: r["held_out_error"]), rows[-1]
        before = row["held_out_previous_action"]
        guesses = f"mean action {row['held_out_mean_action']:.3f}" + (
            "" if before is None else f", previous action {before:.3f}"
        )
        smallest = f"{best['held_out_error']:.3f} after epoch {best['epochs']}"
        each = [f"{name} {value:.3g}" for name, value in dimensions(row).items()]
        lines = [", ".join(each[i : i + 4]) for i in range(0, len(each), 4)]
        return {
            "held-out error": f"{row['held_out_error']:.3f} std, smallest {smallest}; {guesses}",
            "each action": "\n".join(lines),
        }

    def left(self) -> str:
        """The time left as minutes:seconds, estimated from the share of the steps that are done."""
        done = self.steps - self.steps_at_start
        if not done:
            return "?"
        spent = max(self.train_seconds - self.seconds_at_start, 1e-9) if self._live is None else self._spent()
        seconds = spent * max(0, self.total_steps - self.steps) / done
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"

    def _draw(self, at_most_every_s: float = 0) -> None:
        now = time.perf_counter()
        if self.folder is not None and self.rows and now - self._drawn >= at_most_every_s:
            learning_curve(self.rows, self.folder / "learning_curve.png", self.title, self.axis)
            self._drawn = time.perf_counter()

    def _spent(self) -> float:
        return time.perf_counter() - self.began

    def __rich__(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        row = self.rows[-1] if self.rows else {}
        watched = next((r["eval_success"] for r in reversed(self.rows) if r.get("eval_success") is not None), None)
        success, of = row.get("student_success"), "of the student's newest episodes"
        if success is None:
            success, of = watched, "of unseen seeds"
        asked = (
            {"expert asked": f"{row['expert_queries']:,} states, took over {row['interventions']:,} times"}
            if "expert_queries" in row
            else {}
        )
        held = self._held_out_cells()
        cells = {
            "round": f"{min(self.round + 1, self.rounds)}/{self.rounds}  {self.phase}",
            AXES[self.axis]: f"{self.steps:,} of {self.total_steps:,}",
            f"{AXES[self.axis].split()[-1]}/s": f"{row['steps_per_s']:.0f}" if row else "–",
            "loss": f"{row['loss']:.4f}" if row else "–",
            **asked,
            **held,
            **(
                {}
                if held and success is None
                else {"success so far": "–" if success is None else f"{100 * success:.0f} % {of}"}
            ),
            "time left": self.left(),
        }
        grid.add_row(Text(self.title, "bold"), ProgressBar(total=self.total_steps, completed=self.steps, width=40))
        for name, value in cells.items():
            grid.add_row(name, value)
        return grid

"""What a long job shows and records: a bar on a terminal, lines elsewhere, a log of JSON lines, TensorBoard curves.

On the arrow: training, tokenizing, recording and evaluating use it. rich and tensorboard are imported when they are
needed.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from toto_robot.ground.atomic import atomic_write_text

EVERY_S = 10.0
"""Seconds between two lines of progress where there is no terminal."""


def read_log(path: Path) -> list[dict]:
    """The lines of a JSON-lines log. A line that a kill cut short is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def cut_log(path: Path, keep: Callable[[dict], bool]) -> list[dict]:
    """Keep the lines of a log that `keep` accepts, and return them. There may be no log yet.

    A killed run writes lines after its last checkpoint. The run that resumes from there removes them first.
    """
    if not path.exists():
        return []
    kept = [line for line in read_log(path) if keep(line)]
    atomic_write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
    return kept


_LAST_S: dict[str, float] = {}
"""When the last line of each count was printed."""


def show_count(done: int, of: int, what: str = "episodes") -> None:
    """Show `done/of what` on stderr: in place on a terminal; elsewhere a line at the beginning, every `EVERY_S` seconds
    and at the end."""
    last, now_s = done == of, time.monotonic()
    if sys.stderr.isatty():
        print(f"\r{done}/{of} {what}", end="\n" if last else "", file=sys.stderr, flush=True)
    elif last or now_s - _LAST_S.get(what, -EVERY_S) >= EVERY_S:
        _LAST_S[what] = now_s
        print(f"{done}/{of} {what}", file=sys.stderr, flush=True)
    if last:
        _LAST_S.pop(what, None)


class Record:
    """A run's log of JSON lines, and the same numbers as TensorBoard curves.

    `axis` is the key that counts progress (`step`, `env_steps`). TensorBoard forgets what an earlier process wrote from
    `purge_step` on; by default, from the first row.
    """

    def __init__(self, log: Path, board: Path, axis: str, purge_step: int | None = None):
        self.log, self.board, self.axis, self.purge_step = log, board, axis, purge_step
        self._writer: Any = None

    def write(self, row: dict) -> None:
        """Append `row` to the log, and its numbers to the curves at `row[axis]`."""
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            purge_step = row[self.axis] if self.purge_step is None else self.purge_step
            self._writer = SummaryWriter(str(self.board), purge_step=purge_step)
        for name, value in row.items():
            if isinstance(value, (int, float)) and name != self.axis:
                self._writer.add_scalar(name, value, row[self.axis])
        self._writer.flush()

    def close(self) -> None:
        """Close the curves."""
        if self._writer is not None:
            self._writer.close()


class Bar:
    """A progress bar on stderr if that is a terminal; otherwise a line now and then. Use it as a context manager."""

    def __init__(self, name: str, total: float | None, *, done: float = 0, counted: bool = True, console: Any = None):
        """`counted`: show `done/total`, which is of no use where the total is a number of bytes."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = console or Console(stderr=True)
        self.terminal = self.console.is_terminal
        columns = [TextColumn(name), BarColumn(), *([MofNCompleteColumn()] if counted else [])]
        columns += [
            TextColumn("{task.description}", markup=False),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
        ]
        self._progress = Progress(*columns, console=self.console, disable=not self.terminal)
        self._job = self._progress.add_task("starting", total=total, completed=int(done))
        self._last_s = -EVERY_S

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def at(
        self, done: float | None = None, detail: str | None = None, *, total: float | None = None, line: str = ""
    ) -> None:
        """Move the bar. Where there is no terminal, print `line`, at most every `EVERY_S` seconds."""
        self._progress.update(self._job, completed=done, total=total, description=detail)
        if line and not self.terminal and time.monotonic() - self._last_s >= EVERY_S:
            self._last_s = time.monotonic()
            self.say(line)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

"""Look at demonstrations: episodes, lengths, success, rates, ranges, dropped frames, damage.

    python -m demos.inspect data/pick
    python -m demos.inspect data/pick html=report.html
    python -m demos.inspect data/pick rerun=true            (or rerun=pick.rrd; needs `pip install rerun-sdk`)

Every byte is read. Damage is reported on stderr, in the report and in the JSON line, and the exit code is 1.
html= writes one self-contained page with pictures and plots. A set may be inspected while it is being recorded.
Prints a table. The last line is JSON: path, episodes, steps, length, seconds, successes, control_hz, measured_hz,
dropped_frames, size_mb, keys, ranges, damage.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demos.store.demo_set import DemoSet
from demos.store.disk import write_file
from demos.store.verify import verify
from demos.viewing.report import report
from demos.viewing.rerun_log import log
from demos.viewing.summary import summarise
from toto_robot import command
from toto_robot.ground.errors import UserError
from toto_robot.ground.screen import Bar


class Damaged(UserError):
    """The set was read, and parts of it are damaged."""

    exit_code = 1


@dataclass
class InspectConfig:
    """Keys of `python -m demos.inspect`."""

    path: str = "???"
    """Folder of the set."""
    html: str | None = None
    """Path of a self-contained HTML report."""
    thumbnails: int = 8
    """Episodes that the report shows in pictures."""
    rerun: str | None = None
    """true opens the Rerun viewer; a name that ends in .rrd writes a recording for it."""
    rows: int = 12
    """Episodes that the table lists."""

    def __post_init__(self) -> None:
        if self.thumbnails < 0 or self.rows < 0:
            raise UserError(f"expected thumbnails and rows >= 0, got {self.thumbnails} and {self.rows}.")
        if self.rerun not in (None, "true", "false") and not self.rerun.endswith(".rrd"):
            raise UserError(f"rerun={self.rerun}: expected true, or the name of a file that ends in .rrd.")
        if self.html is not None and not self.html.endswith((".html", ".htm")):
            raise UserError(f"html={self.html}: expected a name that ends in .html.")


def main(cfg: InspectConfig) -> dict:
    """Inspect the set at `cfg.path`. Damaged, after the JSON line, if any part of it can't be read."""
    demos = DemoSet(cfg.path)
    with Bar("reading", demos.episodes) as bar:
        damage = verify(cfg.path, lambda done: bar.at(done, f"episode {done}"))
    summary, result = None, {"path": cfg.path, "episodes": demos.episodes, "steps": demos.steps}
    if not [d for d in damage if "can't be read" in d]:
        summary = summarise(demos)
        result |= {key: value for key, value in summary.items() if key != "per_episode"}
        _print_table(cfg, demos, summary)
        if cfg.html:
            _write_page(cfg.html, report(demos, summary, damage, cfg.thumbnails))
        if cfg.rerun not in (None, "false"):
            log(demos, None if cfg.rerun == "true" else cfg.rerun)
    result |= {"html": cfg.html if summary else None, "damage": damage}
    if damage:
        for sentence in damage:
            print(f"damage: {sentence}", file=sys.stderr)
        command.print_json(result)
        unread = (
            "" if summary else " No statistics are given and no report is written for a set that can't be read whole."
        )
        raise Damaged(f"{cfg.path} is damaged in {len(damage)} place{'s' * (len(damage) > 1)}, named above.{unread}")
    return result


def _write_page(path: str, page: str) -> None:
    try:
        write_file(Path(path).absolute(), page.encode())
    except OSError as error:
        raise UserError(f"html={path} can't be written ({error.strerror}). Give another place.") from error


def _print_table(cfg: InspectConfig, demos: DemoSet, summary: dict) -> None:
    won = "" if summary["successes"] is None else f", {summary['successes']} successes"
    late = "" if summary["dropped_frames"] is None else f", {summary['dropped_frames']} dropped frames"
    title = (
        f"{cfg.path}: {summary['episodes']} episodes{won}, {summary['steps']} steps, {summary['seconds']:.1f} s at "
        f"{summary['control_hz']:g} Hz{late}, {summary['size_mb']:.1f} MB"
    )
    keys = "; ".join(f"{k} {v['dtype']} {tuple(v['step'])}" for k, v in summary["keys"].items())
    table = Table()
    names = ("episode", "length", "success", "seed", "return", "measured_hz", "dropped")
    for name in names:
        table.add_column(name, justify="right")
    for row in summary["per_episode"][: cfg.rows]:
        cells = [row[name] for name in names]
        table.add_row(*("–" if c is None else f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells))
    if demos.episodes > cfg.rows:
        table.add_row(f"… {demos.episodes - cfg.rows} more", *[""] * (len(names) - 1))
    print(title)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)
    print(keys)


if __name__ == "__main__":
    command.run(main, InspectConfig, "inspect", positional=("path",))

"""One table of a comparison: a row for each input of the policy, a column for each look or number of demonstrations.

    python -m toto_robot.verdict 'runs=[runs/toto-0,runs/toto-1,runs/codes-0]' out=docs/verdicts/shifts.md
    python -m toto_robot.verdict 'runs=[runs/toto-5-0,runs/toto-10-0,runs/codes-5-0]' out=docs/verdicts/clones.md

A run's name is CONDITION-SEED or CONDITION-COLUMN-SEED. The score of its result.json stands in the column `nominal`, or
in COLUMN. A file `shift_NAME.json` in the run's folder (the last line that `evaluate` prints) stands in the
column NAME. A cell is the mean over seeds, with a 95 % interval over seeds and episodes.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from policies.scoring.statistics import over_seeds95
from toto_robot import command
from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError

Cells = dict[str, dict[str, dict[str, tuple[int, int]]]]
"""condition → column → seed → (successes, episodes)."""


@dataclass
class VerdictConfig:
    """Keys of `python -m toto_robot.verdict`."""

    runs: list[str] = field(default_factory=list)
    """Folders of finished runs."""
    out: str = "verdict.md"
    """Markdown file to write."""
    title: str = ""
    """The table's title."""

    def __post_init__(self):
        if not self.runs:
            raise UserError("verdict needs runs=[FOLDER,...]")


def read(runs: list[str]) -> Cells:
    """Every score of `runs`. Raises UserError naming the folder whose name or files don't fit."""
    found: Cells = {}
    for run in runs:
        parts = re.fullmatch(r"(.+?)(?:-(\d+))?-(\d+)", Path(run).name)
        if parts is None:
            raise UserError(f"{run}: expected a folder named CONDITION-SEED or CONDITION-COLUMN-SEED.")
        condition, column, seed = parts.groups()
        scores = {column or "nominal": Path(run) / "result.json"}
        scores |= {path.stem.removeprefix("shift_"): path for path in sorted(Path(run).glob("shift_*.json"))}
        for name, path in scores.items():
            found.setdefault(condition, {}).setdefault(name, {})[seed] = _score(path)
    return found


def _score(path: Path) -> tuple[int, int]:
    try:
        scored = json.loads(path.read_text() if path.name == "result.json" else path.read_text().splitlines()[-1])
        return int(scored["successes"]), int(scored["episodes"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"{path} is not the score of a finished and evaluated run ({error!r}).") from error


def summary(cells: Cells) -> dict[str, dict[str, dict]]:
    """condition → column → seeds, episodes of a seed, and the mean with its interval in per cent."""
    return {
        condition: {
            column: {
                "seeds": len(seeds),
                "episodes": sorted({episodes for _, episodes in seeds.values()}),
                **dict(zip(("mean", "low", "high"), (round(100 * v, 1) for v in over_seeds95(list(seeds.values()))))),
            }
            for column, seeds in columns.items()
        }
        for condition, columns in cells.items()
    }


def table(found: dict[str, dict[str, dict]], title: str) -> str:
    """The Markdown text."""
    columns = list(dict.fromkeys(name for row in found.values() for name in row))
    if all(name.isdigit() for name in columns):
        columns.sort(key=int)
    lines = [f"**{title}**", ""] if title else []
    lines += ["| input | seeds | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for condition, row in found.items():
        cells = [
            f"{row[c]['mean']:.0f} ({row[c]['low']:.0f}–{row[c]['high']:.0f})" if c in row else "–" for c in columns
        ]
        seeds = sorted({cell["seeds"] for cell in row.values()})
        lines.append(f"| {condition} | {' or '.join(map(str, seeds))} | " + " | ".join(cells) + " |")
    counts = sorted({n for row in found.values() for cell in row.values() for n in cell["episodes"]})
    episodes = " or ".join(map(str, counts))
    lines += [
        "",
        f"Success in %, the mean over seeds of {episodes} episodes each; 95 % intervals over seeds and episodes.",
    ]
    return "\n".join(lines) + "\n"


def main(cfg: VerdictConfig) -> dict:
    """Write the table. Returns its numbers."""
    found, out = summary(read(cfg.runs)), Path(cfg.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(out, table(found, cfg.title).encode())
    return {"out": str(out), "rows": found}


if __name__ == "__main__":
    command.run(main, VerdictConfig, "verdict")

"""One table of pre-training runs: parameters, tokens, FLOPs, held-out loss, and the best probe of each pooling.

    python -m toto_robot.model_table 'runs=[runs/tables/toto,runs/tables/gpt2]' out=docs/tables.md title='Architectures'

The folder of a run must hold the results of `python -m toto_robot.pretrain` and, in probe/, those of
`python -m toto_robot.probe`.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from toto_robot import command
from toto_robot.evaluation.model_table import markdown, read_row
from toto_robot.ground.atomic import atomic_write_text
from toto_robot.ground.errors import UserError


@dataclass
class ModelTableConfig:
    """Keys of `python -m toto_robot.model_table`."""

    runs: list[str] = field(default_factory=list)
    """Run folders, in the order of the table."""
    out: str = "table.md"
    """Markdown file to write."""
    title: str = ""
    """Title above the table."""

    def __post_init__(self):
        if not self.runs:
            raise UserError("model_table needs runs=[FOLDER,...].")


def main(cfg: ModelTableConfig) -> dict:
    """Write the table. Returns its rows."""
    rows = [read_row(folder) for folder in cfg.runs]
    out = Path(cfg.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(out, (f"## {cfg.title}\n\n" if cfg.title else "") + markdown(rows))
    return {"out": cfg.out, "rows": [asdict(row) for row in rows]}


if __name__ == "__main__":
    command.run(main, ModelTableConfig, "model_table")

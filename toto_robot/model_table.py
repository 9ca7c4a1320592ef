"""One table of pre-training runs: parameters, tokens, FLOPs, held-out loss, and the best probe of each pooling.

    python -m toto_robot.model_table 'runs=[runs/tables/toto,runs/tables/gpt2]' out=docs/tables.md title='Architectures'

Each run's folder holds what `python -m toto_robot.pretrain` wrote and, in probe/, what `python -m toto_robot.probe` did.
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
    """Run folders, in the table's order."""
    out: str = "table.md"
    """Markdown file to write."""
    title: str = ""
    """Above the table."""

    def __post_init__(self):
        if not self.runs:
            raise UserError("model_table needs runs=[FOLDER,...]")


def main(cfg: ModelTableConfig) -> dict:
    rows = [read_row(folder) for folder in cfg.runs]
    out = Path(cfg.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(out, (f"## {cfg.title}\n\n" if cfg.title else "") + markdown(rows))
    return {"out": cfg.out, "rows": [asdict(row) for row in rows]}


if __name__ == "__main__":
    command.run(main, ModelTableConfig, "model_table")

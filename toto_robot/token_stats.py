"""Show how a tokenizer uses its codes: coverage, entropy and distinct n-grams of token stores, side by side.

    python -m toto_robot.token_stats data/tokens
    python -m toto_robot.token_stats data/tokens also=[data/tokens_vqgan] rows=5000 out=runs/token_stats

For each store it shows how many codes occur, the entropy of their frequencies, and the number of different 2-grams and
3-grams (neighbours in the raster order of a frame). Beside each number stands what chance would give: if all codes were
equally likely, and if codes had their own frequencies but were independent of their neighbours. Stores of different
sizes are comparable only over the same number of frames, which rows= sets. The command writes token_stats.json, .md and
.png (as in Fig. 3) to `out`.
"""

import io
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from omegaconf import MISSING

from toto_robot import command
from toto_robot.ground.atomic import atomic_write_bytes, atomic_write_text
from toto_robot.ground.errors import expected
from toto_robot.tokens.store.statistics import NGRAMS, Statistics, statistics
from toto_robot.tokens.store.token_store import TokenStore


@dataclass
class TokenStatsConfig:
    """Keys of `python -m toto_robot.token_stats`."""

    store: str = MISSING
    """A token store."""
    also: list[str] = field(default_factory=list)
    """More token stores, to compare with it."""
    rows: int = 0
    """Rows of each store that are counted, spread evenly over it. 0 means all."""
    out: str = "runs/token_stats"
    """Folder for the results."""

    def __post_init__(self):
        if self.rows < 0:
            raise expected("rows", "0 (all) or more", self.rows)


def main(cfg: TokenStatsConfig) -> dict:
    """Count every store and write the report. Returns the numbers of the table."""
    stores = [TokenStore(path) for path in [cfg.store, *cfg.also]]
    found = [statistics(store, cfg.rows, lambda text: print(text, file=sys.stderr)) for store in stores]
    out, shown = Path(cfg.out), table(found)
    atomic_write_text(out / "token_stats.json", json.dumps([asdict(s) for s in found]) + "\n")
    atomic_write_text(out / "token_stats.md", f"# Use of the codes\n\n{shown}")
    atomic_write_bytes(out / "token_stats.png", draw(found))
    print(shown, file=sys.stderr)
    return {"out": cfg.out, "stores": [{k: v for k, v in asdict(s).items() if k != "counts"} for s in found]}


def table(found: list[Statistics]) -> str:
    """Markdown: a row for each store. The numbers of chance follow those that were counted."""
    lines = [
        "| store | frames | codes | used | coverage (uniform) | entropy, bits (of) | "
        + " | ".join(f"distinct {n}-grams | uniform | independent" for n in NGRAMS)
        + " |",
        "|---" * (6 + 3 * len(NGRAMS)) + "|",
    ]
    for s in found:
        grams = " | ".join(f"{g.distinct:,} | {g.uniform:,.0f} | {g.independent:,.0f}" for g in s.ngrams)
        lines.append(
            f"| {s.store} | {s.frames:,} | {s.vocab_size:,} | {s.used:,} | {s.coverage:.1%} "
            f"({s.chance_coverage:.1%}) | {s.entropy_bits:.2f} ({s.most_bits:.2f}) | {grams} |"
        )
    return "\n".join(lines) + "\n"


def draw(found: list[Statistics]) -> bytes:
    """A PNG with sorted code frequencies, coverage, and distinct n-grams as a share of all. Lines mark chance."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    curve, cover, grams = figure.subplots(1, 3, width_ratios=(2, 1, 2))
    width = 0.8 / len(found)
    for i, s in enumerate(found):
        x = [(rank + 0.5) / s.vocab_size for rank in range(s.used)]
        y = [count / s.tokens * s.vocab_size for count in s.counts]
        (line,) = curve.plot(x, y, drawstyle="steps-mid", label=s.store)
        cover.bar(i, 100 * s.coverage, width=0.8, color=line.get_color())
        cover.hlines(100 * s.chance_coverage, i - 0.4, i + 0.4, color="black", lw=1)
        for j, g in enumerate(s.ngrams):
            at, last = j + (i - (len(found) - 1) / 2) * width, i == len(found) - 1 and j == len(s.ngrams) - 1
            grams.bar(at, 100 * g.distinct / max(1, g.drawn), width=0.9 * width, color=line.get_color())
            for chance, style in (("uniform", "-"), ("independent", "--")):
                y = 100 * getattr(g, chance) / max(1, g.drawn)
                grams.hlines(
                    y,
                    at - width / 2,
                    at + width / 2,
                    color="black",
                    lw=1,
                    linestyle=style,
                    label=f"chance: {chance}" if last else None,
                )
    curve.axhline(1, color="black", lw=0.6)
    curve.set(
        xlabel="codes, most frequent first (share of the vocabulary)",
        ylabel="frequency / uniform frequency",
        yscale="log",
        xlim=(0, 1),
        title="1-grams",
    )
    cover.set(ylabel="codes that occur, %", ylim=(0, 105), xticks=[], title="coverage")
    grams.set(
        ylabel="distinct, % of all n-grams",
        xticks=range(len(NGRAMS)),
        xticklabels=[f"{n}-grams" for n in NGRAMS],
        ylim=(0, 118),
        title="neighbours",
    )
    curve.legend(frameon=False, fontsize=8)
    grams.legend(frameon=False, fontsize=8, loc="upper center", ncols=2)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


if __name__ == "__main__":
    command.run(main, TokenStatsConfig, "token_stats", positional=("store", "out"))

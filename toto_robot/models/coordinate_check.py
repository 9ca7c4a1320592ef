"""muP's coordinate check: the changes of a few steps should keep their size at all widths (Yang et al. 2022, App. D).

    check = coordinate_check(TotoConfig(1028, width=64, layers=2, heads=4, intermediate=256), (64, 128, 256, 512))
    draw_coordinate_check(check, "coordinate_check.png")

Without muP the lines of the picture rise with the width. With muP they are flat, or fall where the random initial head
still contributes to the logits.
"""

import io
import math
from dataclasses import replace
from pathlib import Path

import torch

from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.models.gpt2 import GPT2Config
from toto_robot.models.mup import parameter_groups
from toto_robot.models.presets import build
from toto_robot.models.toto import TotoConfig

Transformer = TotoConfig | GPT2Config
Check = dict[str, dict[str, dict[int, list[float]]]]
"""muP on or off → measured thing → width → size of its change after step 1, 2, ..."""


def coordinate_check(
    config: Transformer, widths: tuple[int, ...], *, steps: int = 4, lr: float = 1e-2, seeds: int = 2, tokens: int = 64
) -> Check:
    """Mean absolute change of the stream after each block and of the logits since the start, with muP and without.

    `config` is the model at its base width. The wider models have the same heads, depth and intermediate / width. Every
    model takes `steps` AdamW steps on one random batch of 4 rows. Sizes are averaged over `seeds` models.
    """
    check: Check = {}
    for name, base in (("without muP", None), ("with muP", config.width)):
        configs = [
            replace(config, width=width, intermediate=config.intermediate * width // config.width, mup_base_width=base)
            for width in widths
        ]
        check[name] = _sizes(configs, steps, lr, seeds, tokens)
    return check


def exponents(check: dict[str, dict[int, list[float]]]) -> dict[str, float]:
    """The exponent p of size ~ width^p after the last step, by least squares, for each measured thing. 0 is flat."""
    found = {}
    for what, sizes in check.items():
        x = torch.tensor([math.log(width) for width in sizes])
        y = torch.tensor([math.log(each[-1]) for each in sizes.values()])
        found[what] = ((x - x.mean()) @ (y - y.mean()) / (x - x.mean()).square().sum()).item()
    return found


def draw_coordinate_check(check: Check, path: str | Path) -> None:
    """Draw a row of panels without muP and one with it: a panel for each measured thing, a line for each step."""
    from matplotlib.figure import Figure

    columns = list(check["with muP"])
    figure = Figure(figsize=(2.6 * len(columns), 5.2), layout="constrained")
    panels = figure.subplots(2, len(columns), sharex=True, sharey="col", squeeze=False)
    for row, (name, measured) in zip(panels, check.items()):
        slopes = exponents(measured)
        for axes, what in zip(row, columns):
            widths, sizes = zip(*measured[what].items())
            for step, size in enumerate(zip(*sizes), start=1):
                axes.loglog(widths, size, "o-", markersize=3, label=f"step {step}")
            axes.set_title(f"{what}, {name}\n~ width^{slopes[what]:.2f}", fontsize=9)
            axes.set_xticks(widths, [str(width) for width in widths], fontsize=7)
            axes.minorticks_off()
        row[0].set_ylabel("mean absolute change")
    for axes in panels[1]:
        axes.set_xlabel("width")
    panels[0][0].legend(frameon=False, fontsize=7)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    atomic_write_bytes(Path(path), image.getvalue())


def _sizes(
    configs: list[Transformer], steps: int, lr: float, seeds: int, tokens: int
) -> dict[str, dict[int, list[float]]]:
    """The inner part of `Check`, for models that differ in width."""
    found: dict[str, dict[int, list[float]]] = {}
    for config in configs:
        runs = torch.stack([_one_run(config, steps, lr, seed, tokens) for seed in range(seeds)]).mean(dim=0)
        names = [f"block {i}" for i in range(1, config.layers + 1)] + ["logits"]
        for name, sizes in zip(names, runs.T.tolist()):
            found.setdefault(name, {})[config.width] = sizes
    return found


def _one_run(config: Transformer, steps: int, lr: float, seed: int, tokens: int) -> torch.Tensor:
    """Changes (steps, blocks + 1) of one model."""
    generator = torch.Generator().manual_seed(seed)
    model = build(config)
    model.init_weights(generator)
    ids = torch.randint(1, config.vocab_size, (4, tokens), generator=generator)
    optimizer = torch.optim.AdamW(parameter_groups(model, lr, weight_decay=0.0), betas=(0.9, 0.95))
    changes, before = [], _activations(model, ids)
    for _ in range(steps):
        model.loss(ids).backward()
        optimizer.step()
        optimizer.zero_grad()
        changes.append(torch.stack([(x - x0).abs().mean() for x, x0 in zip(_activations(model, ids), before)]))
    return torch.stack(changes)


@torch.no_grad()
def _activations(model, ids: torch.Tensor) -> list[torch.Tensor]:
    """The stream after each block, before any norm, and the logits."""
    x, shared = model.begin(ids, 0)
    found = []
    for block in model.blocks:
        x = block(x, *shared)
        found.append(x)
    return [*found, model.logits(x)]

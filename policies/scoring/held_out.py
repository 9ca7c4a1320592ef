"""A policy's error on episodes that it has not learned from, beside two guesses that any useful policy must beat.

The mean action is the best guess without any observation. The previous action is the guess from the last step alone. An
error is the mean of |predicted - demonstrated| over all held-out steps, in the action's own unit. One number for all
actions is the mean of their errors in standard deviations of the training actions (`PolicyNet.action`).

On the arrow: `policies.cloning.train` measures after each checkpoint and keeps the best weights.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from envs.interface import UNKNOWN, ActionSpec
from policies.bookkeeping.learning_curve import HELD_OUT_PREFIX
from policies.cloning.cloner import Cloner
from policies.cloning.demonstrations import Demonstrations
from policies.policy import Policy
from policies.seeds import stream
from toto_robot.ground.errors import UserError

BATCH = 256


def split(episodes: list[Any], share: float, seed: int, path: str | Path) -> tuple[list[Any], list[Any]]:
    """(to learn from, held out): whole episodes, each list in the given order. `seed` decides which. Each list has at
    least one episode.

    Raises UserError for fewer than two episodes.
    """
    if not share:
        return episodes, []
    if len(episodes) < 2:
        raise UserError(
            f"data.held_out={share:g}: {path} has {len(episodes)} usable episode, but one must be held out and another "
            "one learned from. Record or import more, or train without held-out errors by data.held_out=0."
        )
    count = min(max(1, round(share * len(episodes))), len(episodes) - 1)
    rng = np.random.default_rng(stream(seed, "held_out"))
    held = set(rng.permutation(len(episodes))[:count].tolist())
    return [e for i, e in enumerate(episodes) if i not in held], [e for i, e in enumerate(episodes) if i in held]


class HeldOut:
    """Held-out episodes, and the errors of the two guesses on them, (A,) in the actions' own units."""

    def __init__(self, data: Demonstrations, learned: Demonstrations, action: ActionSpec):
        """`learned` has the training episodes. `action` gives the actions' names and range."""
        self.data, self.action = data, action
        self.half = (torch.tensor(action.high) - torch.tensor(action.low)) / 2
        """(A,) units of the action for a change by 1 in a policy's output."""
        self.labels = [_label(name, unit) for name, unit in zip(action.names, action.units)]
        self.mean_action = self._error(learned.action.mean(0) - data.action)
        later = torch.nonzero(torch.arange(len(data)) > data.first)[:, 0]
        self.previous_action = self._error(data.action[later - 1] - data.action[later]) if len(later) else None
        """None if every episode has only one step."""

    def _error(self, difference: Tensor) -> Tensor:
        return difference.abs().double().mean(0) * self.half

    @torch.inference_mode()
    def measure(self, policy: Policy, head: torch.nn.Module) -> tuple[Tensor, float]:
        """(error (A,), loss) of `policy` with the weights of `head`. Of a chunk, the first action counts."""
        net, transformer = policy.net, policy.head_config.transformer
        differences, loss, labels_in_all = [], 0.0, 0
        for steps in torch.arange(len(self.data)).split(BATCH):
            look = torch.zeros_like(steps)
            if transformer is None:
                features, proprio, labels = self.data.batch(steps, look)
                output, there = net(features, proprio, head), None
                first, demonstrated, count = output, labels, len(steps)
            else:
                window, labels, there = self.data.windows(steps, look, transformer.context, transformer.chunk)
                output = net.chunk(window, head)
                first, demonstrated, count = output[:, 0], labels[:, 0], int(there.sum())
            loss += float(head.loss(output, net.action(labels), labels, there)) * count
            labels_in_all += count
            differences.append(net.to_action(first) - demonstrated)
        return self._error(torch.cat(differences)), loss / labels_in_all

    def in_deviations(self, error: Tensor | None, policy: Policy) -> float | None:
        """Errors (A,) as one number: their mean in standard deviations of the training actions."""
        return None if error is None else float((error / self.half / policy.net.action.std).mean())

    def row(self, policy: Policy, error: Tensor, loss: float) -> dict:
        """The keys of a row of metrics.jsonl."""
        return {
            "held_out_error": self.in_deviations(error, policy),
            "held_out_mean_action": self.in_deviations(self.mean_action, policy),
            "held_out_previous_action": self.in_deviations(self.previous_action, policy),
            "held_out_loss": loss,
            **{HELD_OUT_PREFIX + label: float(value) for label, value in zip(self.labels, error)},
        }

    def report(self, policy: Policy, best: "Best") -> dict:
        """The JSON line's part about the weights that were kept."""
        guesses = {"mean_action": self.mean_action, "previous_action": self.previous_action}
        columns = {"policy": torch.tensor(best.error, dtype=torch.float64)} | guesses
        dimensions = {
            name: {"unit": unit} | {key: None if e is None else float(e[i]) for key, e in columns.items()}
            for i, (name, unit) in enumerate(zip(self.action.names, self.action.units))
        }
        beaten = {f"beats_{key}": _beaten(dimensions, key) for key in guesses}
        return {
            "episodes": self.data.episodes,
            "steps": len(self.data),
            "epoch": best.epoch,
            "error": best.mean,
            **{key: self.in_deviations(e, policy) for key, e in guesses.items()},
            **beaten,
            "dimensions": dimensions,
        }


@dataclass
class Best:
    """The weights that are kept: those of the smallest held-out error so far, or the newest."""

    always: bool = False
    """Keep the newest."""
    epoch: int = 0
    """How many epochs they were trained for."""
    mean: float = float("inf")
    """Their error in standard deviations."""
    error: list[float] = field(default_factory=list)
    """(A,) in the actions' units."""
    weights: dict[str, Tensor] = field(default_factory=dict)
    """Of the head."""

    def offer(self, epoch: int, mean: float, error: Tensor, head: torch.nn.Module) -> None:
        """Keep the weights of `head` if they are better than the kept ones, or if the newest are wanted."""
        if self.always or mean < self.mean:
            self.epoch, self.mean, self.error = epoch, mean, error.tolist()
            self.weights = {k: v.detach().clone() for k, v in head.state_dict().items()}

    def facts(self) -> dict:
        """The plain values, for a checkpoint, which stores `weights` separately."""
        return {"epoch": self.epoch, "mean": self.mean, "error": self.error}

    def put(self, cloner: Cloner) -> None:
        """Give the policy the weights that were kept."""
        cloner.head.load_state_dict(self.weights)


def _label(name: str, unit: str) -> str:
    """An action's name followed by its unit, if it has one: d_joint1_rad, x_m, speed_m_per_s."""
    return name if unit in (UNKNOWN, "1", "") else f"{name}_{unit.replace('/', '_per_')}"


def _beaten(dimensions: dict, guess: str) -> int | None:
    """For how many actions the policy's error is below the guess's error."""
    known = [d for d in dimensions.values() if d[guess] is not None]
    return sum(d["policy"] < d[guess] for d in known) if known else None


def table(report: dict) -> Table:
    """A report as a table: one row for each action, and one for all of them together."""
    grid = Table()
    for name in ("action", "unit"):
        grid.add_column(name)
    for name in ("policy", "mean action", "previous action"):
        grid.add_column(name, justify="right")
    keys = ("policy", "mean_action", "previous_action")
    for name, d in report["dimensions"].items():
        grid.add_row(name, d["unit"], *(_shown(d[key]) for key in keys))
    grid.add_section()
    together = [report[key] for key in ("error", "mean_action", "previous_action")]
    grid.add_row("all", "std", *(_shown(value) for value in together))
    return grid


def sentence(report: dict) -> str:
    """The summary of a report in one line."""
    of = len(report["dimensions"])
    text = f"held-out error after epoch {report['epoch']}: nearer than the mean action in "
    text += f"{report['beats_mean_action']} of {of} dimensions"
    if report["beats_previous_action"] is not None:
        text += f", than the previous action in {report['beats_previous_action']}"
    return f"{text} ({report['episodes']} episode{'s' * (report['episodes'] > 1)}, {report['steps']} steps)"


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"

"""What a run writes while it trains: progress on stderr, log.jsonl, TensorBoard, Weights & Biases, and pictures."""

import io
import json
import time
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from toto_robot.ground.atomic import atomic_write_bytes, atomic_write_text
from toto_robot.ground.errors import UserError
from toto_robot.pretraining.config import PretrainConfig

LOG, RESULT = "log.jsonl", "result.json"


class RunLog:
    """A context manager around the training loop. `step` counts the optimizer steps that are done."""

    def __init__(self, out: Path, cfg: PretrainConfig, start: int, tokens: int = 0, flops: float = 0.0):
        from torch.utils.tensorboard import SummaryWriter

        self.out, steps = out, cfg.steps
        self.wandb = start_wandb(out, cfg) if cfg.wandb else None
        keep_lines(out / LOG, start)
        self.file = open(out / LOG, "a", encoding="utf-8")  # noqa: SIM115 (closed by __exit__)
        self.board = SummaryWriter(out / "tensorboard", purge_step=start + 1)
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("pretrain"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:,.0f} tokens/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False, compact=True),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("", total=steps, completed=start, loss=float("nan"), rate=0.0)
        self.steps, self.start, self.began = steps, start, time.monotonic()
        self.tokens, self.tokens_before, self.flops, self.flops_before = tokens, tokens, flops, flops

    def __enter__(self) -> "RunLog":
        self.progress.start()
        return self

    def __exit__(self, *_) -> None:
        self.progress.stop()
        self.file.close()
        self.board.close()
        if self.wandb:
            self.wandb.finish()

    def advance(self, step: int, loss: float, tokens: int, flops: float) -> None:
        """Show one more step in the progress bar; by now the run has read so many tokens and done so many operations."""
        self.tokens, self.flops = tokens, flops
        self.progress.update(self.task, completed=step, loss=loss, rate=self.rate)

    @property
    def rate(self) -> float:
        """Tokens a second since the start of this process."""
        return (self.tokens - self.tokens_before) / max(1e-9, time.monotonic() - self.began)

    @property
    def flop_rate(self) -> float:
        """Floating-point operations a second since the start of this process."""
        return (self.flops - self.flops_before) / max(1e-9, time.monotonic() - self.began)

    def write(self, step: int, values: dict) -> None:
        """One line in the log and one point in each TensorBoard curve; on a pipe, one line on stderr."""
        self.file.write(json.dumps({"step": step, **values}) + "\n")
        self.file.flush()
        for name, value in values.items():
            self.board.add_scalar(name, value, step)
        if self.wandb:
            self.wandb.log(values, step=step)
        if not self.console.is_terminal:
            left_s = (self.steps - step) * (time.monotonic() - self.began) / max(1, step - self.start)
            shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            self.console.print(
                f"step {step}/{self.steps}  {shown}  left {left_s / 60:.1f} min", highlight=False, soft_wrap=True
            )

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        self.console.print(text, highlight=False, soft_wrap=True)


class NoLog:
    """The log of a process that is not the first."""

    rate = flop_rate = 0.0

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *_) -> None: ...
    def advance(self, step: int, loss: float, tokens: int, flops: float) -> None: ...
    def write(self, step: int, values: dict) -> None: ...
    def say(self, text: str) -> None: ...


def start_wandb(out: Path, cfg: PretrainConfig):
    """A run of the project `cfg.wandb`, the same one when `out` is resumed."""
    try:
        import wandb
    except ImportError as error:
        raise UserError("wandb= needs Weights & Biases: pip install wandb, or leave wandb out") from error
    return wandb.init(project=cfg.wandb, name=out.name, id=out.name, resume="allow", dir=str(out), config=asdict(cfg))


def keep_lines(path: Path, step: int) -> None:
    """Drop the lines after `step`, which a killed run wrote after the checkpoint that it goes on from."""
    if path.exists():
        kept = [line for line in read_log(path) if line["step"] <= step]
        atomic_write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


def read_log(path: Path) -> list[dict]:
    """The lines of a log; a last line that a kill cut short is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def draw_loss(out: Path, uniform: float, short_steps: int) -> Path:
    """loss.png: training and held-out loss against the step; `uniform` is the loss of guessing, ln(codes)."""
    lines = read_log(out / LOG)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label, style in (
        ("loss", "training", "-"),
        ("held_out", "held out, full rows", "o-"),
        ("held_out_frames", "held out, single frames", "s-"),
    ):
        points = [(line["step"], line[key]) for line in lines if key in line]
        if points:
            axes.plot(*zip(*points), style, label=label, markersize=3, linewidth=1)
    axes.axhline(uniform, color="grey", linestyle=":", label="guessing")
    if short_steps:
        axes.axvline(short_steps, color="grey", linewidth=0.8)
        axes.text(short_steps, uniform, " full rows from here", va="bottom", fontsize=8)
    axes.set(xlabel="optimizer step", ylabel="loss (nats per token)", title="Toto pre-training")
    axes.legend(frameon=False)
    return _save(figure, out / "loss.png")


def draw_loss_by_frame(out: Path, losses: list[float]) -> Path:
    """loss_by_frame.png: held-out loss against the place of a frame in its clip, as in the paper's Fig. 10."""
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(losses) + 1), losses, "o-", markersize=4)
    axes.set(xlabel="frame of the clip", ylabel="held-out loss (nats per token)", title="Held-out loss by frame")
    return _save(figure, out / "loss_by_frame.png")


def _save(figure: Figure, path: Path) -> Path:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    atomic_write_bytes(path, image.getvalue())
    return path

"""The output of a run while it trains: progress on stderr, log.jsonl, TensorBoard, Weights & Biases, and pictures."""

import io
import time
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.ground.errors import UserError
from toto_robot.ground.screen import Bar, Record, cut_log, read_log
from toto_robot.pretraining.config import PretrainConfig

LOG, RESULT = "log.jsonl", "result.json"


class RunLog:
    """The log of a run, as a context manager around the training loop. `step` counts the finished optimizer steps."""

    def __init__(self, out: Path, cfg: PretrainConfig, start: int, tokens: int = 0, flops: float = 0.0):
        self.wandb = start_wandb(out, cfg) if cfg.wandb else None
        cut_log(out / LOG, lambda line: line["step"] <= start)
        self.record = Record(out / LOG, out / "tensorboard", axis="step", purge_step=start + 1)
        self.bar = Bar("pretrain", cfg.steps, done=start)
        self.steps, self.start, self.began = cfg.steps, start, time.monotonic()
        self.tokens, self.tokens_before, self.flops, self.flops_before = tokens, tokens, flops, flops

    def __enter__(self) -> "RunLog":
        self.bar.__enter__()
        return self

    def __exit__(self, *_) -> None:
        self.bar.__exit__()
        self.record.close()
        if self.wandb:
            self.wandb.finish()

    def advance(self, step: int, loss: float, tokens: int, flops: float) -> None:
        """Show that `step` steps are done. Since its start the run has read `tokens` and done `flops` operations."""
        self.tokens, self.flops = tokens, flops
        self.bar.at(step, f"loss {loss:.3f}  {self.rate:,.0f} tokens/s")

    @property
    def rate(self) -> float:
        """Tokens a second since the start of this process."""
        return (self.tokens - self.tokens_before) / max(1e-9, time.monotonic() - self.began)

    @property
    def flop_rate(self) -> float:
        """Floating-point operations a second since the start of this process."""
        return (self.flops - self.flops_before) / max(1e-9, time.monotonic() - self.began)

    def write(self, step: int, values: dict) -> None:
        """Write one line in the log and one point in each curve; without a terminal, one line on stderr too."""
        self.record.write({"step": step, **values})
        if self.wandb:
            self.wandb.log(values, step=step)
        if not self.bar.terminal:
            left_s = (self.steps - step) * (time.monotonic() - self.began) / max(1, step - self.start)
            shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            self.say(f"step {step}/{self.steps}  {shown}  left {left_s / 60:.1f} min")

    def say(self, text: str) -> None:
        """Print a line for the person who watches."""
        self.bar.say(text)


class NoLog:
    """The log of every process but the first: it writes nothing."""

    rate = flop_rate = 0.0

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *_) -> None: ...
    def advance(self, step: int, loss: float, tokens: int, flops: float) -> None: ...
    def write(self, step: int, values: dict) -> None: ...
    def say(self, text: str) -> None: ...


def start_wandb(out: Path, cfg: PretrainConfig):
    """A run of the project `cfg.wandb`. A resumed run in `out` continues the same one."""
    try:
        import wandb
    except ImportError as error:
        raise UserError("wandb= needs Weights & Biases: pip install wandb, or leave wandb= out.") from error
    return wandb.init(project=cfg.wandb, name=out.name, id=out.name, resume="allow", dir=str(out), config=asdict(cfg))


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

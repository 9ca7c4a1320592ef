"""The pre-training loop: next-token prediction over a mixture of token stores (Sec. 3)."""

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch
import yaml
from torch import Tensor

from toto_robot.atomic import atomic_write_text
from toto_robot.errors import UserError
from toto_robot.features.encoder import usable_device
from toto_robot.features.folder import save_model
from toto_robot.models.causal import CausalModel
from toto_robot.models.mup import parameter_groups
from toto_robot.models.presets import build as build_model, preset
from toto_robot.precision import choose_dtype
from toto_robot.pretraining.checkpoint import check_settings, checkpoints, load_checkpoint, read_settings, save_checkpoint
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.pretraining.data import PretrainData, open_data
from toto_robot.pretraining.logs import RunLog, draw_loss
from toto_robot.pretraining.replicas import Replicas
from toto_robot.pretraining.rows import full_rows, micro_batches, short_rows, targets
from toto_robot.pretraining.schedule import learning_rate

RUNS = Path("runs")


def pretrain(cfg: PretrainConfig) -> dict:
    """Train, checkpoint, and export a model folder to out/model. Returns the run's numbers.

    Raises UserError for settings, stores or checkpoints that don't fit, and KeyboardInterrupt, after saving, when
    the user stops it.
    """
    usable_device(cfg.device)
    cfg = replace(cfg, dtype=choose_dtype(cfg.dtype, cfg.device))
    cores = cfg.threads or os.cpu_count() or 1
    torch.set_num_threads(1 if cfg.device == "cpu" else cores)
    data = open_data(cfg)
    config = preset(cfg.model, data.vocab_size, cfg.architecture, **cfg.changes())
    settings = {**cfg.what_decides_the_weights(), **data.identity, "toto": config.to_dict()}
    settings["threads"] = cores
    settings = yaml.safe_load(yaml.safe_dump(settings))  # tuples and numbers as they will be read back
    out = run_folder(cfg, settings)
    model, optimizer = build(cfg, config)
    replicas = Replicas(model, cores if cfg.device == "cpu" else 1)
    start = 0
    if cfg.resume and checkpoints(out / "resume"):
        start = load_checkpoint(checkpoints(out / "resume")[-1], model, optimizer, settings)
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_text(out / "config.yaml", yaml.safe_dump(asdict(cfg), sort_keys=False))
    began = time.monotonic()
    with RunLog(out, cfg.steps, start) as log, stop_requests() as stop:
        log.say(f"{model.num_parameters:,} parameters, {data.describe}, run {out}" + (f", from step {start}" if start else ""))
        for step in range(start, cfg.steps):
            values, tokens = train_step(cfg, step, replicas, optimizer, data)
            done = step + 1
            log.advance(done, values["loss"], tokens)
            if done % cfg.validate_every == 0 or done == cfg.steps:
                values |= held_out(cfg, model, data)
            if done % cfg.log_every == 0 or len(values) > 3 or done == cfg.steps:
                log.write(done, {**values, "tokens_per_s": log.rate})
            if done % cfg.checkpoint_every == 0 or done == cfg.steps or stop():
                save_checkpoint(out / "resume", done, model, optimizer, settings)
            if stop():
                log.say(f"stopped at step {done}; the same command with out={out} resume=true goes on")
                raise KeyboardInterrupt
    return export(cfg, out, model, data, time.monotonic() - began)


def build(cfg: PretrainConfig, config) -> tuple[CausalModel, torch.optim.AdamW]:
    """A fresh model on its device, and AdamW that decays matrices but not the norms' weights."""
    model = build_model(config)
    model.init_weights(torch.Generator().manual_seed(cfg.seed))
    model.to(cfg.device)
    groups = parameter_groups(model, cfg.lr, cfg.weight_decay)
    return model, torch.optim.AdamW(groups, lr=cfg.lr, betas=(cfg.beta1, cfg.beta2), fused=True)


def train_step(cfg: PretrainConfig, step: int, replicas: Replicas, optimizer, data: PretrainData) -> tuple[dict, int]:
    """One optimizer step; returns loss, gradient norm and learning rate, and the tokens that it read.

    Raises UserError, and leaves the weights as they were, when the loss or the gradient is not finite.
    """
    rows = rows_of_step(cfg, step, data)
    rate = learning_rate(step, peak=cfg.lr, warmup_steps=cfg.warmup_steps, steps=cfg.steps, final=cfg.final_lr)
    count = targets(rows)

    def work(model: CausalModel, ids: Tensor) -> float:
        with autocast(cfg):
            part = model.loss(ids.to(cfg.device), reduction="sum") / count
        part.backward()
        return part.item()

    loss = replicas.each(work, list(micro_batches(rows, cfg.micro_tokens)))
    norm = torch.nn.utils.clip_grad_norm_(replicas.models[0].parameters(), cfg.grad_clip).item()
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise UserError(
            f"the loss of step {step + 1} is {loss} and its gradient norm {norm}: training has diverged; the last "
            f"checkpoint is from before it. Start again with a smaller lr (now {cfg.lr:g}) or a longer warmup_steps"
        )
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"loss": loss, "grad_norm": norm, "lr": rate}, count


def rows_of_step(cfg: PretrainConfig, step: int, data: PretrainData) -> list[Tensor]:
    """The ids of one step: a pure function of the settings and the step."""
    if step < cfg.short_steps:
        return short_rows(*data.mixture.batch(step, cfg.short_batch), cfg.short_frames, step)
    codes, kinds = data.mixture.batch(step, cfg.batch_rows)
    added = short_rows(codes, kinds, cfg.short_frames, step) if cfg.short_steps else []
    return full_rows(codes, kinds) + added


@torch.inference_mode()
def held_out(cfg: PretrainConfig, model: CausalModel, data: PretrainData) -> dict:
    """Losses (nats a token) of the validation rows: whole, and their single frames as the encoder sees them."""
    if data.held_out is None:
        return {}
    codes, kinds = data.held_out
    losses = {}
    for name, rows in (("held_out", full_rows(codes, kinds)), ("held_out_frames", short_rows(codes, kinds, 1, 0))):
        total = 0.0
        for ids in micro_batches(rows, cfg.micro_tokens):
            with autocast(cfg):
                total += model.loss(ids.to(cfg.device), reduction="sum").item()
        losses[name] = total / targets(rows)
    return losses


def export(cfg: PretrainConfig, out: Path, model: CausalModel, data: PretrainData, seconds: float) -> dict:
    """Write out/model and out/loss.png; returns the numbers of the run."""
    losses = held_out(cfg, model, data)
    layer = cfg.layer or (model.config.layers + 1) // 2
    notes = {"steps": cfg.steps, "short_steps": cfg.short_steps, "stores": data.identity["stores"], **losses}
    save_model(out / "model", model, data.dvae, layer=layer, pooling=cfg.pooling, notes=notes)
    curve = draw_loss(out, math.log(model.config.vocab_size), cfg.short_steps)
    return {
        "model": str(out / "model"),
        "parameters": model.num_parameters,
        "steps": cfg.steps,
        "seconds": round(seconds, 1),
        "curve": str(curve),
        **{name: round(value, 4) for name, value in losses.items()},
    }


def run_folder(cfg: PretrainConfig, settings: dict) -> Path:
    """The folder of this run: `out`, a new one under runs/, or, to resume, the newest unfinished one that fits."""
    if cfg.out is not None:
        out = Path(cfg.out)
        found = checkpoints(out / "resume")
        if cfg.resume and not found:
            raise UserError(f"there is nothing to resume in {out}: it has no checkpoint; leave resume out to start")
        if found and not cfg.resume:
            raise UserError(f"{out} already holds a run (up to {found[-1].name}); add resume=true, or choose another out=")
        return out
    if not cfg.resume:
        return RUNS / f"toto-{cfg.model}-{time.strftime('%Y%m%d-%H%M%S')}"
    unfinished = [p for p in RUNS.glob("toto-*") if checkpoints(p / "resume") and not (p / "model").exists()]
    unfinished.sort(key=lambda p: checkpoints(p / "resume")[-1].stat().st_mtime, reverse=True)
    for out in unfinished:
        if read_settings(checkpoints(out / "resume")[-1]) == settings:
            return out
    if unfinished:
        newest = checkpoints(unfinished[0] / "resume")[-1]
        check_settings(newest, read_settings(newest), settings)
    raise UserError(f"there is no unfinished run under {RUNS}/ to resume; leave resume out to start one")


def autocast(cfg: PretrainConfig):
    """bfloat16 where the settings ask for it."""
    return torch.autocast(torch.device(cfg.device).type, torch.bfloat16) if cfg.dtype == "bfloat16" else nullcontext()


@contextmanager
def stop_requests() -> Iterator:
    """Turn the first Ctrl-C (or SIGTERM) into a request to stop after the current step; the second one interrupts."""
    asked = []

    def ask(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, ask)
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Pre-training from start to end: open, train, checkpoint, resume, export.

On the arrow: token store → rows → Toto → checkpoint. `toto_robot/pretrain.py` is its command.
"""

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch
import yaml

from toto_robot.features.folder import save_model
from toto_robot.ground.atomic import atomic_write_text
from toto_robot.ground.ending import wanted_endings
from toto_robot.ground.errors import UserError
from toto_robot.ground.precision import choose_dtype, usable_device
from toto_robot.models.flops import training_flops_per_token
from toto_robot.models.presets import ModelConfig, preset
from toto_robot.pretraining.checkpoint import (
    check_settings,
    checkpoints,
    load_checkpoint,
    read_settings,
    save_checkpoint,
)
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.pretraining.data import PretrainData, open_data
from toto_robot.pretraining.distributed import Group, process_group
from toto_robot.pretraining.held_out import held_out, loss_by_frame
from toto_robot.pretraining.logs import RESULT, NoLog, RunLog, draw_loss, draw_loss_by_frame
from toto_robot.pretraining.peak import peak_flops
from toto_robot.pretraining.rows import longest
from toto_robot.pretraining.trainer import Trainer, read_init

RUNS = Path("runs")


def pretrain(cfg: PretrainConfig) -> dict:
    """Train, checkpoint, and export a model folder to out/model. Returns the numbers of the run.

    Under torchrun every process calls it and gets the same result. Raises UserError for settings, stores or checkpoints
    that don't fit. If the user stops it, it saves and raises KeyboardInterrupt.
    """
    usable_device(cfg.device)
    with process_group(cfg.device, cfg.parallel) as group:
        return _run(replace(cfg, dtype=choose_dtype(cfg.dtype, cfg.device)), group)


def _run(cfg: PretrainConfig, group: Group) -> dict:
    cores = cfg.threads or os.cpu_count() or 1
    torch.set_num_threads(1 if cfg.device == "cpu" else cores)
    data = open_data(cfg)
    config = model_config(cfg, data)
    if cfg.flops is not None:
        short, steps = steps_of(cfg, config, data, cfg.flops)
        cfg = replace(cfg, flops=None, short_share=0.0, short_steps=short, steps=steps)
    settings = {**cfg.what_decides_the_weights(), **data.identity, "toto": config.to_dict()}
    settings |= {"threads": cores if group.world == 1 else 1, "world": group.world}
    settings = yaml.safe_load(yaml.safe_dump(settings))  # tuples and numbers in the form that a checkpoint gives back
    out = Path(group.tell(str(run_folder(cfg, settings)) if group.first else None))
    trainer = Trainer(cfg, config, group)
    start, tokens, flops = 0, 0, 0.0
    if cfg.resume and checkpoints(out / "resume"):
        newest = checkpoints(out / "resume")[-1]
        start, tokens, flops = load_checkpoint(newest, trainer.model, trainer.optimizer, settings, group)
    if group.first:
        out.mkdir(parents=True, exist_ok=True)
        atomic_write_text(out / "config.yaml", yaml.safe_dump(asdict(cfg), sort_keys=False))
    peak = group.world * peak_flops(group.device, cfg.dtype, settings["threads"]) if group.first else 1.0
    began, losses = time.monotonic(), {}
    with RunLog(out, cfg, start, tokens, flops) if group.first else NoLog() as log, stop_requests() as asked_here:
        log.say(
            f"{trainer.model.num_parameters:,} parameters, {data.describe}, run {out}"
            + (f", from step {start}" if start else "")
        )
        for step in range(start, cfg.steps):
            # Train a step, validate now and then, log, and save.
            values, read = trainer.step(step, data)
            done, tokens, flops = step + 1, tokens + read, flops + read * flops_per_token(trainer, data, step)
            log.advance(done, values["loss"], tokens, flops)
            if done % cfg.validate_every == 0 or done == cfg.steps:
                losses = held_out(trainer, data)
                values |= losses
            if done % cfg.log_every == 0 or len(values) > 3 or done == cfg.steps:
                log.write(
                    done,
                    {**values, "tokens": tokens, "flops": flops, "tokens_per_s": log.rate, "mfu": log.flop_rate / peak},
                )
            stop = group.total(float(asked_here()))[0] > 0
            if done % cfg.checkpoint_every == 0 or done == cfg.steps or stop:
                save_checkpoint(out / "resume", done, trainer.model, trainer.optimizer, settings, group, tokens, flops)
            if stop:
                log.say(f"Stopped at step {done}. The same command with out={out} resume=true continues.")
                raise KeyboardInterrupt
    seconds = time.monotonic() - began
    return export(trainer, out, data, tokens, flops, seconds, losses or held_out(trainer, data))


def model_config(cfg: PretrainConfig, data: PretrainData) -> ModelConfig:
    """The shape of the model: a named size with changes, or that of `init`. Raises UserError if init has other
    codes."""
    patches = {"patches": True} if data.tokenizer.continuous else {}
    if cfg.init is None:
        return preset(cfg.model, data.vocab_size, cfg.architecture, **patches, **cfg.changes())
    config = replace(read_init(cfg.init).toto, **cfg.changes())
    if config.vocab_size != data.vocab_size or getattr(config, "patches", False) != bool(patches):
        raise UserError(
            f"init={cfg.init} knows {config.vocab_size} ids, but the tokenizer of the stores needs {data.vocab_size}. "
            "Tokenize with the tokenizer in that folder."
        )
    return config


def steps_of(cfg: PretrainConfig, config: ModelConfig, data: PretrainData, flops: float) -> tuple[int, int]:
    """The short steps, and all the steps, that `flops` pays for; at least one step sees full rows."""

    def cost(rows: int, length: int) -> float:
        return rows * length * training_flops_per_token(config, length, causal=True)

    short = cfg.short_frames * (data.tokens + 1)
    shorts = round(flops * cfg.short_share / cost(cfg.short_batch, short))
    full = cost(cfg.batch_rows, longest(data.frames, data.tokens)) + (cost(cfg.batch_rows, short) if shorts else 0)
    return shorts, shorts + max(1, round(flops * (1 - cfg.short_share) / full))


def flops_per_token(trainer: Trainer, data: PretrainData, step: int) -> float:
    """FLOPs a token of training on the rows of a step, with the causal half of the attention scores."""
    short = trainer.cfg.short_frames * (data.tokens + 1)
    length = short if step < trainer.cfg.short_steps else longest(data.frames, data.tokens)
    return training_flops_per_token(trainer.model.config, length, causal=True)


def export(
    trainer: Trainer, out: Path, data: PretrainData, tokens: int, flops: float, seconds: float, losses: dict
) -> dict:
    """Write out/model, out/loss.png and out/loss_by_frame.png. Returns the numbers of the run, `losses` included."""
    cfg, by_frame = trainer.cfg, loss_by_frame(trainer, data)
    model = trainer.whole_model()
    result = {
        "model": str(out / "model"),
        "parameters": model.num_parameters,
        "steps": cfg.steps,
        "tokens": tokens,
        "flops": flops,
        "seconds": round(seconds, 1),
        "curve": str(out / "loss.png"),
        **{name: round(value, 4) for name, value in losses.items()},
        "loss_by_frame": [round(x, 4) for x in by_frame],
    }
    if trainer.group.first:
        layer = cfg.layer or (model.config.layers + 1) // 2
        notes = {"steps": cfg.steps, "short_steps": cfg.short_steps, "stores": data.identity["stores"], **losses}
        save_model(
            out / "model",
            model,
            data.tokenizer,
            layer=layer,
            pooling=cfg.pooling,
            image_size=data.image_size,
            notes=notes,
        )
        draw_loss(out, math.log(model.config.vocab_size), cfg.short_steps)
        if by_frame:
            draw_loss_by_frame(out, by_frame)
        atomic_write_text(out / RESULT, json.dumps(result, indent=1))  # last: it says that the run is finished
    trainer.close()
    return result


def run_folder(cfg: PretrainConfig, settings: dict) -> Path:
    """The folder of this run: `out`, or a new one under runs/. To resume, the newest unfinished one that fits."""
    if cfg.out is not None:
        out = Path(cfg.out)
        found = checkpoints(out / "resume")
        if cfg.resume and not found:
            raise UserError(f"There is nothing to resume in {out}: it has no checkpoint. Leave resume= out to start.")
        if found and not cfg.resume:
            raise UserError(
                f"{out} already holds a run (up to {found[-1].name}). Add resume=true, or choose another out=."
            )
        return out
    if not cfg.resume:
        return RUNS / f"toto-{cfg.model}-{time.strftime('%Y%m%d-%H%M%S')}"
    unfinished = [p for p in RUNS.glob("toto-*") if checkpoints(p / "resume") and not (p / RESULT).exists()]
    unfinished.sort(key=lambda p: checkpoints(p / "resume")[-1].stat().st_mtime, reverse=True)
    reasons: list[UserError] = []
    for out in unfinished:  # a foreign or damaged one does not stand in the way of the others
        newest = checkpoints(out / "resume")[-1]
        try:
            check_settings(newest, read_settings(newest), settings)
            return out
        except UserError as error:
            reasons.append(error)
    if reasons:
        raise reasons[0]
    raise UserError(f"There is no unfinished run under {RUNS}/ to resume. Leave resume= out to start one.")


@contextmanager
def stop_requests() -> Iterator:
    """Turn the first Ctrl-C (SIGTERM, SIGHUP) into a request to stop after the current step. The second interrupts."""
    asked: list[int] = []

    def ask(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *wanted_endings())}
    try:
        for number in before:
            signal.signal(number, ask)
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

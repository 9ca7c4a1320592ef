"""Checkpoints to resume from: one folder a step, written whole or not at all. The last two are kept.

    step-00000100/run.json            format, step, tokens, flops, settings, the files and their sizes
    step-00000100/shard-*.safetensors weights and AdamW's two averages, by torch.distributed.checkpoint

Any number of processes can read what any number wrote. The order of the data and the learning rate are functions of
the step. Therefore a resumed run needs nothing else. It gives the same bits at an equal number of processes and cores.
"""

import json
import shutil
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError, safe_open
from torch import nn

from toto_robot.ground.atomic import put_in_place
from toto_robot.ground.errors import UserError
from toto_robot.ground.resume import check_resumable
from toto_robot.pretraining.distributed import Group

KEEP = 2
FORMAT = "toto_robot.resume/3"
RUN = "run.json"
MOMENTS = ("exp_avg", "exp_avg_sq")
HOW_MANY = ("threads", "world")
"""Settings that a resumed run may change. Its result then differs by rounding."""


def save_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: dict,
    group: Group,
    tokens: int = 0,
    flops: float = 0.0,
) -> Path:
    """Write the state after `step` steps, `tokens` tokens and `flops` operations, and keep the last two in `folder`.

    Every process must call it.
    """
    path, unfinished = folder / f"step-{step:08d}", folder / f".step-{step:08d}.tmp"
    if group.first:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
    group.wait()
    try:
        with _quiet():
            writer = dcp.HuggingFaceStorageWriter(str(unfinished), save_distributed=True)
            dcp.save(_tensors(model, optimizer), storage_writer=writer, no_dist=group.world == 1)
    except BaseException:  # CheckpointException, for example on a full disk, is no Exception
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    group.wait()
    if group.first:
        files = {file.name: file.stat().st_size for file in sorted(unfinished.iterdir())}
        header = {
            "format": FORMAT,
            "step": step,
            "tokens": tokens,
            "flops": flops,
            "settings": settings,
            "files": files,
        }
        (unfinished / RUN).write_text(json.dumps(header, indent=1), encoding="utf-8")
        put_in_place(unfinished, path)
        for old in checkpoints(folder)[:-KEEP]:
            shutil.rmtree(old)
    group.wait()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(folder.glob("step-*"))


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: dict, group: Group
) -> tuple[int, int, float]:
    """Put a checkpoint into `model` and `optimizer`. Returns its step, tokens and flops. Runs no code from the files.

    Raises UserError for files that are truncated, missing or foreign, or that were written with other settings.
    """
    header = _header(path)
    check_settings(path, header["settings"], settings)
    for parameter in model.parameters():
        device = parameter.device if optimizer.defaults["fused"] else "cpu"
        optimizer.state[parameter] = {
            "step": torch.tensor(float(header["step"]), device=device),
            **{moment: torch.zeros_like(parameter) for moment in MOMENTS},
        }
    tensors = _tensors(model, optimizer)
    found = _check_files(path, header["files"])
    if wrong := sorted(found ^ tensors.keys()):
        raise UserError(
            f"{path} does not fit the model: {wrong[0]} and {len(wrong) - 1} others differ. {_remedy(path)}"
        )
    try:
        with _quiet():
            dcp.load(tensors, storage_reader=dcp.HuggingFaceStorageReader(str(path)), no_dist=group.world == 1)
    except dcp.CheckpointException as error:  # not an Exception; its text is a traceback
        reason = " ".join(str(next(iter(error.failures.values()))[0]).split())
        raise UserError(f"{path} does not fit the model ({reason}). {_remedy(path)}") from error
    return header["step"], header["tokens"], header["flops"]


def check_settings(path: Path, then: dict, now: dict) -> None:
    """Raise UserError naming the settings that differ between a checkpoint and this run."""
    check_resumable(str(path), then, now, ignored=HOW_MANY)


def read_settings(path: Path) -> dict:
    """The settings that a checkpoint was written with."""
    return _header(path)["settings"]


def _tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, parameter in model.named_parameters():
        tensors[f"model.{name}"] = parameter.detach()
        for moment in MOMENTS:
            tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    return tensors


def _header(path: Path) -> dict:
    try:
        header = json.loads((path / RUN).read_text(encoding="utf-8"))
        if header["format"] != FORMAT:
            raise KeyError("format")
        numbers = {name: kind(header[name]) for name, kind in (("step", int), ("tokens", int), ("flops", float))}
        return {**numbers, "settings": dict(header["settings"]), "files": dict(header["files"])}
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is not a checkpoint of a pre-training run, or it is damaged ({reason}). {_remedy(path)}"
        ) from error


def _check_files(path: Path, files: dict) -> set[str]:
    """The names of the tensors in the shards. Raises UserError for a file that is missing or isn't what was written."""
    names: set[str] = set()
    for file, size in files.items():
        found = (path / file).stat().st_size if (path / file).is_file() else 0
        if found != size:
            raise UserError(f"{path / file} is truncated: expected {size} bytes, found {found}. {_remedy(path)}")
        try:
            with safe_open(path / file, framework="pt") as shard:
                names |= set(shard.keys())
        except (SafetensorError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path / file} is damaged ({reason}). {_remedy(path)}") from error
    return names


@contextmanager
def _quiet():
    """Hide the warning that torch.distributed is not in use, which is so in every run of one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _remedy(path: Path) -> str:
    others = [other for other in checkpoints(path.parent) if other != path]
    return f"Delete it to continue from {others[-1].name}." if others else "Delete it to start again."

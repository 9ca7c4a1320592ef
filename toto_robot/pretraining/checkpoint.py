"""Checkpoints to resume from: one safetensors file a step, written atomically, the last two kept.

A file holds the weights, AdamW's two averages and, in its header, the step and the settings. The order of the data
and the learning rate are functions of the step, so nothing else is needed for a bit-exact continuation.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from toto_robot.atomic import atomic_write_bytes
from toto_robot.errors import UserError

KEEP = 2
FORMAT = "toto_robot.resume/1"
MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, settings: dict) -> Path:
    """Write the state after `step` steps into `folder` and delete all but the last two checkpoints."""
    tensors = {}
    for name, parameter in model.named_parameters():
        tensors[f"model.{name}"] = parameter.detach()
        for moment in MOMENTS:
            tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "step": str(step), "settings": json.dumps(settings, sort_keys=True)}
    path = folder / f"step-{step:08d}.safetensors"
    atomic_write_bytes(path, save(tensors, metadata=header))
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: dict) -> int:
    """Put a checkpoint into `model` and `optimizer` and return its step. Runs no code from the file.

    Raises UserError for a file that is truncated or foreign, or that was written under other settings.
    """
    header, tensors = _read(path)
    check_settings(path, json.loads(header["settings"]), settings)
    parameters = dict(model.named_parameters())
    expected = {f"{part}.{name}": p.shape for name, p in parameters.items() for part in ("model", *MOMENTS)}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != expected:
        wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise UserError(f"{path} does not fit the model: {wrong[0]} and {len(wrong) - 1} others differ; {_remedy(path)}")
    step = int(header["step"])
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"model.{name}"])
            optimizer.state[parameter] = {
                "step": torch.tensor(float(step), device=parameter.device if optimizer.defaults["fused"] else "cpu"),
                **{moment: tensors[f"{moment}.{name}"].to(parameter.device) for moment in MOMENTS},
            }
    return step


def check_settings(path: Path, then: dict, now: dict) -> None:
    """Raise UserError naming what differs between a checkpoint's settings and this run's."""
    differ = [f"{k} was {then.get(k)!r} and is {now.get(k)!r}" for k in sorted({*then, *now}) if then.get(k) != now.get(k)]
    if differ:
        raise UserError(
            f"{path} was written under other settings ({'; '.join(differ)}); "
            "resume with the same settings, or leave resume out and choose another out="
        )


def read_settings(path: Path) -> dict:
    """The settings in a checkpoint's header."""
    return json.loads(_read(path, tensors=False)[0]["settings"])


def _read(path: Path, tensors: bool = True) -> tuple[dict, dict]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT or not {"step", "settings"} <= header.keys():
                raise UserError(f"{path} is not a checkpoint of a pre-training run; {_remedy(path)}")
            json.loads(header["settings"])
            int(header["step"])
            return header, {name: file.get_tensor(name) for name in file.keys()} if tensors else {}
    except (SafetensorError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is truncated or not a checkpoint ({reason}); {_remedy(path)}") from error


def _remedy(path: Path) -> str:
    others = [other for other in checkpoints(path.parent) if other != path]
    return f"delete it to go on from {others[-1].name}" if others else "delete it to start again"

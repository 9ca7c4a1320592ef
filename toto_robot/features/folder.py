"""A model folder: `pretrain` exports it, the package ships some, and `load_encoder` reads it.

config.yaml        fields of Toto and of its tokenizer, default layer and pooling, sha256 of both weight files
toto.safetensors   Toto, or whichever architecture config.yaml names
dvae.safetensors   its tokenizer: here a dVAE, vqgan.safetensors for a VQGAN
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from toto_robot.ground.atomic import atomic_folder
from toto_robot.ground.errors import UserError
from toto_robot.ground.foreign import check_inside
from toto_robot.ground.strict import check, dump_yaml, read_yaml
from toto_robot.ground.tensors import check_numbers, tensor_shapes
from toto_robot.models.causal import CausalModel
from toto_robot.models.presets import ModelConfig, build, read_config
from toto_robot.tokens.base import Tokenizer, weight_name
from toto_robot.tokens.tokenizer import kind_in

CONFIG, TOTO, CARD = "config.yaml", "toto.safetensors", "MODEL_CARD.md"
AGAIN = "copy the folder again, or export it again with `python -m toto_robot.pretrain`."


@dataclass
class ModelFolder:
    """The checked config.yaml of a model folder."""

    path: Path
    """The folder."""
    toto: ModelConfig
    """The shape of the sequence model, of any architecture."""
    layer: int
    """The layer that gives the features by default."""
    pooling: str
    """The default pooling."""
    image_size: int
    """Pixels on the side of the frames that it was trained on."""
    sha256: dict[str, str] = field(default_factory=dict)
    """sha256 of each weight file."""
    notes: dict = field(default_factory=dict)
    """How it was made: steps, losses, stores. It is information for people."""


def save_model(
    path: Path,
    toto: CausalModel,
    tokenizer: Tokenizer,
    *,
    layer: int,
    pooling: str,
    image_size: int = 128,
    notes: dict | None = None,
    card: str = "",
) -> None:
    """Write a model folder, atomically, with weights in float32. `card` is the text of its MODEL_CARD.md, if any."""
    config = {
        "toto": toto.config.to_dict(),
        **tokenizer.described(),
        "layer": layer,
        "pooling": pooling,
        "image_size": image_size,
        "sha256": {},
        "notes": notes or {},
    }
    with atomic_folder(path) as folder:
        for name, model in ((TOTO, toto), (weight_name(tokenizer.kind), tokenizer)):
            data = save({key: value.detach().float().cpu().contiguous() for key, value in model.state_dict().items()})
            config["sha256"][name] = hashlib.sha256(data).hexdigest()
            (folder / name).write_bytes(data)
        (folder / CONFIG).write_text(dump_yaml(config))
        if card:
            (folder / CARD).write_text(card)


def read_folder(path: Path) -> ModelFolder:
    """Read and check config.yaml. Raises UserError, which says what is missing or wrong, and what to do."""
    tokenizer = weight_name(kind_in(path) or "dvae")
    for name in (CONFIG, TOTO, tokenizer):
        if not (path / name).is_file():
            exists = ", ".join(sorted(p.name for p in path.iterdir())) or "nothing" if path.is_dir() else "no folder"
            raise UserError(
                f"{path} is not a model folder: expected {CONFIG}, {TOTO} and {tokenizer}, found {exists}; {AGAIN}"
            )
    check_inside(path)
    try:
        config = read_yaml(path / CONFIG)
        found = ModelFolder(
            path=path,
            toto=read_config(check(dict, config["toto"], "toto")),
            layer=check(int, config["layer"], "layer"),
            pooling=check(str, config["pooling"], "pooling"),
            image_size=check(int, config["image_size"], "image_size"),
            sha256={name: check(str, config["sha256"][name], f"sha256.{name}") for name in (TOTO, tokenizer)},
            notes=config.get("notes") or {},
        )
    except KeyError as error:
        raise UserError(f"{path / CONFIG} does not describe a model: it has no {error}; {AGAIN}") from error
    except (TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path / CONFIG} does not describe a model ({reason}); {AGAIN}") from error
    return found


def check_size(folder: ModelFolder) -> None:
    """Raise UserError if config.yaml describes a larger network than its weights, before that network is made."""
    check_numbers(folder.toto, tensor_shapes(folder.path / TOTO), f"{folder.path / CONFIG}, toto")


def load_toto(folder: ModelFolder) -> CausalModel:
    """The sequence model of a model folder, in float32, in evaluation mode. Runs no code from the file."""
    file = folder.path / TOTO
    data = file.read_bytes()
    found, expected = hashlib.sha256(data).hexdigest(), folder.sha256[TOTO]
    if found != expected:
        raise UserError(
            f"{file} is truncated or not the file that its {CONFIG} describes: expected sha256 {expected[:12]}…, "
            f"got {found[:12]}… ({len(data):,} bytes); {AGAIN}"
        )
    check_size(folder)
    with torch.device("meta"):
        model = build(folder.toto)
    try:
        model.load_state_dict(load(data), strict=True, assign=True)
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{file} does not fit its {CONFIG} ({reason}); {AGAIN}") from error
    return model.float().requires_grad_(False).eval()

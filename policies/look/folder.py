"""The look of the training pictures in a policy's folder: look.safetensors. policy.yaml has its sha256 (`look`)."""

import hashlib
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load, save

from policies.fit.folder import CONFIG, read_about, read_tensors
from policies.look.about import LookFile
from policies.look.training_look import TrainingLook
from toto_robot.ground.atomic import atomic_folder
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import dump_yaml, read_yaml

LOOK_FILE = "look.safetensors"


def packed(look: TrainingLook | None) -> tuple[LookFile | None, bytes]:
    """The entry in policy.yaml for `look`, and the bytes of its file. (None, b"") without a look."""
    if look is None:
        return None, b""
    data = save({name: tensor.contiguous() for name, tensor in look.tensors.items()})
    return LookFile(sha256=hashlib.sha256(data).hexdigest(), frames=look.frames, episodes=look.episodes), data


def read_look(folder: Path, said: LookFile | None) -> TrainingLook | None:
    """The look of the policy in `folder`. `said` is its entry in policy.yaml. Raises UserError naming the file if it is
    damaged."""
    if said is None:
        return None
    tensors = read_tensors(folder / LOOK_FILE, said.sha256, load)
    try:
        return TrainingLook(tensors, said.frames, said.episodes)
    except UserError as error:
        raise UserError(f"{folder / LOOK_FILE}: {error}. Copy it again.") from error


def add_look(look: TrainingLook, folder: Path) -> None:
    """Put `look` into the folder of a saved policy, atomically. It replaces the look that is there."""
    read_about(folder)
    said, data = packed(look)
    assert said is not None
    values = read_yaml(folder / CONFIG) | {"look": asdict(said)}
    with atomic_folder(folder) as temporary:
        for path in folder.iterdir():
            if path.is_file() and path.name not in (CONFIG, LOOK_FILE):
                (temporary / path.name).write_bytes(path.read_bytes())
        (temporary / LOOK_FILE).write_bytes(data)
        (temporary / CONFIG).write_text(dump_yaml(values))

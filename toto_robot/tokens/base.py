"""What every tokenizer of frames does: uint8 frames to integer codes and back, reproducibly.

On the arrow: frame → token ids. This file holds what all kinds share: the checks, exact float32, the fingerprint, the
files. A kind adds a frozen config and the functions `patch_of`, `to_codes`, `to_pixels` and `codebook`.
"""

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from toto_robot.ground.atomic import atomic_write_bytes, atomic_write_text
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import build, dump_yaml, read_yaml
from toto_robot.ground.tensors import check_numbers, tensor_shapes
from toto_robot.video.frames import check_frames, to_float01, to_uint8

CONFIG = "config.yaml"


class Tokenizer(nn.Module, ABC):
    """Frames to codes and back. `vocab_size` codes; a token covers `patch` × `patch` pixels."""

    kind: ClassVar[str]
    """Name of the weight file, KIND.safetensors, and of the section of config.yaml."""
    config_type: ClassVar[type]
    """Frozen dataclass of everything that shapes the network."""
    pixel_range: ClassVar[tuple[float, float]]
    """The numbers that the network sees for black and for white."""
    at_once: ClassVar[tuple[int, int]]
    """Frames in one pass on a CPU, where their activations stay in the cache, and on a GPU."""
    remedy: ClassVar[str]
    """How to get one, for error messages."""
    continuous: ClassVar[bool] = False
    """Whether a token is a vector of `vocab_size` uint8 values instead of one of `vocab_size` codes."""

    def __init__(self, config: Any):
        super().__init__()
        self.config, self.vocab_size, self.patch = config, config.vocab_size, self.patch_of(config)
        self.source: dict = {}
        """Foreign files that the weights came from: name and sha256. It is information for people, and not part of the
        fingerprint."""

    @staticmethod
    @abstractmethod
    def patch_of(config) -> int:
        """Pixels on the side of a token."""

    @abstractmethod
    def to_codes(self, x: Tensor) -> Tensor:
        """float [0, 1] (B, 3, H, W) to codes int64 (B, H / patch, W / patch)."""

    @abstractmethod
    def to_pixels(self, codes: Tensor) -> Tensor:
        """codes int64 (B, h, w) to float [0, 1] (B, 3, h · patch, w · patch)."""

    @abstractmethod
    def codebook(self) -> Tensor:
        """Embedding of each code, float (V, D)."""

    def gains(self, x: Tensor) -> Tensor:
        """Gains (B, 3) from frames float [0, 1] (B, 3, H, W) to the pixels that their codes stand for.

        They are ones, unless the tokenizer brings every frame to one exposure first.
        """
        return torch.ones(len(x), 3, device=x.device)

    def grid(self, image_size: int) -> tuple[int, int]:
        """Token rows and columns of a square frame."""
        return token_grid(image_size, self.patch)

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return next(self.parameters()).device

    @torch.no_grad()
    def encode(self, frames) -> Tensor:
        """uint8 (B, H, W, 3), NumPy or torch, to codes int64 (B, S) in raster order. It always computes in float32.

        A continuous tokenizer gives uint8 (B, S, vocab_size).
        """
        check_frames(frames)
        if isinstance(frames, np.ndarray):
            frames = torch.from_numpy(frames if frames.flags.writeable else frames.copy())
        if frames.ndim != 4 or frames.shape[1] % self.patch or frames.shape[2] % self.patch:
            raise UserError(
                f"expected frames (B, H, W, 3) with H and W multiples of {self.patch}, got {tuple(frames.shape)}"
            )
        device = self.device
        with exact_float32(device):
            codes = [
                self.to_codes(to_float01(part.to(device))).flatten(1, 2)
                for part in frames.split(self.at_once[device.type != "cpu"])
            ]
        return torch.cat(codes)

    @torch.no_grad()
    def decode(self, codes: Tensor, height: int | None = None) -> Tensor:
        """codes (B, S) to uint8 (B, H, W, 3): square frames, unless `height` in pixels is given."""
        one = (self.vocab_size,) * self.continuous
        rows = height // self.patch if height else round(codes.shape[1] ** 0.5) if codes.ndim > 1 else 0
        if codes.ndim != 2 + len(one) or codes.shape[2:] != one or rows < 1 or codes.shape[1] % rows:
            wanted = ", ".join(["B", f"{rows} rows × columns", *map(str, one)])
            raise UserError(f"expected codes ({wanted}), got shape {tuple(codes.shape)}. Give height=.")
        if not self.continuous and codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < self.vocab_size:
            raise UserError(f"expected codes in 0..{self.vocab_size - 1}, got {int(codes.min())}..{int(codes.max())}")
        parts = [
            self.to_pixels(part.to(self.device))
            for part in (codes if self.continuous else codes.long())
            .reshape(len(codes), rows, -1, *one)
            .split(self.at_once[0])
        ]
        return to_uint8(torch.cat(parts))

    def fingerprint(self) -> str:
        """sha256 of the configuration and of every weight. Equal fingerprints give equal codes."""
        digest = hashlib.sha256(json.dumps(self.fields(), sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def fields(self) -> dict:
        """The fields of the config. Fields of later versions are left out if they have their default.

        This way an older tokenizer keeps its fingerprint.
        """
        later = {f.name: f.default for f in dataclasses.fields(self.config) if f.metadata.get("later")}
        return {k: v for k, v in asdict(self.config).items() if k not in later or v != later[k]}

    def described(self) -> dict:
        """The part of a config.yaml that describes this tokenizer."""
        return {self.kind: self.fields()} | ({"source": self.source} if self.source else {})

    def save(self, folder) -> None:
        """Write KIND.safetensors and config.yaml (fields and sha256) into `folder`."""
        folder, weights = Path(folder), weight_name(self.kind)
        data = save_safetensors(
            {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        )
        atomic_write_bytes(folder / weights, data)
        described = self.described() | {"sha256": {weights: hashlib.sha256(data).hexdigest()}}
        atomic_write_text(folder / CONFIG, dump_yaml(described))

    @classmethod
    def load(cls, folder) -> "Tokenizer":
        """Read what `save` wrote, or the tokenizer of a model folder. Checks sha256 and shapes. Runs no foreign
        code."""
        folder, weights = Path(folder), weight_name(cls.kind)
        for name in (CONFIG, weights):
            if not (folder / name).is_file():
                raise UserError(f"There is no {cls.__name__} in {folder}: {name} is missing. {cls.remedy}")
        try:
            described = read_yaml(folder / CONFIG)
            config, wanted = build(cls.config_type, described[cls.kind], cls.kind), described["sha256"][weights]
        except (KeyError, TypeError, UserError) as error:
            raise UserError(
                f"{folder / CONFIG} does not describe a {cls.__name__} ({type(error).__name__}: {error}). "
                "Copy the folder again."
            ) from error
        data = (folder / weights).read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise UserError(
                f"{folder / weights} is damaged or not the file that {CONFIG} describes "
                f"(sha256 {found[:12]}…, expected {str(wanted)[:12]}…). Copy the folder again."
            )
        try:
            check_numbers(config, tensor_shapes(folder / weights), cls.kind)
            model = cls.of(config, load_safetensors(data))
        except Exception as error:
            raise UserError(
                f"{folder / weights} does not fit its {CONFIG}: {str(error).splitlines()[-1].strip()}"
            ) from error
        model.source = described.get("source") or {}
        return model

    @classmethod
    def of(cls, config, state: dict[str, Tensor]) -> "Tokenizer":
        """The tokenizer with these weights, in float32. Raises RuntimeError if names or shapes don't fit."""
        with torch.device("meta"):
            model = cls(config)
        model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
        return model.to(memory_format=torch.channels_last).eval()


def weight_name(kind: str) -> str:
    """The weight file of a kind of tokenizer."""
    return f"{kind}.safetensors"


def token_grid(image_size: int, patch: int) -> tuple[int, int]:
    """Token rows and columns of a square frame: (16, 16) at 128 px and 8 pixels a token."""
    if image_size < patch or image_size % patch:
        raise UserError(f"expected an image size that is a multiple of {patch}, got {image_size}")
    return image_size // patch, image_size // patch


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Switch autocast and TF32 off, whatever the caller has set. With them, near-ties between codes would flip."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)

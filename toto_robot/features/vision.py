"""Baseline encoders with the encoder's contract: the vision transformers of MVP and MAE, and timm's DINO, DINOv2, CLIP.

    vit:FILE              a checkpoint of MVP's or MAE's layout
    vit:FILE:random       the same sizes with random weights from a fixed seed
    vit_small_random      MVP's sizes with random weights (also vit_base_random, vit_large_random)
    timm:MODEL:FILE       a model of timm with weights from a local file
    timm:MODEL:random     the same with random weights

Frames of any size are scaled to the encoder's own size (bilinear, antialiased), cropped to the square in the middle,
and normalised.
"""

import hashlib
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_robot.features.contract import FrozenEncoder
from toto_robot.features.pooling import CELLS, VISION_POOLINGS, check_pooling
from toto_robot.features.vit import SIZES, ViT, read_vit
from toto_robot.ground.errors import UserError, expected
from toto_robot.ground.precision import choose_dtype, torch_dtype, usable_device
from toto_robot.video.frames import scaled_square, to_float01

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet's channels, which MVP and MAE use."""

RANDOM_SEED = 0
AT_ONCE = {"cpu": 8, "cuda": 256}
"""Frames that go through the network together."""
FORMS = "vit:FILE, vit:FILE:random, timm:MODEL:FILE, timm:MODEL:random"


class VisionEncoder(FrozenEncoder):
    """A frozen vision transformer, or another network of timm. It has no tokenizer, so `codes` gives None."""

    image_size: int

    def __init__(self, model: nn.Module, *, layer, pooling, dtype, device, identity: dict, facts: dict):
        """`model(x, layer)` gives tokens. `facts` holds depth, width, image_size, mean, std and prefix (class tokens).

        Poolings: cls is the class token (MVP), mean the average patch (RPT), attention and grid are 4×4 averages, none
        gives every patch.
        """
        check_pooling(pooling, VISION_POOLINGS)
        if pooling == "cls" and not facts["prefix"]:
            raise UserError("pooling=cls: this network has no class token. Use mean or grid.")
        self.num_layers, self.dim, self.image_size = facts["depth"], facts["width"], facts["image_size"]
        self.layer = self.num_layers if layer is None else layer
        if not 1 <= self.layer <= self.num_layers:
            raise expected("encoder.layer", f"a layer from 1 to {self.num_layers}", layer)
        self.device, self.pooling, self.dtype = usable_device(device), pooling, choose_dtype(dtype, device)
        self.prefix = 1 if facts["prefix"] else 0
        self.model = model.requires_grad_(False).to(self.device, torch_dtype(self.dtype)).eval()
        self.mean, self.std = (torch.tensor(facts[k], device=self.device).view(3, 1, 1) for k in ("mean", "std"))
        parts = {
            **identity,
            "layer": self.layer,
            "pooling": pooling,
            "dtype": self.dtype,
            "image_size": self.image_size,
        }
        self.fingerprint = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        self.feature_shape = {"cls": (self.dim,), "mean": (self.dim,)}.get(pooling, (CELLS * CELLS, self.dim))
        if pooling == "none":
            blank = torch.zeros(1, self.image_size, self.image_size, 3, dtype=torch.uint8)
            self.feature_shape = tuple(self(blank).shape[1:])

    @torch.inference_mode()
    def __call__(self, frames) -> Tensor:
        """Features float32 of frames uint8 (B, H, W, 3), NumPy or torch.

        (B, D) for cls and mean, (B, 16, D) for grid and attention, (B, S, D) for none.
        """
        if len(frames.shape) != 4:
            raise expected("This encoder", "frames (B, H, W, 3)", tuple(frames.shape), "Only Toto takes clips.")
        x = torch.as_tensor(frames)
        return torch.cat([self._features(part) for part in x.split(AT_ONCE.get(self.device.type, AT_ONCE["cuda"]))])

    def _features(self, frames: Tensor) -> Tensor:
        x = (scaled_square(to_float01(frames).to(self.device), self.image_size) - self.mean) / self.std
        tokens = self.model(x.to(torch_dtype(self.dtype)), self.layer).float()
        if self.pooling == "cls":
            return tokens[:, 0]
        patches = tokens[:, self.prefix :]
        if self.pooling == "none":
            return patches
        if self.pooling == "mean":
            return patches.mean(dim=1)
        side = round(patches.shape[1] ** 0.5)
        cells = F.adaptive_avg_pool2d(patches.transpose(1, 2).reshape(len(patches), self.dim, side, side), CELLS)
        return cells.flatten(2).transpose(1, 2)

    def __repr__(self) -> str:
        what = f"layer {self.layer} of {self.num_layers}, {self.pooling} {self.feature_shape}"
        return f"VisionEncoder({what}, {self.fingerprint[:12]})"


def is_vision(name: str) -> bool:
    """Whether `name` is one of this module's encoders, by its form."""
    return name.startswith(("vit:", "timm:")) or name in vision_names()


def vision_names() -> list[str]:
    """Names that need no file."""
    return [f"vit_{size}_random" for size in SIZES]


def load_vision(name: str, layer=None, pooling=None, dtype="float32", device="cpu") -> VisionEncoder:
    """The encoder called `name`, as the module's docstring lists them. By default `pooling` is cls, if there is one."""
    if name.startswith("timm:"):
        model, identity, facts = _timm_model(name)
    else:
        model, identity = _vit(name)
        c = model.config
        facts = dict(depth=c.depth, width=c.width, image_size=c.image_size, mean=MEAN, std=STD, prefix=1)
    pooling = pooling or ("cls" if facts["prefix"] else "mean")
    return VisionEncoder(
        model, layer=layer, pooling=pooling, dtype=dtype, device=device, identity=identity, facts=facts
    )


def _vit(name: str) -> tuple[ViT, dict]:
    if name in vision_names():
        config, given = SIZES[name.split("_")[1]], ""
    else:
        given = name.removeprefix("vit:")
        path = Path(given.removesuffix(":random"))
        if not path.is_file():
            names = ", ".join(vision_names())
            raise UserError(f"encoder={name}: there is no file {str(path)!r}. Expected {FORMS}, or {names}.")
        model = read_vit(path)
        if not given.endswith(":random"):
            return model, {"vit": sha256(path)}
        config = model.config
    with torch.random.fork_rng(devices=[]):  # PyTorch draws weights of its own first
        model = ViT(config)
    model.init_weights(torch.Generator().manual_seed(RANDOM_SEED))
    return model, {"vit_random": RANDOM_SEED, "config": config.to_dict()}


def _timm_model(name: str):
    from toto_robot.features.timm_models import TimmModel

    _, architecture, *rest = name.split(":", 2)
    if not rest or not rest[0]:
        raise UserError(
            f"encoder={name}: expected timm:MODEL:FILE or timm:MODEL:random, for example "
            "timm:vit_small_patch16_224.dino:dino.pth."
        )
    path = Path(rest[0])
    if rest[0] != "random" and not path.is_file():
        raise UserError(
            f"encoder={name}: there is no file {rest[0]!r}. Weights are not downloaded: give a local file, or random."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = TimmModel(architecture)
    identity = {"timm": architecture, "random": RANDOM_SEED}
    if rest[0] != "random":
        model.read(path)
        identity = {"timm": architecture, "weights": sha256(path)}
    facts = {k: getattr(model, k) for k in ("depth", "width", "image_size", "mean", "std", "prefix")}
    return model, identity, facts


def sha256(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The frozen encoder: frame → token ids → Toto, stopped at a middle layer → pooled feature (Sec. 4.4).

Shapes: B batch, F frames, S tokens a frame, T sequence, D width.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from toto_robot.features.contract import FrozenEncoder
from toto_robot.features.folder import TOTO, ModelFolder, check_size, load_toto, read_folder
from toto_robot.features.mean_pixels import NAME as MEAN_PIXELS
from toto_robot.features.mean_pixels import MeanPixels
from toto_robot.features.pooling import check_pooling, feature_shape, pool
from toto_robot.features.vision import FORMS, VisionEncoder, is_vision, load_vision, vision_names
from toto_robot.ground.errors import UserError, expected, unknown
from toto_robot.ground.precision import choose_dtype, torch_dtype, usable_device
from toto_robot.models.causal import CausalModel
from toto_robot.models.presets import build
from toto_robot.tokens.base import Tokenizer
from toto_robot.tokens.patches import patch_values
from toto_robot.tokens.special import IMAGE_START, OFFSET, VIDEO_START
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.video.frames import check_frames

WEIGHTS = Path(__file__).parent.parent / "weights"
RANDOM_SEED = 0
"""Seed of the weights of a random encoder."""
MICRO_TOKENS = {"cpu": 2048, "cuda": 65536}
"""Tokens in one pass of the transformer. On a CPU the activations of a block then stay in the cache."""


class Encoder(FrozenEncoder):
    """The frozen Toto, or the bare codes of its tokenizer. `load_encoder` makes one."""

    image_size: int

    def __init__(
        self, tokenizer: Tokenizer, toto: CausalModel | None, *, layer, pooling, dtype, device, image_size, identity
    ):
        check_pooling(pooling)
        dtype = choose_dtype(dtype, device)
        self.device = usable_device(device)
        self.tokenizer = tokenizer.requires_grad_(False).to(self.device, torch.float32).eval()
        self.pooling, self.dtype, self.image_size = pooling, dtype, image_size
        self.grid, self._codebook = tokenizer.grid(image_size)[0], None
        if toto is None:
            self.toto, self.layer, self.num_layers = None, 0, 0
            self._codebook = None if tokenizer.continuous else tokenizer.codebook().to(self.device, torch.float32)
            self.dim = tokenizer.vocab_size if self._codebook is None else self._codebook.shape[1]
        else:
            self.layer, self.num_layers, self.dim = layer, toto.config.layers, toto.config.width
            if not 1 <= layer <= self.num_layers:
                raise expected("encoder.layer", f"a layer from 1 to {self.num_layers}", layer)
            self.toto = toto.requires_grad_(False).to(self.device, torch_dtype(dtype)).eval()
        self.feature_shape = feature_shape(pooling, self.dim, self.grid)
        self.reads_clips = self.toto is not None
        parts = {**identity, "layer": self.layer, "pooling": pooling, "dtype": dtype, "dvae": tokenizer.fingerprint()}
        self.fingerprint = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        """Equal fingerprints mean equal features, so a cache or a policy can tell whether it fits."""

    @torch.inference_mode()
    def __call__(self, frames) -> Tensor:
        """Features float32 of frames uint8 (B, H, W, 3), or of clips (B, F, H, W, 3), NumPy or torch.

        (B, D) for mean, (B, 16, D) for grid and attention, (B, S, D) for none. A clip has F·16 and F·S instead, and its
        mean is over all its frames. Raises UserError unless the frames have the size that the encoder was trained on.
        """
        return self.features(self.codes(frames))

    @torch.inference_mode()
    def codes(self, frames) -> Tensor:
        """Token codes int64 (B, S), or (B, F, S) for clips. They are always computed in float32, hence reproducible.

        A tokenizer of patches gives patches uint8 (…, S, values).
        """
        check_frames(frames, size=self.image_size)
        if len(frames.shape) not in (4, 5):
            raise UserError(
                f"An encoder takes frames (B, H, W, 3) or clips (B, F, H, W, 3), but got {tuple(frames.shape)}. "
                "For one frame write frame[None]."
            )
        codes = self.tokenizer.encode(frames.reshape(-1, *frames.shape[-3:])).to(self.device)
        return codes.view(*frames.shape[:-3], *codes.shape[1:])

    @torch.inference_mode()
    def features(self, codes: Tensor) -> Tensor:
        """Features of the codes that `codes` gives, with the shape of `__call__`."""
        if self.toto is None:
            return pool(self._vectors(codes), self.pooling, self.grid)
        # The start token comes first. Its feature is dropped.
        parts = []
        for ids in self._micro_batches(codes):
            parts.append(pool(self.toto.hidden_states(ids, self.layer)[:, 1:], self.pooling, self.grid))
        return torch.cat(parts)

    def tokens(self, frames) -> Tensor:
        return self.codes(frames)

    @torch.inference_mode()
    def newest(self, clips) -> Tensor:
        """Features of the newest frame of each clip of tokens. The clip is `[video start]` and then all its frames in
        order. One frame alone is not the same as `[image start]` and that frame."""
        assert self.toto is not None
        clips = torch.as_tensor(clips)
        newest, parts = clips.shape[2], []
        for ids in self._micro_batches(clips):
            parts.append(pool(self.toto.hidden_states(ids, self.layer)[:, -newest:], self.pooling, self.grid))
        return torch.cat(parts)

    @torch.inference_mode()
    def every_layer(self, codes: Tensor) -> Tensor:
        """The features of all layers at once: (layers, B, ...). The codebook counts as one layer."""
        if self.toto is None:
            return self.features(codes)[None]
        parts = []
        for ids in self._micro_batches(codes):
            states = self.toto.every_hidden_state(ids)
            parts.append(torch.stack([pool(x[:, 1:], self.pooling, self.grid) for x in states]))
        return torch.cat(parts, dim=1)

    def _micro_batches(self, codes: Tensor) -> Iterator[Tensor]:
        """Ids (b, 1 + T) of codes (B, S) or (B, F, S), start token first, a few rows at a time. For patches, values."""
        codes = torch.as_tensor(codes).to(self.device)
        ids = F.pad(self._vectors(codes), (0, 0, 1, 0)) if self.tokenizer.continuous else ids_of(codes)
        at_once = MICRO_TOKENS.get(self.device.type, MICRO_TOKENS["cuda"]) // ids.shape[1]
        yield from ids.split(max(1, at_once))

    def _vectors(self, codes: Tensor) -> Tensor:
        """The vector of each token without a transformer (B, F·S, dim): from the codebook, or the values of a patch."""
        codes = torch.as_tensor(codes).to(self.device)
        if self._codebook is None:
            return patch_values(codes.flatten(1, -2))
        return F.embedding(codes.long().flatten(1), self._codebook)

    def __repr__(self) -> str:
        what = f"layer {self.layer} of {self.num_layers}" if self.toto is not None else "codebook vectors"
        return f"Encoder({what}, {self.pooling} {self.feature_shape}, {self.dtype}, {self.fingerprint[:12]})"


def ids_of(codes: Tensor) -> Tensor:
    """Ids int64 (B, 1 + T) that Toto reads: `[image start]` and the codes of a frame (B, S), or `[video start]` and
    those of a clip (B, F, S)."""
    start = IMAGE_START if codes.ndim == 2 else VIDEO_START
    return F.pad(codes.long().flatten(1) + OFFSET, (1, 0), value=start)


def load_encoder(
    name_or_folder: str | Path = "toto_tiny",
    layer: int | None = None,
    pooling: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
) -> Encoder | VisionEncoder | MeanPixels:
    """The frozen encoder called `name_or_folder`. Raises UserError listing what exists.

    `name_or_folder`: `toto_tiny`; or `toto_tiny_random`, the same tokenizer and architecture with random weights from a
    fixed seed; or `dvae_codes`, the codebook vectors of the codes without Toto; or a model folder made by `pretrain`,
    with the same two controls FOLDER:random and FOLDER:codes; or `mean_pixels`, the colours of 8×8 blocks; or a
    baseline (`vision.py`), such as vit:FILE and timm:MODEL:FILE. `layer` counts from 1; the layers above it are not
    computed. `pooling` is mean, attention, grid or none; a baseline also has cls, which is its default. If `layer` or
    `pooling` is None, the model's default is used. `dtype` is the transformer's: float32, bfloat16, or auto, which is
    bfloat16 if the processor multiplies it in hardware. The tokenizer is always float32.
    """
    if is_vision(str(name_or_folder)):
        return load_vision(str(name_or_folder), layer, pooling, dtype, device)
    if name_or_folder == MEAN_PIXELS:
        return MeanPixels(pooling, layer)
    folder, variant = find_encoder(name_or_folder)
    found = read_folder(folder)
    tokenizer = load_tokenizer(folder)
    toto, identity = _transformer(found, variant)
    if toto is None and layer not in (None, 0):
        raise UserError(f"{name_or_folder} has no transformer, so it has no layer {layer}. Leave layer= out.")
    return Encoder(
        tokenizer,
        toto,
        layer=found.layer if layer is None else layer,
        pooling=found.pooling if pooling is None else pooling,
        dtype=dtype,
        device=device,
        image_size=found.image_size,
        identity=identity,
    )


def encoder_names() -> list[str]:
    """Every name that `load_encoder` knows."""
    shipped = sorted(p.parent.name for p in WEIGHTS.glob("*/config.yaml"))
    return [*shipped, *(f"{name}_random" for name in shipped), "dvae_codes", MEAN_PIXELS, *vision_names()]


def find_encoder(name_or_folder: str | Path) -> tuple[Path, str]:
    """The model folder behind a name, and the variant: trained, random or codes."""
    name = str(name_or_folder)
    if name == "dvae_codes":
        return WEIGHTS / "toto_tiny", "codes"
    if (WEIGHTS / name / "config.yaml").is_file():
        return WEIGHTS / name, "trained"
    if name.endswith("_random") and (WEIGHTS / name.removesuffix("_random") / "config.yaml").is_file():
        return WEIGHTS / name.removesuffix("_random"), "random"
    path, _, variant = name.partition(":") if not Path(name).is_dir() else (name, "", "")
    if Path(path).is_dir() and variant in ("", "random", "codes"):
        return Path(path), variant or "trained"
    also = f"You can also give a model folder made by `python -m toto_robot.pretrain`, or {FORMS}."
    raise unknown("encoder", name, encoder_names(), also)


def _transformer(folder: ModelFolder, variant: str) -> tuple[CausalModel | None, dict]:
    """The transformer of a variant, and the values that identify it."""
    if variant == "codes":
        return None, {"codes": True}
    if variant == "random":
        check_size(folder)
        toto = build(folder.toto)
        toto.init_weights(torch.Generator().manual_seed(RANDOM_SEED))
        return toto, {"random": RANDOM_SEED, "config": folder.toto.to_dict()}
    return load_toto(folder), {"weights": folder.sha256[TOTO], "config": folder.toto.to_dict()}

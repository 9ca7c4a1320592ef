"""What a policy sees besides proprioception: a frozen encoder's features, the privileged state, or nothing.

On the arrow: frames come from `toto_robot.video`, features go to `policies.network` (training) and `policies.policy`
(acting). Every class here turns an observation into the same numbers in both cases.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from policies.features.parallel_encoder import LARGEST_HALF, ParallelEncoder
from policies.network.trained_blocks import TrainedConfig, learned_blocks, trained_part
from toto_robot.features.contract import FrozenEncoder
from toto_robot.features.pooling import POLICY_POOLINGS
from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.precision import DTYPES, choose_dtype
from toto_robot.video.frames import check_frames, lower_square, resize_center_crop

CROPS = ("none", "centre", "lower")
NOT_FROZEN = ("none", "privileged", "resnet")
"""Names that are no frozen encoder."""
PIXELS = 128
"""Side of the frames that the policy's own network sees, in pixels."""


@dataclass
class EncoderConfig:
    """Which features a policy is trained on."""

    name: str = "toto_tiny"
    """An encoder's name (toto_tiny, toto_tiny_random, dvae_codes, mean_pixels, vit_small_random), a folder made by
    `pretrain`, vit:FILE for MVP's and MAE's checkpoints, timm:MODEL:FILE for DINO, DINOv2, CLIP and others
    (toto_robot/features/vision.py), `resnet` for a network that the policy trains end to end, `none` for proprioception
    only, or `privileged` for the true state."""
    layer: int | None = None
    """Which block's output is used, counted from 1. null is the encoder's own default. Blocks above it don't run."""
    pooling: str = "grid"
    """mean: the average token. attention: a learned query over the 4×4 grid of averages (paper Sec. 3.5).
    grid: the 4×4 grid, flattened. cls: a vision transformer's class token, as MVP reads it."""
    dtype: str = "auto"
    """The transformer's arithmetic: float32, bfloat16, or auto: bfloat16 where the processor has instructions for it.
    A policy's folder records the one that was used."""
    crop: str = "none"
    """Which part of a frame is used. none: frames already have the encoder's size. centre: the square in the middle,
    resized. lower: MVP's, a square of 14/15 of the height (448 of 480) at the bottom, resized."""
    train: str = "none"
    """Which of Toto's blocks learn with the policy. none: Toto stays frozen. last_K: the last K blocks up to `layer`.
    all: every block up to `layer`, and the embedding."""
    train_lr: float = 0.1
    """Learning rate of these blocks, as a share of the head's."""

    def __post_init__(self) -> None:
        if self.pooling not in POLICY_POOLINGS:
            raise unknown("encoder.pooling", self.pooling, POLICY_POOLINGS)
        if self.dtype not in ("auto", *DTYPES):
            raise unknown("encoder.dtype", self.dtype, ("auto", *DTYPES))
        if self.crop not in CROPS:
            raise unknown("encoder.crop", self.crop, CROPS)
        if self.train != "none":
            learned_blocks(self.train)
            if self.name in NOT_FROZEN:
                raise UserError(
                    f"encoder.train={self.train}: encoder={self.name} has no blocks to train. Leave it out."
                )
        if not 0 < self.train_lr <= 100:
            raise UserError(f"encoder.train_lr={self.train_lr}: expected a share above 0 of the head's learning rate.")
        if self.layer is not None and self.layer < 1:
            raise UserError(f"encoder.layer={self.layer}: layers count from 1; leave it out for the default.")

    @property
    def needs(self) -> str | None:
        """The observation key that the features are computed from: rgb, privileged or None."""
        return {"none": None, "privileged": "privileged"}.get(self.name, "rgb")


class Features(Protocol):
    """Turns an observation dict into features. The numbers are the same in training and in acting."""

    config: EncoderConfig
    shape: tuple[int, ...]
    """One sample's feature shape: (D,), (16, D), or (0,) for proprioception only."""
    fingerprint: str
    """Identifies the weights and settings behind the numbers."""
    needs: str | None
    """The observation key that it reads: "rgb", "privileged", or None."""
    dtype: torch.dtype
    """The type in which a data set stores features."""
    learned: bool = False
    """Whether the policy trains the network that reads them, so that they are not features of a frozen encoder."""

    def __call__(self, obs: dict[str, np.ndarray]) -> Tensor:
        """Features of N observations: (N, *shape) in `dtype`."""
        ...

    def close(self) -> None:
        """Free what the features hold. They can't be used afterwards."""
        ...


class EncoderFeatures:
    """Features of `obs["rgb"]` from a frozen encoder (DESIGN decision 14), rounded to float16 as they are stored."""

    needs: str | None = "rgb"
    dtype = torch.float16
    learned = False

    def __init__(self, config: EncoderConfig, encoder: FrozenEncoder):
        self.config, self.encoder = config, encoder
        self.shape = tuple(encoder.feature_shape)
        self.fingerprint = str(encoder.fingerprint)

    def close(self) -> None:
        """End the encoder's processes, if it has any."""
        self.encoder.close()

    def seen(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 (N, H, W, 3), cropped to the encoder's size."""
        size = self.encoder.image_size
        frames = cropped(frames, self.config.crop, size)
        check_frames(frames, size=size, what=f"encoder={self.config.name}")
        return frames

    @torch.inference_mode()
    def codes(self, seen: np.ndarray) -> Tensor | None:
        """The tokenizer's codes (N, S) of frames that `seen` returned. None if the encoder has no discrete
        tokenizer."""
        codes = self.encoder.codes(torch.from_numpy(np.ascontiguousarray(seen)))
        continuous = codes is not None and codes.dtype == torch.uint8  # patches of pixels, not codes
        return None if continuous else codes

    @torch.inference_mode()
    def __call__(self, obs: dict[str, np.ndarray]) -> Tensor:
        return _stored(self.encoder(torch.from_numpy(np.ascontiguousarray(self.seen(obs["rgb"])))))

    @torch.inference_mode()
    def tokens(self, obs: dict[str, np.ndarray]) -> Tensor:
        """The tokens (N, S) of N observations, or patches (N, S, values): what the clips of a history are made of."""
        tokens = self.encoder.tokens(torch.from_numpy(np.ascontiguousarray(self.seen(obs["rgb"])))).cpu()
        return tokens if tokens.dtype == torch.uint8 else tokens.int()

    def clip_shape(self, frames: int) -> tuple[int, ...]:
        """The shape of one sample of `of_clips`, for clips of `frames` frames."""
        return self.shape

    @torch.inference_mode()
    def of_clips(self, clips: Tensor) -> Tensor:
        """Features (N, *shape) of the newest frame of N clips of F frames' `tokens`, (N, F, S) or (N, F, S,
        values)."""
        return _stored(self.encoder.newest(clips))


class TokenFeatures(EncoderFeatures):
    """Codes int32 (N, S) of frames. A policy that trains Toto's blocks stores and reads them in the place of
    features."""

    dtype, learned = torch.int32, True

    def __init__(
        self, config: EncoderConfig, encoder: FrozenEncoder, trained: TrainedConfig, weights: dict[str, Tensor]
    ):
        """`trained` and `weights`: the blocks before training (`trained_part`)."""
        super().__init__(config, encoder)
        self.trained, self.weights = trained, weights
        self.shape = (trained.tokens,)
        self.fingerprint = f"{encoder.fingerprint}-tokens"

    def __call__(self, obs: dict[str, np.ndarray]) -> Tensor:
        return self.tokens(obs)

    def clip_shape(self, frames: int) -> tuple[int, ...]:
        return (frames, *self.shape)

    def of_clips(self, clips: Tensor) -> Tensor:
        """The clips themselves, (N, F, S)."""
        return clips


def _stored(features: Tensor) -> Tensor:
    """Features in the precision that data sets store."""
    return features.float().clamp_(-LARGEST_HALF, LARGEST_HALF).to("cpu", torch.float16)


class PixelFeatures:
    """The frames themselves. The policy's head contains the network that reads them, and trains it."""

    needs: str | None = "rgb"
    dtype, learned = torch.uint8, True
    shape: tuple[int, ...] = (PIXELS, PIXELS, 3)
    fingerprint = f"pixels-{PIXELS}"

    def __init__(self, config: EncoderConfig):
        self.config = config

    def seen(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 (N, H, W, 3), cropped to the network's size."""
        return cropped(frames, self.config.crop, PIXELS)

    def codes(self, seen: np.ndarray) -> None:
        """None: there is no tokenizer."""

    def __call__(self, obs: dict[str, np.ndarray]) -> Tensor:
        frames = self.seen(obs["rgb"])
        check_frames(frames, size=PIXELS, what=f"encoder={self.config.name}")
        return torch.from_numpy(np.ascontiguousarray(frames))

    def close(self) -> None:
        pass


class PrivilegedFeatures:
    """The simulator's true state: the ceiling of what a student of this size can learn."""

    needs: str | None = "privileged"
    dtype, learned = torch.float32, False

    def __init__(self, config: EncoderConfig, dim: int):
        self.config, self.fingerprint = config, f"privileged-{dim}"
        self.shape: tuple[int, ...] = (dim,)

    def __call__(self, obs: dict[str, np.ndarray]) -> Tensor:
        return torch.from_numpy(np.array(obs["privileged"], np.float32))

    def close(self) -> None:
        pass


class NoFeatures:
    """No features: the policy reads proprioception only."""

    needs: str | None = None
    dtype, learned = torch.float16, False
    shape: tuple[int, ...] = (0,)
    fingerprint = "none"

    def __init__(self, config: EncoderConfig):
        self.config = config

    def __call__(self, obs: dict[str, np.ndarray]) -> Tensor:
        return torch.zeros(len(obs["proprio"]), 0, dtype=torch.float16)

    def close(self) -> None:
        pass


def cropped(frames: np.ndarray, crop: str, size: int | None) -> np.ndarray:
    """Frames uint8 (B, H, W, 3) cut as `crop` says, (B, size, size, 3). `none` changes nothing."""
    if crop == "none" or size is None:
        return frames
    cut = lower_square if crop == "lower" else np.asarray
    return np.stack([resize_center_crop(cut(frame), size) for frame in np.asarray(frames)])


def make_features(
    config: EncoderConfig,
    *,
    privileged_dim: int = 0,
    device: str = "cpu",
    encoder: FrozenEncoder | None = None,
    processes: int = 1,
) -> Features:
    """The features that `config` names. `encoder` replaces the one that would be loaded.

    On a CPU, `processes` above 1 encode in parallel. Call `close` on the features to end them.

    Raises UserError if the name, the layer or the pooling does not exist.
    """
    if config.name == "none":
        return NoFeatures(config)
    if config.name == "resnet":
        return PixelFeatures(config)
    if config.name == "privileged":
        if not privileged_dim:
            raise UserError("encoder=privileged: this environment has no privileged state. Choose another encoder.")
        return PrivilegedFeatures(config, privileged_dim)
    if encoder is None:
        from toto_robot import load_encoder

        config = replace(config, dtype=choose_dtype(config.dtype, device))
        # Blocks that learn begin with the exact weights, whatever the arithmetic is.
        dtype = config.dtype if config.train == "none" else "float32"
        options = dict(
            name_or_folder=config.name, layer=config.layer, pooling=config.pooling, dtype=dtype, device=device
        )
        encoder = loaded = load_encoder(**options)
        if device == "cpu" and processes > 1:
            encoder = ParallelEncoder(loaded, options, processes)
    else:
        loaded = encoder
    if config.train != "none":
        return TokenFeatures(config, encoder, *trained_part(loaded, config.train, config.dtype))
    return EncoderFeatures(config, encoder)

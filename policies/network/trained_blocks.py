"""Toto's blocks as a part of the policy that learns: tokens in, pooled features out (full or partial fine-tuning).

On the arrow: frames → tokens (`policies.features.features`) → here → statistics → the head. The blocks begin as copies
of the frozen encoder's. They are saved with the policy.

Shapes: B batch, F frames, S tokens a frame, D width.
"""

import contextlib
import re
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from toto_robot.features.encoder import Encoder, ids_of
from toto_robot.features.pooling import feature_shape, pool
from toto_robot.ground.errors import UserError, expected
from toto_robot.ground.precision import torch_dtype
from toto_robot.models.presets import build, read_config
from toto_robot.models.toto import Toto

AT_ONCE = 32
"""Samples whose gradient is computed at once. More of them only take more memory."""


@dataclass(frozen=True)
class TrainedConfig:
    """Which transformer a policy contains, and which of its blocks learn."""

    model: dict
    """The transformer's configuration, with as many blocks as run (`toto_robot.models.presets.read_config`)."""
    normed: bool
    """Whether the final norm follows the last block: the features are the encoder's last layer."""
    blocks: int | None
    """How many of the last blocks learn. None: all, and the embedding."""
    pooling: str
    """mean, attention or grid (`toto_robot.features.pooling`)."""
    grid: int
    """Tokens on the side of a frame. S is its square."""
    dtype: str
    """The arithmetic of the blocks: float32 or bfloat16. The weights are float32."""

    def __post_init__(self) -> None:
        torch_dtype(self.dtype)
        layers = read_config(self.model).layers
        if self.blocks is not None and not 1 <= self.blocks <= layers:
            raise expected("encoder.train", f"none, all, or last_1 to last_{layers}", f"last_{self.blocks}")

    @property
    def tokens(self) -> int:
        """S, the tokens of a frame."""
        return self.grid * self.grid


def learned_blocks(train: str) -> int | None:
    """The number in `encoder.train`: K of last_K, or None for all. Raises UserError for anything else."""
    if train == "all":
        return None
    found = re.fullmatch(r"last_([1-9]\d{0,2})", train)
    if found is None:
        raise expected("encoder.train", "none, all, or last_K for the last K blocks", train)
    return int(found[1])


def trained_part(encoder: object, train: str, dtype: str) -> tuple[TrainedConfig, dict[str, Tensor]]:
    """The part of a frozen encoder that gives its features: the configuration, and the weights that it begins with.

    Raises UserError unless the encoder is a Toto that reads ids.
    """
    toto = encoder.toto if isinstance(encoder, Encoder) else None
    if not isinstance(encoder, Encoder) or not isinstance(toto, Toto) or toto.config.patches:
        raise UserError(
            f"encoder.train={train}: the policy can only train the blocks of a Toto that reads codes. Choose such an "
            "encoder, or leave encoder.train out."
        )
    model = replace(toto.config, layers=encoder.layer, tied=True)
    normed = encoder.layer == encoder.num_layers
    config = TrainedConfig(model.to_dict(), normed, learned_blocks(train), encoder.pooling, encoder.grid, dtype)
    with torch.device("meta"):
        wanted = TrainedBlocks(config).toto.state_dict().keys()
    return config, {name: value.float() for name, value in toto.state_dict().items() if name in wanted}


class TrainedBlocks(nn.Module):
    """Tokens int (B, S), clips of them (B, F, S), or several frames side by side (B, F·S) → pooled features.

    A clip gives the features of its newest frame, after `[video start]` and the earlier frames. Frames side by side are
    encoded alone, each after `[image start]`. This is what the frozen encoder computes from the same frames.
    """

    def __init__(self, config: TrainedConfig):
        super().__init__()
        self.config = config
        self.toto = cast(Toto, build(config.model))
        if not config.normed:
            self.toto.norm = nn.Identity()  # it would never get a gradient
        blocks = list(self.toto.blocks)
        learning = blocks if config.blocks is None else blocks[-config.blocks :]
        # Only the chosen parts learn. The norm after the last block learns with it.
        self.toto.requires_grad_(config.blocks is None)
        for part in (*learning, self.toto.norm):
            part.requires_grad_(True)

    def shape(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the features of tokens with the shape (S,), (F·S,) or (F, S)."""
        one = feature_shape(self.config.pooling, self.toto.config.width, self.config.grid)
        frames = tokens[0] // self.config.tokens if len(tokens) == 1 else 1
        return (frames * one[0], *one[1:])

    def forward(self, tokens: Tensor) -> Tensor:
        """Features float32 (B, *shape)."""
        many, newest = len(tokens), self.config.tokens
        ids = ids_of(tokens if tokens.ndim == 3 else tokens.reshape(-1, newest))
        with self._arithmetic(ids.device):
            states = self.toto.hidden_states(ids, self.toto.config.layers)[:, -newest:]
        return pool(states, self.config.pooling, self.config.grid).float().reshape(many, *self.shape(tokens.shape[1:]))

    def _arithmetic(self, device: torch.device) -> contextlib.AbstractContextManager:
        """Products in `config.dtype`."""
        if self.config.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch_dtype(self.config.dtype))

"""The parts that Toto, GPT-2 and Mamba share: reading ids, stopping at a layer, the loss, generation.

Shapes: B batch, T sequence, D width, V vocabulary.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from toto_robot.ground.errors import UserError, expected
from toto_robot.models.mup import init_scale, width_ratio


class CausalModel(nn.Module):
    """From ids to logits, or to the hidden state of any layer.

    A model provides `config`, `embed`, `blocks`, `norm`, `head` (None: the embedding matrix), `begin` and `new_cache`.
    A block is called with x (B, T, D), with the other values that `begin` returned, and with the cache. Parameters
    whose names end in one of `residual_writes` write to the residual stream.
    """

    residual_writes: tuple[str, ...]
    recompute = False

    def begin(self, ids_BT: Tensor, position: int) -> tuple[Tensor, tuple]:
        """x (B, T, D) before the first block, and the other inputs of every block. The ids start at `position`."""
        return self.embed(ids_BT), ()

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights. The same generator state gives the same weights."""
        std, residual_std = self.config.init_std, self.config.init_std / math.sqrt(2 * self.config.layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                nn.init.constant_(parameter, 1.0 if name.endswith("norm.weight") else 0.0)
            else:
                chosen = residual_std if name.endswith(self.residual_writes) else std
                scale = init_scale(self.config, name, parameter)
                nn.init.normal_(parameter, std=chosen * scale, generator=generator)

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def checkpoint_blocks(self, on: bool = True) -> None:
        """Keep only the input of each block for the backward pass, and run the block again there.

        The gradients are the same bit for bit. It takes about a third more compute, and the memory of one block's
        activations instead of all.
        """
        self.recompute = on

    def forward(self, ids_BT: Tensor, cache=None) -> Tensor:
        """Logits (B, T, V) for the token after each position. A cache is read and extended."""
        return self.logits(self._run(ids_BT, self.config.layers, cache))

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Final norm and output head, applied to the output of the last block."""
        x_BTD, ratio = self.norm(x_BTD), width_ratio(self.config)
        if ratio != 1:
            x_BTD = x_BTD / ratio
        return F.linear(x_BTD, self.embed.weight if self.head is None else self.head.weight)

    def hidden_states(self, ids_BT: Tensor, layer: int) -> Tensor:
        """The residual stream (B, T, D) after block `layer` (1 … layers). The blocks above are not run.

        As in Hugging Face's `LlamaModel(output_hidden_states=True).hidden_states[layer]`, a middle layer is not
        normalised, and the last layer includes the final norm.
        """
        if not 1 <= layer <= self.config.layers:
            raise expected("layer", f"a layer from 1 to {self.config.layers}", layer)
        x_BTD = self._run(ids_BT, layer)
        return self.norm(x_BTD) if layer == self.config.layers else x_BTD

    def every_hidden_state(self, ids_BT: Tensor) -> Iterator[Tensor]:
        """`hidden_states` of layer 1, 2, … in turn, from a single pass."""
        x_BTD, shared = self.begin(ids_BT, 0)
        for i, block in enumerate(self.blocks, start=1):
            x_BTD = block(x_BTD, *shared)
            yield self.norm(x_BTD) if i == self.config.layers else x_BTD

    def loss(self, ids_BT: Tensor, ignore: int = 0, reduction: str = "mean") -> Tensor:
        """Cross-entropy (nats a token) of each next token. Targets equal to `ignore` (the pad id) don't count.

        For patches float (B, T, V), see `patch_loss`.
        """
        logits = self(ids_BT[:, :-1])
        if ids_BT.ndim == 3:
            return patch_loss(logits, ids_BT[:, 1:], reduction)
        return F.cross_entropy(
            logits.flatten(0, 1).float(), ids_BT[:, 1:].flatten(), ignore_index=ignore, reduction=reduction
        )

    def _run(self, ids_BT: Tensor, layers: int, cache=None) -> Tensor:
        """Run the first `layers` blocks on the embedded ids."""
        x_BTD, shared = self.begin(ids_BT, cache.length if cache is not None else 0)
        again = self.recompute and cache is None and torch.is_grad_enabled()
        for block in self.blocks[:layers]:
            if again:
                x_BTD = checkpoint(block, x_BTD, *shared, use_reentrant=False, preserve_rng_state=False)
            else:
                x_BTD = block(x_BTD, *shared, cache)
        if cache is not None:
            cache.length += ids_BT.shape[1]
        return x_BTD

    @torch.inference_mode()
    def generate(
        self,
        ids_BT: Tensor,
        steps: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        lowest: int = 0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Append `steps` tokens to ids (B, T) → (B, T + steps). Temperature 0 takes the most likely token each time.

        Ids below `lowest` are never drawn. 4 leaves the special tokens out.
        """
        B, T = ids_BT.shape[:2]
        cache = self.new_cache(B, T + steps)
        out, new = [ids_BT], ids_BT
        for _ in range(steps):
            x_BTD = self._run(new, self.config.layers, cache)
            logits_BV = self.logits(x_BTD[:, -1])
            logits_BV[:, :lowest] = -torch.inf
            new = sample(logits_BV, temperature, top_k, top_p, generator)[:, None]
            out.append(new)
        return torch.cat(out, dim=1)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · weight. The mean is computed in float32."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def patch_loss(predicted_BTV: Tensor, patches_BTV: Tensor, reduction: str = "mean") -> Tensor:
    """Mean squared error of each predicted patch against the true one, normalised.

    Patches of zeros (padding, the start of a row) don't count. `reduction` is mean, sum, or none; none gives (B · T,),
    with 0 for a patch that doesn't count.
    """
    squares = (predicted_BTV.float() - normalise_patches(patches_BTV)).square().mean(dim=-1)
    counts = (patches_BTV != 0).any(dim=-1)
    squares = squares * counts
    if reduction == "none":
        return squares.flatten()
    return squares.sum() if reduction == "sum" else squares.sum() / counts.sum()


def normalise_patches(patches: Tensor) -> Tensor:
    """Patches (..., V) minus their mean, divided by their standard deviation, in float32: the targets of MAE and
    AIM."""
    patches = patches.float()
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) * (variance + 1e-6).rsqrt()


def sample(
    logits_BV: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw ids (B,) from logits (B, V).

    `top_k` keeps the k most likely tokens. `top_p` keeps the fewest most likely ones whose probabilities add up to p.
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise UserError(
            "Expected temperature ≥ 0, top_k ≥ 1 and 0 < top_p ≤ 1, got "
            f"temperature={temperature}, top_k={top_k}, top_p={top_p}."
        )
    if temperature == 0:
        return logits_BV.argmax(dim=-1)
    ordered, order = (logits_BV.float() / temperature).sort(dim=-1, descending=True)
    probability = ordered.softmax(dim=-1)
    if top_k is not None:
        probability[:, top_k:] = 0
    if top_p is not None:
        reached_before = probability.cumsum(dim=-1) - probability
        probability[reached_before >= top_p * probability.sum(dim=-1, keepdim=True)] = 0
    return order.gather(1, torch.multinomial(probability, 1, generator=generator)).squeeze(1)


def check_fields(model: str, config, whole: tuple[str, ...], positive: tuple[str, ...]) -> None:
    """Raise UserError unless the fields `whole` are whole numbers ≥ 1 and the fields `positive` numbers above 0."""
    for name in whole:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise expected(f"{model}'s {name}", "a whole number ≥ 1", repr(value))
    for name in positive:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise expected(f"{model}'s {name}", "a number above 0", repr(value))


def check_heads(model: str, config) -> None:
    """Raise UserError unless the width divides into heads of even width."""
    if config.width % config.heads or (config.width // config.heads) % 2:
        got = f"{config.width} for {config.heads} heads"
        raise expected(f"{model}'s width", "a number that divides into heads of even width", got)

"""The number of floating-point operations for a sequence. Every printed share of a machine's rate uses this count."""

import copy

import torch
from torch import nn

from toto_robot.models.gpt2 import GPT2Config
from toto_robot.models.mamba import MambaConfig
from toto_robot.models.presets import ModelConfig


def forward_flops(
    config: ModelConfig, tokens: int, *, layer: int | None = None, head: bool = False, causal: bool = True
) -> int:
    """Multiply-adds × 2 of one forward pass over a sequence of `tokens`, up to block `layer` (default: all).

    It counts the products with weights, and the operations between positions (`mixing_flops`). It does not count norms,
    biases, rotations, gates, softmax, and the look-up of embeddings. `head` adds the output head.
    """
    layers = config.layers if layer is None else layer
    block = 2 * tokens * block_weights(config) + mixing_flops(config, tokens, causal)
    ends = 2 * tokens * config.width * config.vocab_size
    return layers * block + ends * (head + getattr(config, "patches", False))


def training_flops_per_token(config: ModelConfig, tokens: int, *, causal: bool) -> float:
    """Three forward passes: the usual 6·N + 12·layers·D·T for `causal=False`, with N without the embeddings.

    This convention (PaLM's) counts the full square of attention scores. `causal=True` counts the half that is used,
    which a fused kernel computes. A Mamba has no attention, so both are the same.
    """
    return 3 * forward_flops(config, tokens, head=True, causal=causal) / tokens


def block_weights(config: ModelConfig) -> int:
    """Number of weights of one block that multiply each token."""
    if isinstance(config, MambaConfig):
        E, N, R = config.inner, config.state, config.rank
        return E * (3 * config.width + config.conv + 2 * R + 2 * N)
    return 4 * config.width**2 + (2 if isinstance(config, GPT2Config) else 3) * config.width * config.intermediate


def mixing_flops(config: ModelConfig, tokens: int, causal: bool = True) -> int:
    """Operations of one block between positions.

    Attention: the query-key and the weight-value products, for the causal half T·(T+1)/2 or for all T². Mamba, for each
    of the E·N states at each position: Δ·A, Δx·B, product and sum of the recurrence, product and sum of h·C.
    """
    if isinstance(config, MambaConfig):
        return 6 * tokens * config.inner * config.state
    pairs = tokens * (tokens + 1) // 2 if causal else tokens**2
    return 2 * 2 * pairs * config.width


def tokenizer_flops(dvae: nn.Module, image_size: int) -> int:
    """Multiply-adds × 2 of the convolutions that turn one square frame into codes."""
    total = 0

    def count(layer, given, out):
        nonlocal total
        total += 2 * out.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]

    encoder = copy.deepcopy(dvae.encoder).to("meta")
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    encoder(torch.empty(1, 3, image_size, image_size, device="meta"))
    return total

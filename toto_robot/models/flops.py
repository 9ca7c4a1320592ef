"""How many floating-point operations a frame needs: the one count behind every printed share of a machine's rate."""

import copy

import torch
from torch import nn

from toto_robot.models.toto import TotoConfig


def toto_flops(config: TotoConfig, tokens: int, *, layer: int | None = None, head: bool = False) -> int:
    """Multiply-adds × 2 of one forward pass over a sequence of `tokens`, up to block `layer` (default: all).

    Counts the matrix products: the weights, and the query-key and weight-value products of causal attention at
    their causal half, T·(T+1)/2 pairs. Norms, rotations, softmax and the embedding look-up are not counted.
    `head` adds the output head. A training step costs three forward passes.
    """
    layers = config.layers if layer is None else layer
    weights = 4 * config.width**2 + 3 * config.width * config.intermediate
    pairs = tokens * (tokens + 1) // 2
    block = 2 * tokens * weights + 2 * 2 * pairs * config.width
    return layers * block + (2 * tokens * config.width * config.vocab_size if head else 0)


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

"""How many floating-point operations Toto needs: the one count behind every printed share of a machine's rate."""

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

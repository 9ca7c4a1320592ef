"""muP (Yang et al., Tensor Programs V): a learning rate that is best at one width is best at all widths (Sec. 4.8).

For AdamW, with m = width / mup_base_width (if it is None, m is 1 and nothing changes):

| parameter                                   | initial std | learning rate | weight decay |
|---------------------------------------------|-------------|---------------|--------------|
| matrix-like: both sides grow with the width | ÷ √m        | ÷ m           | × m          |
| vector-like: embeddings, head, norms, biases| as it is    | as it is      | as it is     |

AdamW multiplies learning rate and decay, so the decay of a step is the same at every width. The input of the head is
divided by m. Attention scores are q·k · √K₀ / K instead of q·k / √K, where K₀ is the head width at the base width. The
number of heads and intermediate / width are assumed to be the same at every width. muP does not scale with depth. Roles
follow from the names of the parameters, so they survive copying, sharding and saving a model.
"""

from torch import Tensor, nn

VECTOR_LIKE = {"embed", "positions", "head"}
"""Modules whose matrices have one side that doesn't grow with the width: the vocabulary, the positions."""
UNDECAYED = ("A_log",)
"""Parameters with two dimensions that aren't weights of a product. They have no weight decay."""


def width_ratio(config) -> float:
    """m: the width in units of the base width."""
    base = getattr(config, "mup_base_width", None)
    return config.width / base if base else 1.0


def is_matrix_like(name: str, parameter: Tensor) -> bool:
    """Whether both sides of the parameter `name` grow with the width."""
    return parameter.ndim == 2 and not VECTOR_LIKE & set(name.split("."))


def init_scale(config, name: str, parameter: Tensor) -> float:
    """Factor of the initial standard deviation of the parameter."""
    return width_ratio(config) ** -0.5 if is_matrix_like(name, parameter) else 1.0


def attention_scale(config) -> float | None:
    """Factor of the attention scores. None for the usual 1/√K."""
    ratio = width_ratio(config)
    return None if ratio == 1 else (ratio * config.head_width) ** -0.5  # √K₀ / K with K = m·K₀


def parameter_groups(model: nn.Module, lr: float, weight_decay: float) -> list[dict]:
    """Parameter groups for AdamW. Matrices have weight decay, vectors have none. Matrix-like parameters have their own
    rates.

    Each group has an `lr_scale`, by which a schedule multiplies its rate.
    """
    ratio = width_ratio(model.config)
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        m = ratio if is_matrix_like(name, parameter) else 1.0
        decay = weight_decay if parameter.ndim >= 2 and not name.endswith(UNDECAYED) else 0.0
        groups.setdefault((m, decay * m), []).append(parameter)
    return [
        {"params": parameters, "lr": lr / m, "lr_scale": 1 / m, "weight_decay": decay}
        for (m, decay), parameters in groups.items()
    ]

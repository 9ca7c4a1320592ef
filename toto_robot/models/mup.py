"""muP (Yang et al., Tensor Programs V), built in: a learning rate that is best at one width is best at all (Sec. 4.8).

With m = width / mup_base_width (m = 1 where it is None, and then nothing changes), for AdamW:

| parameter                                   | initial std | learning rate | weight decay |
|---------------------------------------------|-------------|---------------|--------------|
| matrix-like: both sides grow with the width | ÷ √m        | ÷ m           | × m          |
| vector-like: embeddings, head, norms, biases| as it is    | as it is      | as it is     |

AdamW multiplies learning rate and decay, so the decay of a step is the same at every width. The head's input is
divided by m, and attention scores are q·k · √K₀ / K instead of q·k / √K, where K₀ is the head width at the base
width: the number of heads and intermediate / width are taken to be the same at every width. Depth is not part of it.
Roles come from parameter names, so nothing is lost by copying, sharding or saving a model.
"""

from torch import Tensor, nn

VECTOR_LIKE = {"embed", "positions", "head"}
"""Modules whose matrices have one side that doesn't grow: the vocabulary, the positions."""
UNDECAYED = ("A_log",)
"""Parameters that aren't weights of a product, and so aren't decayed though they have two dimensions."""


def width_ratio(config) -> float:
    """m: how many times wider than the width whose settings it is to share."""
    base = getattr(config, "mup_base_width", None)
    return config.width / base if base else 1.0


def is_matrix_like(name: str, parameter: Tensor) -> bool:
    """Whether both sides of the parameter called `name` grow with the width."""
    return parameter.ndim == 2 and not VECTOR_LIKE & set(name.split("."))


def init_scale(config, name: str, parameter: Tensor) -> float:
    """What the parameter's initial standard deviation is multiplied by."""
    return width_ratio(config) ** -0.5 if is_matrix_like(name, parameter) else 1.0


def attention_scale(config) -> float | None:
    """What attention scores are multiplied by; None for the usual 1/√K."""
    ratio = width_ratio(config)
    return None if ratio == 1 else (ratio * config.head_width) ** -0.5  # √K₀ / K with K = m·K₀


def parameter_groups(model: nn.Module, lr: float, weight_decay: float) -> list[dict]:
    """AdamW's groups: matrices are decayed, vectors are not, and matrix-like parameters have their own rates.

    Each group has an `lr_scale`, for a schedule to multiply its rate by.
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

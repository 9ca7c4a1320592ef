"""The named sizes of Toto.

base, large and 1b have the paper's widths, heads and depths (Table 1). It doesn't give the MLP's width; these are
the ones that match its parameter counts (120M, 280M, 1.1B): 4·D for base and large, 5632 for 1b. tiny is ours, small
enough to train and to run on two CPU cores.
"""

from toto_robot.errors import UserError
from toto_robot.models.toto import TotoConfig

PRESETS = {
    "tiny": {"width": 192, "heads": 3, "layers": 6, "intermediate": 512},
    "base": {"width": 768, "heads": 12, "layers": 12, "intermediate": 3072},
    "large": {"width": 1024, "heads": 16, "layers": 16, "intermediate": 4096},
    "1b": {"width": 2048, "heads": 16, "layers": 22, "intermediate": 5632},
}


def preset(name: str, vocab_size: int, **changes) -> TotoConfig:
    """The configuration called `name` for a vocabulary (codes + 4 special tokens), with any field replaced."""
    if name not in PRESETS:
        raise UserError(f"there is no Toto size {name!r}; the sizes are {', '.join(PRESETS)}")
    return TotoConfig(vocab_size=vocab_size, **{**PRESETS[name], **changes})

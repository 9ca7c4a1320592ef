"""The architectures, and their named sizes.

Toto's base, large and 1b have the paper's widths, heads and depths (Table 1). The paper doesn't give the width of the
MLP. Ours match its parameter counts if the V·D matrix is counted once (tied): 119.6M, 276.9M and 1,147M, which it
rounds to 120M, 280M and 1.1B. (The compute of its Table 4 is also 276.9M times the images of 400 epochs.) tiny is ours.
It is small enough to train and run on two CPU cores.

a1 to a6 are the sizes of the scaling law (Sec. 4.8, tuned with muP at the width of a1). The paper's table isn't public.
Its text says that width and depth grow linearly with the same number of heads. We chose the steps that fit the compute
of the first point of each of its curves: 2.6e13, 1.1e14, 2.8e14, 5.8e14 and, for a6, 2.3e15 MACs, which are 4.2, 10.8,
22 and 88 times a1's. With the 16,384 codes of the VQGAN ours are 4.0, 11, 24 and 76 times a1's.

GPT-2 and Mamba have Toto's widths and heads. Their number of blocks matches Toto's parameter count within 2 %, for any
vocabulary, because the V·D matrices are equal. GPT-2 is compared with fixed positions, as in the paper. tiny Mamba has
half the usual state, because ten usual blocks are too few and eleven are too many.
"""

from dataclasses import fields
from typing import Any

from toto_robot.ground import strict
from toto_robot.ground.errors import unknown
from toto_robot.models.causal import CausalModel
from toto_robot.models.gpt2 import GPT2, GPT2Config
from toto_robot.models.mamba import Mamba, MambaConfig
from toto_robot.models.toto import Toto, TotoConfig

ARCHITECTURES: dict[str, tuple[type, type[CausalModel]]] = {
    "toto": (TotoConfig, Toto),
    "gpt2": (GPT2Config, GPT2),
    "mamba": (MambaConfig, Mamba),
}
ModelConfig = TotoConfig | GPT2Config | MambaConfig

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "toto": {
        "tiny": {"width": 192, "heads": 3, "layers": 6, "intermediate": 512},
        "base": {"width": 768, "heads": 12, "layers": 12, "intermediate": 3072},
        "large": {"width": 1024, "heads": 16, "layers": 16, "intermediate": 4096},
        "1b": {"width": 2048, "heads": 16, "layers": 22, "intermediate": 5632},
        **{
            f"a{n}": {"width": 256 * n, "heads": 8, "layers": 2 * n, "intermediate": 1024 * n, "mup_base_width": 256}
            for n in range(1, 7)
        },
    },
    "gpt2": {
        "tiny": {"width": 192, "heads": 3, "layers": 6, "intermediate": 768, "positions": "sincos"},
        "base": {"width": 768, "heads": 12, "layers": 16, "intermediate": 3072, "positions": "sincos"},
        "large": {"width": 1024, "heads": 16, "layers": 21, "intermediate": 4096, "positions": "sincos"},
        "1b": {"width": 2048, "heads": 16, "layers": 22, "intermediate": 8192, "positions": "sincos"},
    },
    "mamba": {
        "tiny": {"width": 192, "layers": 11, "state": 8},
        "base": {"width": 768, "layers": 30},
        "large": {"width": 1024, "layers": 40},
        "1b": {"width": 2048, "layers": 43},
    },
}


def preset(name: str, vocab_size: int, architecture: str = "toto", **changes) -> ModelConfig:
    """The configuration called `name` for a vocabulary (codes + 4 special tokens), with any field replaced."""
    config_class, _ = _known(architecture)
    sizes, known = PRESETS[architecture], [field.name for field in fields(config_class)]
    if name not in sizes:
        raise unknown(f"{architecture} size", name, sizes)
    if wrong := [field for field in changes if field not in known]:
        raise unknown(f"{architecture} setting", wrong[0], known)
    return config_class(vocab_size=vocab_size, **{**sizes[name], **changes})


def read_config(values: dict) -> ModelConfig:
    """The configuration of the plain values that `to_dict` gave. Without an architecture it is Toto's."""
    values = dict(values)
    return strict.build(_known(values.pop("architecture", "toto"))[0], values, "the network's description")


def build(config: dict | ModelConfig) -> CausalModel:
    """A new model of the configuration's architecture."""
    config = read_config(config) if isinstance(config, dict) else config
    return next(model for config_class, model in ARCHITECTURES.values() if isinstance(config, config_class))(config)


def _known(architecture: str) -> tuple[type, type[CausalModel]]:
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise unknown("architecture", architecture, ARCHITECTURES)
    return ARCHITECTURES[architecture]

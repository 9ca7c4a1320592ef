"""OpenAI's published dVAE as our `DVAE`: from encoder.pkl and decoder.pkl, their state dicts, or FLAVA's copy.

There are two layouts with the same weights. github.com/openai/DALL-E has pickled modules or state dicts with names in
`.w` and `.b`. `facebook/flava-image-codebook` (pytorch_model.bin) renames them and holds the encoder only.
"""

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from toto_robot.ground.errors import UserError
from toto_robot.tokens.dvae import DVAE, DVAEConfig
from toto_robot.tokens.foreign.weights import read_weights, reason

HALVES = ("encoder", "decoder")
RENAMED = ((r"\.group\.block_", ".block_"), (r"\.path\.conv_", ".conv_"), (r"\.w$", ".weight"), (r"\.b$", ".bias"))
"""FLAVA's extra levels, then OpenAI's short names, to ours."""


def is_dalle(weights: dict[str, Tensor]) -> bool:
    """Whether these are names of an encoder, a decoder or both."""
    return any(name.removeprefix("encoder.").removeprefix("decoder.").startswith("blocks.input.") for name in weights)


def dalle_from(weights: dict[str, Tensor], file: Path) -> DVAE:
    """The DVAE made of the weights that `file` holds.

    If they are those of an encoder only, the decoder is looked for beside it: the same name with `decoder` in place of
    `encoder`. Without a decoder, the DVAE encodes and refuses to decode.
    """
    halves = _halves(weights)
    if "encoder" not in halves:
        raise UserError(f"{file} holds the decoder only; give the file of the encoder, and leave this one beside it.")
    beside = file.with_name(file.name.replace("encoder", "decoder"))
    if "decoder" not in halves and beside != file and beside.is_file():
        halves |= {"decoder": _halves(read_weights(beside)).get("decoder", {})}
    try:
        config = _config(**halves)
        state = {f"{half}.{name}": tensor for half, part in halves.items() for name, tensor in part.items()}
        return DVAE.of(config, state)
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{file} looks like DALL·E's dVAE but is not ({reason(error)}). Download it again.") from error


def _halves(weights: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """encoder, decoder or both → weights under our names. A single half is an encoder if its input has 3 channels."""
    named = {}
    for name, tensor in weights.items():
        for pattern, ours in RENAMED:
            name = re.sub(pattern, ours, name)
        named[name] = tensor
    halves = {
        half: {name.removeprefix(f"{half}."): t for name, t in named.items() if name.startswith(f"{half}.")}
        for half in HALVES
    }
    if not any(halves.values()):
        entry = named.get("blocks.input.weight")
        halves["encoder" if entry is not None and entry.shape[1:2] == (3,) else "decoder"] = named
    return {half: part for half, part in halves.items() if part}


def _config(encoder: dict[str, Tensor], decoder: dict[str, Tensor] | None = None) -> DVAEConfig:
    """The sizes, read from shapes."""
    blocks = {name.split(".")[2] for name in encoder if name.startswith("blocks.group_1.block_")}
    vocab_size, n_hid = len(encoder["blocks.output.conv.weight"]), len(encoder["blocks.input.weight"])
    config = DVAEConfig(vocab_size, n_hid, decoder_hid=0, n_blk_per_group=len(blocks))
    if decoder is None:
        return config
    hid, init = decoder["blocks.output.conv.weight"].shape[1], len(decoder["blocks.input.weight"])
    return replace(config, decoder_hid=hid, n_init=init)

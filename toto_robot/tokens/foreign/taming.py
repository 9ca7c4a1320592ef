"""The authors' VQGAN files as our `VQGAN`: a Lightning .ckpt (or a bare state dict) and, where there is one, its YAML.

The shapes of the weights give every size, so a checkpoint without a YAML loads too (the downloads of latent-diffusion
have none). A YAML is only checked: its sizes must agree, and a setting that this network doesn't know is refused. Its
`target` strings stay strings.
"""

from dataclasses import fields
from pathlib import Path

from torch import Tensor

from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import MOST_BYTES, read_yaml
from toto_robot.tokens.foreign.weights import reason
from toto_robot.tokens.vqgan import VQGAN, VQGANConfig

FIXED = {
    "double_z": False,
    "in_channels": 3,
    "out_ch": 3,
    "resamp_with_conv": True,
    "give_pre_end": False,
    "tanh_out": False,
    "use_linear_attn": False,
    "attn_type": "vanilla",
}
"""Settings in `ddconfig` that may only have this value."""
PREFIXES = ("encoder.", "decoder.", "quantize.", "quant_conv.", "post_quant_conv.")
"""Weights that the tokenizer needs. `loss.` (LPIPS, the discriminator) and `model_ema.` stay in the file."""


def is_vqgan(weights: dict[str, Tensor]) -> bool:
    """Whether these are names of a VQGAN."""
    return "quant_conv.weight" in weights and "encoder.conv_in.weight" in weights


def vqgan_from(weights: dict[str, Tensor], file: Path) -> VQGAN:
    """The VQGAN of the weights that `file` holds, checked against the YAML beside it (see `find_yaml`)."""
    state = {name: tensor for name, tensor in weights.items() if name.startswith(PREFIXES)}
    try:
        config = config_of_weights(state)
        model = VQGAN.of(config, state)
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{file} looks like a VQGAN but is not ({reason(error)}). Download it again.") from error
    if path := find_yaml(file):
        said = config_of_yaml(path)
        wrong = [
            f"{f.name} {getattr(said, f.name)} (the weights: {getattr(config, f.name)})"
            for f in fields(config)
            if getattr(said, f.name) != getattr(config, f.name)
        ]
        if wrong:
            raise UserError(
                f"{path} describes another model than {file}: {', '.join(wrong)}. Put the right YAML there, or none."
            )
    return model


def config_of_weights(state: dict[str, Tensor]) -> VQGANConfig:
    """The sizes, read from names and shapes. Raises KeyError if something is missing."""

    def length(name: str) -> int:
        return len(state[name])

    def count(pattern: str) -> int:
        return next(i for i in range(len(state) + 1) if pattern.format(i) not in state)

    levels, ch = count("encoder.down.{}.block.0.conv1.weight"), length("encoder.conv_in.weight")
    gumbel = "quantize.proj.weight" in state
    return VQGANConfig(
        vocab_size=length("quantize.embed.weight" if gumbel else "quantize.embedding.weight"),
        embed_dim=length("quant_conv.weight"),
        z_channels=length("encoder.conv_out.weight"),
        ch=ch,
        ch_mult=tuple(length(f"encoder.down.{i}.block.0.conv1.weight") // ch for i in range(levels)),
        num_res_blocks=count("encoder.down.0.block.{}.conv1.weight"),
        attention=tuple(i for i in range(levels) if f"encoder.down.{i}.attn.0.q.weight" in state),
        gumbel=gumbel,
    )


def config_of_yaml(path: Path) -> VQGANConfig:
    """The sizes in the authors' YAML. Raises UserError naming a setting that this network doesn't have."""
    try:
        model = read_yaml(path)["model"]
        params, network = model["params"], model["params"]["ddconfig"]
        sizes = [int(network["resolution"]) // 2**i for i in range(len(network["ch_mult"]))]
        config = VQGANConfig(
            vocab_size=params["n_embed"],
            embed_dim=params["embed_dim"],
            z_channels=network["z_channels"],
            ch=network["ch"],
            ch_mult=network["ch_mult"],
            num_res_blocks=network["num_res_blocks"],
            attention=tuple(i for i, size in enumerate(sizes) if size in network["attn_resolutions"]),
            gumbel=str(model.get("target")).endswith("GumbelVQ"),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{path} does not describe a VQGAN ({reason(error)}). "
            "Expected the authors' YAML with model.params.ddconfig."
        ) from error
    other = [key for key, value in network.items() if value != FIXED.get(key, value)]
    other += ["remap"] if params.get("remap") else []
    if other:
        raise UserError(
            f"{path} sets {', '.join(other)}, and this VQGAN has only the values of the published models: "
            f"{', '.join(f'{k}={v}' for k, v in FIXED.items())}, no remap"
        )
    return config


def find_yaml(file: Path) -> Path | None:
    """The YAML of a checkpoint: the one of the same name, or the first that describes a VQGAN, beside it or in
    ../configs."""
    beside = [file.with_suffix(".yaml"), *sorted(file.parent.glob("*.yaml"))]
    beside += sorted(file.parent.parent.glob("configs/*.yaml"))
    small = (path for path in beside if path.is_file() and path.stat().st_size <= MOST_BYTES)
    return next((path for path in small if "ddconfig" in path.read_text(errors="replace")), None)

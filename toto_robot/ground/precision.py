"""Where a transformer runs, and in which arithmetic where the user leaves the choice to the machine."""

from typing import TYPE_CHECKING

from toto_robot.ground import amx
from toto_robot.ground.errors import UserError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16")


def torch_dtype(name: str) -> "torch.dtype":
    """The dtype of torch that is called `name`, one of `DTYPES`."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def choose_dtype(name: str, device: str) -> str:
    """`name` itself, or for "auto": bfloat16 where `device` multiplies it in hardware, else float32.

    A CPU without such instructions is three times slower in bfloat16 than in float32 (measured on a Cascade Lake
    core: 24 against 79 GFLOP/s). Raises UserError for another name.
    """
    if name == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    if name not in DTYPES:
        raise UserError(f"there is no dtype {name!r}; the dtypes are auto, {', '.join(DTYPES)}")
    return name


def has_bfloat16(device: str) -> bool:
    """Whether `device` multiplies bfloat16 matrices in hardware."""
    if device != "cpu":
        import torch

        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    flags = amx.processor_flags()
    # An Intel core multiplies bfloat16 in AVX-512 no faster than float32 (85 against 160 GFLOP/s, Emerald Rapids): where
    # AMX is claimed, it decides alone.
    return amx.usable(flags) if "amx_tile" in flags else "avx512_bf16" in flags


def usable_device(name: "str | torch.device") -> "torch.device":
    """The device called `name`, or a UserError if it isn't there."""
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"the device {str(name)!r} can't be used here ({str(error).splitlines()[0]}); try device=cpu"
        ) from error

"""The device that a model runs on, and its number format: given by the user, or chosen for the machine."""

from typing import TYPE_CHECKING

from toto_robot.ground import amx
from toto_robot.ground.errors import UserError, unknown

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16")


def torch_dtype(name: str) -> "torch.dtype":
    """Torch's dtype called `name`, one of `DTYPES`."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def choose_dtype(name: str, device: str) -> str:
    """`name` itself. For "auto", bfloat16 if `device` multiplies it in hardware, otherwise float32.

    A CPU without such instructions is three times slower in bfloat16 than in float32 (measured on a Cascade Lake
    core: 24 against 79 GFLOP/s). Raises UserError for another name.
    """
    if name == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    if name not in DTYPES:
        raise unknown("dtype", name, ("auto", *DTYPES))
    return name


def has_bfloat16(device: str) -> bool:
    """Whether `device` multiplies bfloat16 matrices in hardware."""
    if device != "cpu":
        import torch

        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    flags = amx.processor_flags()
    # With AVX-512 an Intel core multiplies bfloat16 no faster than float32 (85 against 160 GFLOP/s, Emerald Rapids).
    # Therefore AMX alone decides where it is claimed.
    return amx.usable(flags) if "amx_tile" in flags else "avx512_bf16" in flags


def usable_device(name: "str | torch.device") -> "torch.device":
    """The device called `name`. Raises UserError if it can't be used here."""
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"The device {str(name)!r} can't be used here ({str(error).splitlines()[0]}). Try device=cpu."
        ) from error

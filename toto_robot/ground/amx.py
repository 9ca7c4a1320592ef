"""Processors that claim AMX but don't describe its tiles: some virtual machines hide that part of CPUID.

oneDNN multiplies bfloat16 matrices for PyTorch. On such a machine it configures no tiles, and the process dies of an
illegal instruction (seen on an Emerald Rapids under Firecracker, torch 2.13: the largest CPUID leaf was 0x1C).
"""

import ctypes
import mmap
import os
from pathlib import Path

TILE_LEAF = 0x1D
_LARGEST_LEAF = bytes.fromhex("5331c031c90fa25bc3")  # push rbx; eax = ecx = 0; cpuid; pop rbx; ret


def usable(flags: set[str] | None = None, leaf: int | None = None) -> bool:
    """Whether matrices can be multiplied with AMX.

    The processor must claim it in its `flags`, and CPUID must describe it: its largest `leaf` must reach that of the
    tiles. By default both are read from this machine.
    """
    flags = processor_flags() if flags is None else flags
    if "amx_tile" not in flags:
        return False
    return (largest_leaf() if leaf is None else leaf) >= TILE_LEAF


def keep_off_if_broken() -> None:
    """Keep oneDNN to AVX-512 where AMX is claimed but not usable. Call it before the first matrix product."""
    if "amx_tile" in processor_flags() and not usable():
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")


def processor_flags() -> set[str]:
    """The first processor's flags. Empty if Linux doesn't list them."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())
    except OSError:
        return set()


def largest_leaf() -> int:
    """The largest basic leaf that CPUID answers. `TILE_LEAF` if it can't be asked (there is no executable memory)."""
    try:
        memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return TILE_LEAF
    memory.write(_LARGEST_LEAF)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return ctypes.CFUNCTYPE(ctypes.c_uint32)(address)()

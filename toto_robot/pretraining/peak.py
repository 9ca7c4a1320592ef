"""The rate that the matrix products of a device can reach. A run's rate is given as a share of it (MFU)."""

import time

import torch

DENSE_BFLOAT16 = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""FLOP/s without sparsity, by a part of the device's name: the vendors' figures. The longest matching part counts."""
MATRIX = 1024


def peak_flops(device: str, dtype: str, threads: int = 1) -> float:
    """FLOP/s of one device in `dtype`.

    For a known GPU in bfloat16 it is the vendor's figure; otherwise it is measured with matrix products, on a CPU with
    `threads` cores.
    """
    if device.startswith("cuda") and dtype == "bfloat16":
        known = known_peak(torch.cuda.get_device_name(device))
        if known:
            return known
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return measured_peak(device, dtype)
    finally:
        torch.set_num_threads(before)


def known_peak(name: str) -> float | None:
    """The figure for a GPU called `name`. None if it isn't listed."""
    parts = [part for part in DENSE_BFLOAT16 if part in name]
    return DENSE_BFLOAT16[max(parts, key=len)] if parts else None


def measured_peak(device: str, dtype: str, budget_s: float = 0.3) -> float:
    """The best FLOP/s of square matrix products within about `budget_s` seconds, with all threads of torch."""
    size = 8 * MATRIX if device.startswith("cuda") else MATRIX
    a, b = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
    best, end = 0.0, time.perf_counter() + budget_s
    while time.perf_counter() < end or not best:
        start = time.perf_counter()
        a @ b
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best

"""Frames a second and milliseconds for one frame of the frozen encoder, tokenizer and transformer apart.

    python -m benchmarks.encoder [threads=2] [seconds=5]

tiny with its own dVAE, and base with the official-size DALL·E dVAE, both with random weights (the time doesn't depend
on them), stopped at the middle layer. Beside each, the share of the rate that the same machine reaches in the same
run in a large matrix product of the same dtype; the tokenizer always runs in float32. bfloat16 is measured where the
processor multiplies it.
"""

import os
import sys
import time

import numpy as np
import torch

from benchmarks import machine
from toto_robot.features.encoder import Encoder
from toto_robot.ground.precision import DTYPES, has_bfloat16
from toto_robot.models.flops import forward_flops, tokenizer_flops
from toto_robot.models.presets import preset
from toto_robot.models.toto import Toto
from toto_robot.tokens.dvae import DVAE
from toto_robot.tokens.dvae import preset as dvae_preset
from toto_robot.tokens.special import vocab_with_special

BATCH = 32
SIZES = {"tiny": "tiny", "base": "dalle"}
"""Each size of Toto, and the dVAE in front of it."""
MATRIX = 2048


def seconds_for(run, budget_s: float) -> float:
    """Shortest time of `run()`, after a warm-up, among the calls (three at least) that fit into `budget_s`."""
    run()
    times, end = [], time.perf_counter() + budget_s
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def matmul_rate(dtype: torch.dtype, budget_s: float) -> float:
    """FLOP/s of a square matrix product."""
    a, b = (torch.randn(MATRIX, MATRIX).to(dtype) for _ in range(2))
    return 2 * MATRIX**3 / seconds_for(lambda: a @ b, budget_s)


def make(size: str, dtype: str) -> Encoder:
    """An encoder of a size with random weights, stopped at its middle layer."""
    dvae = DVAE(dvae_preset(SIZES[size]))
    config = preset(size, vocab_with_special(dvae.vocab_size))
    return Encoder(
        dvae,
        Toto(config),
        layer=config.layers // 2,
        pooling="mean",
        dtype=dtype,
        device="cpu",
        image_size=128,
        identity={},
    )


@torch.inference_mode()
def measure(size: str, seconds: float, rates: dict[str, float]) -> list[dict]:
    """Rows of the table for one size."""
    rows = []
    frames = np.random.default_rng(0).integers(0, 256, (BATCH, 128, 128, 3), dtype=np.uint8)
    for dtype in rates:
        encoder = make(size, dtype)
        codes = encoder.codes(frames[:1]).expand(BATCH, -1).contiguous()
        parts = {}
        if dtype == "float32":
            name, cost = f"tokenizer ({SIZES[size]} dVAE)", tokenizer_flops(encoder.tokenizer, 128)
            parts[name] = (cost, lambda: encoder.codes(frames), lambda: encoder.codes(frames[:1]))
        cost = forward_flops(encoder.toto.config, 1 + codes.shape[1], layer=encoder.layer)
        name = f"Toto, {encoder.layer} of {encoder.num_layers} layers"
        parts[name] = (cost, lambda: encoder.features(codes), lambda: encoder.features(codes[:1]))
        for name, (cost, batch, one) in parts.items():
            batch_s, one_s = seconds_for(batch, seconds), seconds_for(one, seconds / 2)
            rows.append(
                {
                    "size": size,
                    "part": name,
                    "dtype": dtype,
                    "GFLOP a frame": round(cost / 1e9, 2),
                    f"frames/s, batch {BATCH}": round(BATCH / batch_s, 1),
                    "share of matmul rate": f"{BATCH * cost / batch_s / rates[dtype]:.0%}",
                    "ms, one frame": round(1000 * one_s, 2),
                    "share of matmul rate, one frame": f"{cost / one_s / rates[dtype]:.0%}",
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main(threads: int, seconds: float) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    used = DTYPES if has_bfloat16("cpu") else {"float32": torch.float32}
    rates = {name: matmul_rate(dtype, seconds) for name, dtype in used.items()}
    rows = [row for size in SIZES for row in measure(size, seconds, rates)]
    said = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {name}" for name, rate in rates.items())
    notes = f"Best of the calls. A {MATRIX}×{MATRIX} matrix product reaches {said} in the same run."
    facts = {**machine.facts("torch", "numpy"), "threads": threads}
    path = machine.save("encoder", "The frozen encoder", rows, facts, notes)
    print(machine.table(rows), notes, f"written to {path}", sep="\n")


if __name__ == "__main__":
    main(**machine.arguments("encoder", threads=os.cpu_count() or 1, seconds=5.0))

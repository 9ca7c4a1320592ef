"""Frames a second and milliseconds for one frame of the frozen encoder: tokenizer and transformer apart.

    python -m benchmarks.encoder [threads=2] [seconds=5]

`tiny` has its own dVAE, `base` has a dVAE of the size of DALL·E. Both have random weights, because the time does not
depend on them, and stop at the middle layer. The share is of the rate of a large matrix product of the same dtype,
which is measured in turns with the encoder, round by round. The tokenizer always runs in float32. bfloat16 is measured
if the processor multiplies it.
"""

import os
import sys

import numpy as np
import torch

from benchmarks import machine
from benchmarks.alternation import Rounds, alternate, joined, matmul, repeated
from toto_robot.features.encoder import Encoder
from toto_robot.ground.precision import DTYPES, has_bfloat16, torch_dtype
from toto_robot.models.flops import forward_flops, tokenizer_flops
from toto_robot.models.presets import preset
from toto_robot.models.toto import Toto
from toto_robot.tokens.dvae import DVAE
from toto_robot.tokens.dvae import preset as dvae_preset
from toto_robot.tokens.special import vocab_with_special

BATCH = 32
SIZES = {"tiny": "tiny", "base": "dalle"}
"""Each size of Toto, and the dVAE in front of it."""


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
def measure(size: str, seconds: float, dtypes: tuple[str, ...]) -> tuple[list[dict], list[Rounds]]:
    """Rows of the table for one size, and the rounds that they come from."""
    rows, all_rounds = [], []
    frames = np.random.default_rng(0).integers(0, 256, (BATCH, 128, 128, 3), dtype=np.uint8)
    for dtype in dtypes:
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
            things = {"matmul": matmul(torch_dtype(dtype)), "batch": repeated(batch, BATCH), "one frame": repeated(one)}
            rounds = alternate(things, seconds)
            all_rounds.append(rounds)
            rows.append(
                {
                    "size": size,
                    "part": name,
                    "dtype": dtype,
                    "GFLOP a frame": round(cost / 1e9, 2),
                    f"frames/s, batch {BATCH}": round(rounds.rate("batch"), 1),
                    "share of matmul rate": rounds.ratio("batch", "matmul", cost).share(),
                    "ms, one frame": round(1000 * rounds.unit_s("one frame"), 2),
                    "share of matmul rate, one frame": rounds.ratio("one frame", "matmul", cost).share(),
                    "matmul GFLOP/s": round(rounds.rate("matmul") / 1e9),
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows, all_rounds


def main(threads: int, seconds: float) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    used = DTYPES if has_bfloat16("cpu") else ("float32",)
    rows, all_rounds = [], []
    for size in SIZES:
        some, rounds = measure(size, seconds, used)
        rows, all_rounds = rows + some, all_rounds + rounds
    notes = f"Medians of rounds, with the quartiles of the shares.{joined(*all_rounds)}"
    facts = {**machine.facts("torch", "numpy"), "threads": threads}
    machine.report("encoder", "The frozen encoder", rows, facts, notes)


if __name__ == "__main__":
    main(**machine.arguments("encoder", threads=os.cpu_count() or 1, seconds=5.0))

"""Tokens a second that Toto generates with its cache of keys and values, beside Hugging Face's Llama of the same shape.

    python -m benchmarks.generation [model=tiny] [given=1029] [steps=256] [rows=2] [repeats=5] [threads=1]

Both begin with `given` tokens (4 frames and the start of a fifth), take the likeliest token each time, in float32, with
PyTorch's scaled_dot_product_attention; Llama with its dynamic cache through `generate`. They alternate. The floor is the
bytes that a token must read, all weights and the keys and values so far, over the rate at which the same machine sums
a large array in the same run.
"""

import time

import numpy as np
import torch

from benchmarks import machine
from benchmarks.pretraining import llama
from toto_robot.models.presets import preset
from toto_robot.models.toto import Toto


def hugging_face(config):
    """A function from (ids, steps) to ids, by Llama of the same shape."""
    model = llama(config).eval()

    @torch.inference_mode()
    def generate(ids, steps):
        return model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=steps,
            min_new_tokens=steps,
            do_sample=False,
            pad_token_id=0,
        )

    return generate


def ours(config):
    """The same by Toto."""
    model = Toto(config).eval()
    return lambda ids, steps: model.generate(ids, steps, temperature=0.0, lowest=4)


def memory_rate() -> float:
    """Bytes a second that a sum over 256 MB reads: the best of ten."""
    x, best = torch.ones(64 << 20), 0.0
    for _ in range(10):
        start = time.perf_counter()
        x.sum()
        best = max(best, 4 * len(x) / (time.perf_counter() - start))
    return best


def main(model: str, given: int, steps: int, rows: int, repeats: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = preset(model, 1028)
    ids = torch.randint(4, 1028, (rows, given))
    both = {"toto_robot": ours(config), "transformers LlamaForCausalLM.generate": hugging_face(config)}
    times = {name: [] for name in both}
    for i in range(repeats + 1):
        for name in both if i % 2 else reversed(both):
            start = time.perf_counter()
            out = both[name](ids, 1)
            first = time.perf_counter() - start
            start = time.perf_counter()
            out = both[name](ids, steps + 1)
            assert out.shape == (rows, given + steps + 1)
            times[name].append((time.perf_counter() - start - first) / steps)
    read = 4 * (
        sum(p.numel() for p in Toto(config).parameters())
        + 2 * config.layers * rows * config.width * (given + steps / 2)
    )
    floor = read / memory_rate()
    table = [
        {
            "model": name,
            "ms a step": round(1000 * (took := float(np.median(all_times[1:]))), 2),
            "tokens/s": round(rows / took),
            "share of memory rate": f"{floor / took:.0%}",
        }
        for name, all_times in times.items()
    ]
    notes = (
        f"{model}, {rows} rows, {given} tokens given, the mean of the {steps} steps after the first, median of {repeats}. A "
        f"step must read {read / 1e6:.0f} MB: {1000 * floor:.2f} ms."
    )
    path = machine.save(
        "generation",
        "Generation with a cache",
        table,
        {**machine.facts("torch", "transformers"), "threads": threads},
        notes,
    )
    print(machine.table(table), notes, f"written to {path}", sep="\n")


if __name__ == "__main__":
    main(**machine.arguments("generation", model="tiny", given=1029, steps=256, rows=2, repeats=5, threads=1))

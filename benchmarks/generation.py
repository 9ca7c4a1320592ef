"""Tokens a second that Toto generates with its cache of keys and values, beside Hugging Face's Llama of the same shape.

    python -m benchmarks.generation [model=tiny] [given=1029] [steps=256] [rows=2] [repeats=6] [threads=1]

Both start with `given` tokens (4 frames and the start of a fifth) and take the likeliest token each time, in float32,
with PyTorch's scaled_dot_product_attention. Llama uses its dynamic cache through `generate`. The two and a large read
of memory take turns, `repeats` generations of each. The share is of the rate of that read: a token must read all
weights, and the keys and values so far.
"""

import time

import torch

from benchmarks import machine
from benchmarks.alternation import Measure, alternate, joined, memory
from benchmarks.pretraining import llama
from toto_robot.models.presets import preset
from toto_robot.models.toto import Toto


def hugging_face(config):
    """A function from (ids, steps) to ids: Llama of the same shape."""
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
    """The same function by Toto."""
    model = Toto(config).eval()
    return lambda ids, steps: model.generate(ids, steps, temperature=0.0, lowest=4)


def step_of(generate, ids: torch.Tensor, steps: int) -> Measure:
    """Seconds for one token after the first: a generation of steps + 1 tokens, without the time of its first token."""

    def measure(budget_s: float) -> float:
        start = time.perf_counter()
        generate(ids, 1)
        first = time.perf_counter()
        out = generate(ids, steps + 1)
        end = time.perf_counter()
        assert out.shape == (ids.shape[0], ids.shape[1] + steps + 1)
        return ((end - first) - (first - start)) / steps

    return measure


def main(model: str, given: int, steps: int, rows: int, repeats: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = preset(model, 1028)
    ids = torch.randint(4, 1028, (rows, given))
    ours_name, peer = "toto_robot", "transformers LlamaForCausalLM.generate"
    things = {
        "memory": memory(),
        ours_name: step_of(ours(config), ids, steps),
        peer: step_of(hugging_face(config), ids, steps),
    }
    rounds = alternate(things, seconds=0.5 * repeats, rounds=max(1, repeats // 2))
    weights = sum(p.numel() for p in Toto(config).parameters())
    read_bytes = 4 * (weights + 2 * config.layers * rows * config.width * (given + steps / 2))
    table = [
        {
            "model": name,
            "ms a step": round(1000 * rounds.unit_s(name), 2),
            "tokens/s": round(rows * rounds.rate(name)),
            "share of memory rate": rounds.ratio(name, "memory", read_bytes).share(),
        }
        for name in (ours_name, peer)
    ]
    notes = (
        f"{model}, {rows} rows, {given} tokens given, the average of the {steps} steps after the first, median of "
        f"{repeats} rounds. A step must read {read_bytes / 1e6:.0f} MB. Toto over Llama: "
        f"{rounds.ratio(ours_name, peer).times()}.{joined(rounds)}"
    )
    facts = {**machine.facts("torch", "transformers"), "threads": threads}
    machine.report("generation", "Generation with a cache", table, facts, notes)


if __name__ == "__main__":
    main(**machine.arguments("generation", model="tiny", given=1029, steps=256, rows=2, repeats=6, threads=1))

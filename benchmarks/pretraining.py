"""Training tokens a second of Toto beside Hugging Face's Llama of the same shape.

    python -m benchmarks.pretraining [model=base] [layers=4] [tokens=1024] [rows=1] [steps=8] [threads=2] [device=cpu]

Both have weights of the same shapes, the same dtype (bfloat16 autocast if the processor multiplies it, else float32),
causal attention kernel (PyTorch's scaled_dot_product_attention), loss and AdamW. On CUDA both are compiled, on a CPU
neither. Steps of the two and a large matrix product of the same dtype take turns, until each has done `steps` steps.
The share is of the rate of that product. The FLOPs are those of `toto_robot.models.flops`, times 3. `layers` cuts the
depth, so that a CPU has a result in a minute.
"""

import gc
import os

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import machine
from benchmarks.alternation import alternate, joined, matmul, repeated
from toto_robot.ground.precision import choose_dtype, torch_dtype
from toto_robot.models.flops import forward_flops
from toto_robot.models.presets import preset
from toto_robot.models.toto import Toto


def llama(config):
    """Hugging Face's Llama of the same shape."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            rms_norm_eps=config.norm_eps,
            rope_theta=config.rope_theta,
            tie_word_embeddings=config.tied,
            attn_implementation="sdpa",
            max_position_embeddings=8192,
        )
    )


def hugging_face(config):
    """Llama; returns (model, a function from ids to the loss)."""
    model = llama(config)

    def loss(ids):
        logits = model(ids[:, :-1], use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())

    return model, loss


def ours(config):
    """Toto; returns (model, a function from ids to the loss)."""
    model = Toto(config)
    return model, model.loss


class Step:
    """A training step of one model."""

    def __init__(self, made, ids, dtype: str, device: str):
        self.model, self.loss = made
        self.model.to(device)
        if device == "cuda":
            self.model.compile(dynamic=False)
        self.ids, self.dtype, self.device = ids, dtype, device
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def __call__(self) -> None:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16"):
            loss = self.loss(self.ids)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.device == "cuda":
            torch.cuda.synchronize()

    def memory_gb(self) -> float:
        """Peak of one step in GB: of the memory of the GPU, or on a CPU of what the step allocates."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self()
            return (torch.cuda.max_memory_allocated() - before) / 1e9
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            self()
        memory = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
        sizes = [event.nbytes() for event in sorted(memory, key=lambda event: event.start_ns())]
        return float(max(np.cumsum(sizes))) / 1e9


def main(model: str, layers: int, tokens: int, rows: int, steps: int, threads: int, device: str) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    dtype = choose_dtype("auto", device)
    config = preset(model, 8196, **({"layers": layers} if layers else {}))
    ids = torch.randint(4, 8196, (rows, tokens + 1), device=device)
    made = {"toto_robot": ours(config), "transformers LlamaForCausalLM": hugging_face(config)}
    count = {name: sum(p.numel() for p in pair[0].parameters()) for name, pair in made.items()}
    assert len(set(count.values())) == 1, count
    all_steps = {name: Step(pair, ids, dtype, device) for name, pair in made.items()}
    things = {"matmul": matmul(torch_dtype(dtype), device)}
    things |= {name: repeated(step, rows * tokens) for name, step in all_steps.items()}
    alternate(things, seconds=0.0, rounds=1)  # the second step of a compiled model is slow too
    rounds = alternate(things, seconds=0.3 * steps, rounds=max(1, steps // 2))
    cost = 3 * forward_flops(config, tokens, head=True) / tokens
    table = []
    for name, step in all_steps.items():
        table.append(
            {
                "model": name,
                "parameters": f"{count[name]:,}",
                "tokens/s": round(rounds.rate(name)),
                "ms a step": round(1000 * rows * tokens * rounds.unit_s(name), 1),
                "share of matmul rate": rounds.ratio(name, "matmul", cost).share(),
                "memory of a step GB": round(step.memory_gb(), 2),
            }
        )
        gc.collect()
    notes = (
        f"{model} width, {config.layers} layers, {rows} × {tokens} tokens, {dtype}, median of {max(1, steps // 2)} "
        f"rounds of two steps. A matrix product reaches {rounds.rate('matmul') / 1e9:.0f} GFLOP/s. Toto over Llama: "
        f"{rounds.ratio(*all_steps).times()}.{joined(rounds)}"
    )
    facts = {**machine.facts("torch", "transformers"), "threads": threads, "device": device}
    machine.report("pretraining", "A training step", table, facts, notes)


if __name__ == "__main__":
    main(
        **machine.arguments(
            "pretraining",
            model="base",
            layers=4,
            tokens=1024,
            rows=1,
            steps=8,
            threads=os.cpu_count() or 1,
            device="cpu",
        )
    )

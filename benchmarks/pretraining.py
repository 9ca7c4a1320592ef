"""Training tokens a second of Toto beside Hugging Face's Llama of the same shape.

    python -m benchmarks.pretraining [model=base] [layers=4] [tokens=1024] [rows=1] [steps=8] [threads=2] [device=cpu]

Both have the same weights' shapes, dtype (bfloat16 autocast where the processor multiplies it, else float32), causal
attention kernel (PyTorch's scaled_dot_product_attention), compile state (both compiled on CUDA, neither on a CPU),
loss and AdamW; their steps alternate, so that both meet the same machine. The share is of the rate that a large matrix
product of the same dtype reaches in the same run; the FLOPs are those of `toto_robot.models.flops`, times 3. `layers`
cuts the depth, so that a CPU has a result in a minute.
"""

import gc
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import machine
from benchmarks.encoder import matmul_rate
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
    """A training step of one model, and the times that it took."""

    def __init__(self, made, ids, dtype: str, device: str):
        self.model, self.loss = made
        self.model.to(device)
        if device == "cuda":
            self.model.compile(dynamic=False)
        self.ids, self.dtype, self.device, self.times = ids, dtype, device, []
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def __call__(self) -> None:
        start = time.perf_counter()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16"):
            loss = self.loss(self.ids)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter() - start)

    def memory_gb(self) -> float:
        """Peak of one step: of the GPU, or of this process's growth on a CPU."""
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
    peak = matmul_rate(torch_dtype(dtype), 3.0)
    for i in range(steps + 2):
        for step in all_steps.values() if i % 2 else reversed(all_steps.values()):
            step()
    cost = 3 * rows * forward_flops(config, tokens, head=True)
    table = []
    for name, step in all_steps.items():
        best = float(np.median(step.times[2:]))
        table.append(
            {
                "model": name,
                "parameters": f"{count[name]:,}",
                "tokens/s": round(rows * tokens / best),
                "ms a step": round(1000 * best, 1),
                "share of matmul rate": f"{cost / best / peak:.0%}",
                "memory of a step GB": round(step.memory_gb(), 2),
            }
        )
        gc.collect()
    ratio = table[0]["tokens/s"] / table[1]["tokens/s"]
    notes = (
        f"{model} width, {config.layers} layers, {rows} × {tokens} tokens, {dtype}, median of {steps} alternating steps. A "
        f"matrix product reaches {peak / 1e9:.0f} GFLOP/s. Toto over Llama: {ratio:.2f}×."
    )
    facts = {**machine.facts("torch", "transformers"), "threads": threads, "device": device}
    path = machine.save("pretraining", "A training step", table, facts, notes)
    print(machine.table(table), notes, f"written to {path}", sep="\n")


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

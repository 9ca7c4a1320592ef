"""Several CPU cores for one small model: each core has a copy with shared weights and its own gradients.

The operations of a small model are too short for PyTorch's threads to share. Measured with tiny on two cores at 257
tokens, two threads read as many tokens a second as one. Therefore each core takes whole micro-batches instead.
Gradients are added in a fixed order, so the result depends on the number of copies and not on their timing.
"""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from torch import nn


class Replicas:
    """`model` and `count` - 1 copies of it that share its weights."""

    def __init__(self, model: nn.Module, count: int):
        self.models = [model]
        for _ in range(count - 1):
            twin = copy.deepcopy(model)
            for mine, shared in zip(twin.parameters(), model.parameters()):
                mine.data = shared.data
            self.models.append(twin)
        self._pool = ThreadPoolExecutor(count - 1) if count > 1 else None

    def each(self, work: Callable[[nn.Module, object], float], jobs: list) -> float:
        """Sum of `work(model, job)` over the jobs, which are dealt out in turn. The first model gets all gradients."""
        shares = [jobs[k :: len(self.models)] for k in range(len(self.models))]
        others = (
            [self._pool.submit(self._run, work, m, s) for m, s in zip(self.models[1:], shares[1:])]
            if self._pool
            else []
        )
        total = self._run(work, self.models[0], shares[0])
        for future in others:
            total += future.result()
        # Add the gradients of the copies to the first model's, in the order of the copies.
        for twin in self.models[1:]:
            for mine, theirs in zip(self.models[0].parameters(), twin.parameters()):
                if theirs.grad is not None:
                    mine.grad = theirs.grad.clone() if mine.grad is None else mine.grad.add_(theirs.grad)
                    theirs.grad = None
        return total

    @staticmethod
    def _run(work, model, jobs) -> float:
        return sum(work(model, job) for job in jobs)

    def close(self) -> None:
        """End the threads."""
        if self._pool:
            self._pool.shutdown()

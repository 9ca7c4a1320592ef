"""Several processes for one run, started by torchrun. The only file that imports torch.distributed.

    torchrun --nproc-per-node 8 -m toto_robot.pretrain ... parallel=fsdp

Each process reads its slice of every batch. With `ddp` each process holds all weights, and gradients are averaged. With
`fsdp` (FSDP2) weights, gradients and AdamW's averages are split between the processes, block by block.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from toto_robot.ground.errors import UserError

STRATEGIES = ("auto", "none", "ddp", "fsdp")


class Group:
    """This process among those of the run. A run of one process is a group of one, which communicates with nobody."""

    def __init__(self, device: str, strategy: str):
        self.world, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        local = int(os.environ.get("LOCAL_RANK", 0))
        self.device = f"cuda:{local}" if device == "cuda" and self.world > 1 else device
        self.strategy = ("ddp" if self.world > 1 else "none") if strategy == "auto" else strategy
        if (self.world > 1) == (self.strategy == "none"):
            raise UserError(
                f"parallel={strategy} with {self.world} process{'es' * (self.world > 1)}: expected ddp or fsdp under "
                "torchrun (torchrun --nproc-per-node N -m toto_robot.pretrain ...), and none or auto without it."
            )
        if self.world > 1:
            if self.device != device:
                torch.cuda.set_device(local)
            dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=timedelta(minutes=30))

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes logs and pictures."""
        return self.rank == 0

    def total(self, *values: float) -> list[float]:
        """Sums of `values` over all processes, in float64."""
        if self.world == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def wait(self) -> None:
        """Wait until every process has called it."""
        if self.world > 1:
            dist.barrier()

    def tell(self, value):
        """The `value` of the first process, returned in every process."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device(self.device))
        return box[0]

    def wrap(self, model: nn.Module, dtype: str) -> nn.Module:
        """The module to call instead of `model`. Its parameters stay `model.parameters()`; fsdp splits them in
        place."""
        if self.strategy == "fsdp":
            return self._shard(model, dtype)
        if self.strategy == "ddp":
            return nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
        return model

    def _shard(self, model: nn.Module, dtype: str) -> nn.Module:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        mesh = init_device_mesh("cuda" if self.device.startswith("cuda") else "cpu", (self.world,))
        low = torch.bfloat16 if dtype == "bfloat16" else None
        policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32 if low else None)
        for block in model.blocks:
            fully_shard(block, mesh=mesh, mp_policy=policy)
        # Split again after every forward pass: the held-out loss has no backward pass and would leave the weights
        # whole.
        return fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=True)

    def accumulating(self, called: nn.Module, last: bool):
        """A context for one of several backward passes of a step: gradients are exchanged in the last one only."""
        if self.strategy == "fsdp":
            called.set_requires_gradient_sync(last)
        elif self.strategy == "ddp" and not last:
            return called.no_sync()
        return nullcontext()

    def close(self) -> None:
        """Leave the group. It is safe to call it twice."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def process_group(device: str, strategy: str) -> Iterator[Group]:
    """A `Group` for the time of a run."""
    group = Group(device, strategy)
    try:
        yield group
        group.wait()  # if a process left while others still wait for it, they would end with an error
    finally:
        group.close()


def whole(tensor: Tensor) -> Tensor:
    """`tensor` itself, or all parts of a tensor that is split between processes. Every process must call it."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor

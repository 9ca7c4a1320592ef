"""Several processes for one run, started by torchrun. The only file that imports torch.distributed.

    torchrun --nproc-per-node 8 -m toto_robot.pretrain ... parallel=fsdp

Each process reads its slice of every batch. `ddp` keeps whole weights in each process and averages gradients; `fsdp`
(FSDP2) also splits weights, gradients and AdamW's averages between the processes, block by block.
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
    """This process among those of the run. A run of one process is a group of one, and asks nobody anything."""

    def __init__(self, device: str, strategy: str):
        self.world, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        local = int(os.environ.get("LOCAL_RANK", 0))
        self.device = f"cuda:{local}" if device == "cuda" and self.world > 1 else device
        self.strategy = ("ddp" if self.world > 1 else "none") if strategy == "auto" else strategy
        if (self.world > 1) == (self.strategy == "none"):
            raise UserError(
                f"parallel={strategy} with {self.world} process{'es' * (self.world > 1)}: expected ddp or fsdp under torchrun "
                "(torchrun --nproc-per-node N -m toto_robot.pretrain ...), and none or auto without it"
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
        """Sums of `values` over all processes, in float64 where the device has it."""
        if self.world == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()

    def tell(self, value):
        """The first process's `value`, for everyone."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device(self.device))
        return box[0]

    def wrap(self, model: nn.Module, dtype: str) -> nn.Module:
        """What to call instead of `model`; its parameters stay `model.parameters()`, split in place under fsdp."""
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
        # split again after a forward pass without a backward one too, or the held-out loss would leave it whole
        return fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=True)

    def accumulating(self, called: nn.Module, last: bool):
        """A context for one of several backward passes of a step: gradients travel in the last one only."""
        if self.strategy == "fsdp":
            called.set_requires_gradient_sync(last)
        elif self.strategy == "ddp" and not last:
            return called.no_sync()
        return nullcontext()

    def close(self) -> None:
        """Leaves the group; safe to call twice."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def process_group(device: str, strategy: str) -> Iterator[Group]:
    """A `Group` for the time of a run."""
    group = Group(device, strategy)
    try:
        yield group
        group.wait()  # a process that leaves while others still talk to it would end them with an error
    finally:
        group.close()


def whole(tensor: Tensor) -> Tensor:
    """`tensor` itself, or all of one that is split between processes (every process must ask)."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor

"""One optimizer step: the rows of a step, their loss over all processes and cores, AdamW.

On the arrow: rows → Toto → checkpoint.
"""

import os
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from toto_robot.features.encoder import find_encoder
from toto_robot.features.folder import ModelFolder, load_toto, read_folder
from toto_robot.ground.errors import UserError
from toto_robot.ground.finite import check_loss
from toto_robot.ground.schedules import learning_rate
from toto_robot.models.causal import CausalModel
from toto_robot.models.mup import parameter_groups
from toto_robot.models.presets import build
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.pretraining.data import PretrainData
from toto_robot.pretraining.distributed import Group, whole
from toto_robot.pretraining.replicas import Replicas
from toto_robot.pretraining.rows import full_rows, longest, micro_batches, short_rows, targets


def read_init(name: str) -> ModelFolder:
    """The trained model that a run starts from: the name of an embedded one, or a folder."""
    folder, variant = find_encoder(name)
    if variant != "trained":
        raise UserError(f"init={name} has no trained weights. Leave init= out to start from random ones.")
    return read_folder(folder)


class Trainer:
    """A model in training. A step is a pure function of the weights, AdamW's averages, the settings and its number."""

    def __init__(self, cfg: PretrainConfig, config, group: Group):
        self.cfg, self.group = cfg, group
        self.model = build(config)
        if cfg.init:
            self.model.load_state_dict(load_toto(read_init(cfg.init)).state_dict())
        else:
            self.model.init_weights(torch.Generator().manual_seed(cfg.seed))
        self.model.to(group.device)
        if cfg.checkpoint_activations:
            self.model.checkpoint_blocks(True)
        if cfg.compile == "true" or (cfg.compile == "auto" and cfg.device == "cuda"):
            for block in self.model.blocks:
                block.compile(dynamic=False)
        self.called = group.wrap(self.model, cfg.dtype)
        groups = parameter_groups(self.model, cfg.lr, cfg.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=cfg.lr, betas=(cfg.beta1, cfg.beta2), fused=True)
        one_core = cfg.device != "cpu" or group.world > 1
        self.replicas = Replicas(self.model, 1 if one_core else cfg.threads or os.cpu_count() or 1)

    def step(self, step: int, data: PretrainData) -> tuple[dict, int]:
        """Do one optimizer step. Returns loss, gradient norm and learning rate, and the number of tokens that it read.

        If the loss or the gradient is not finite, it raises UserError and leaves the weights unchanged.
        """
        # 1. The micro-batches of this process, and the number of targets over all processes.
        batches, mine = batches_of_step(self.cfg, step, data, self.group)
        (count,) = self.group.total(mine)
        # 2. Gradients, their norm, and a check that training has not diverged.
        (loss,) = self.group.total(self._backward(batches, count))
        norm = whole(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg.grad_clip)).item()
        remedy = f"Start again with a smaller lr than {self.cfg.lr:g}, or with a larger warmup_steps."
        check_loss(f"step {step + 1}", remedy, loss=loss, gradient_norm=norm)
        # 3. AdamW with the learning rate of this step.
        cfg = self.cfg
        rate = learning_rate(step, peak=cfg.lr, warmup_steps=cfg.warmup_steps, steps=cfg.steps, final=cfg.final_lr)
        for param_group in self.optimizer.param_groups:
            param_group["lr"] = rate * param_group["lr_scale"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"loss": loss, "grad_norm": norm, "lr": rate}, int(count)

    def _backward(self, batches: list[Tensor], count: float) -> float:
        """Compute the gradients of the mean loss over `count` targets. Returns this process's part of that mean."""

        def work(model: nn.Module, ids: Tensor, processes: int = 1) -> float:
            with self.autocast():
                # The loss only calls its model, so a wrapped one works too. DDP and FSDP average over the processes.
                part = CausalModel.loss(model, ids.to(self.group.device), reduction="sum") * (processes / count)
            part.backward()
            return part.item() / processes

        if self.group.world == 1:
            return self.replicas.each(work, batches)
        total = 0.0
        for i, ids in enumerate(batches, start=1):
            with self.group.accumulating(self.called, last=i == len(batches)):
                total += work(self.called, ids, self.group.world)
        return total

    def autocast(self):
        """A context with bfloat16 if the settings ask for it."""
        if self.cfg.dtype != "bfloat16":
            return nullcontext()
        return torch.autocast(torch.device(self.group.device).type, torch.bfloat16)

    def whole_model(self) -> CausalModel:
        """The model on the CPU with all its weights, even if they are split. Every process must call it."""
        copy = build(self.model.config)
        with torch.no_grad():
            for mine, parameter in zip(copy.parameters(), self.model.parameters()):
                mine.copy_(whole(parameter.detach()))
        return copy

    def close(self) -> None:
        """End the threads of the replicas."""
        self.replicas.close()


def batches_of_step(cfg: PretrainConfig, step: int, data: PretrainData, group: Group) -> tuple[list[Tensor], int]:
    """This process's micro-batches of ids in a step, and the number of tokens that they predict."""
    size = cfg.short_batch if step < cfg.short_steps else cfg.batch_rows
    codes, kinds = data.mixture.batch(step, size, group.rank, group.world)
    frames, tokens = codes.shape[1:3]
    families = []
    if step >= cfg.short_steps:
        families.append((full_rows(codes, kinds), longest(frames, tokens)))
    if cfg.short_steps:  # one frame of each full row comes too, so that the model doesn't forget single frames
        first = group.rank * len(codes)
        families.append((short_rows(codes, kinds, cfg.short_frames, step, first), cfg.short_frames * (tokens + 1)))
    batches = [ids for rows, length in families for ids in micro_batches(rows, cfg.micro_tokens, length)]
    return batches, sum(targets(rows) for rows, _ in families)

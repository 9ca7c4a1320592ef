"""Losses on held-out rows: for each source, for single frames, and by the place of a frame in its clip."""

import torch
from torch import Tensor

from toto_robot.models.causal import CausalModel
from toto_robot.pretraining.data import PretrainData
from toto_robot.pretraining.rows import full_rows, longest, micro_batches, short_rows, targets
from toto_robot.pretraining.trainer import Trainer
from toto_robot.tokens.special import PAD, VIDEO


@torch.no_grad()
def held_out(trainer: Trainer, data: PretrainData) -> dict[str, float]:
    """Mean losses in nats a token.

    `held_out` is over all validation rows. `held_out_frames` is over single frames of them, as the encoder sees frames.
    `held_out/NAME` is over each store, if there are several.
    """
    if not data.held_out:
        return {}
    sums, counts, frames = {}, {}, [0.0, 0]
    for name, (codes, kinds) in data.held_out.items():
        rows = full_rows(codes, kinds)
        sums[name], counts[name] = _sum(trainer, rows, longest(*codes.shape[1:3])), targets(rows)
        rows = short_rows(codes, kinds, 1, 0)
        frames = [frames[0] + _sum(trainer, rows, codes.shape[2] + 1), frames[1] + targets(rows)]
    losses = {"held_out": sum(sums.values()) / sum(counts.values()), "held_out_frames": frames[0] / frames[1]}
    if len(sums) > 1:
        losses |= {f"held_out/{name}": sums[name] / counts[name] for name in sums}
    return losses


@torch.no_grad()
def loss_by_frame(trainer: Trainer, data: PretrainData) -> list[float]:
    """Mean loss over the tokens of the first frame, the second, and so on. Later frames are easier (Fig. 10)."""
    total, count = torch.zeros(data.frames, dtype=torch.float64), 0
    for codes, kinds in data.held_out.values():
        codes, kinds = codes[kinds == VIDEO], kinds[kinds == VIDEO]
        if not len(codes):
            continue
        frames, tokens = codes.shape[1:3]
        for ids in _mine(trainer, full_rows(codes, kinds), longest(frames, tokens)):
            loss = _losses(trainer, ids)[:, : frames * tokens]
            total = total + loss.view(-1, frames, tokens).sum(dim=(0, 2)).double().cpu()
        count += len(codes) * tokens
    return [x / count for x in trainer.group.total(*total.tolist())] if count else []


def _sum(trainer: Trainer, rows: list[Tensor], length: int) -> float:
    """Sum of the losses of all rows. Each process computes its share of the rows."""
    return trainer.group.total(sum(_losses(trainer, ids).sum().item() for ids in _mine(trainer, rows, length)))[0]


def _mine(trainer: Trainer, rows: list[Tensor], length: int) -> list[Tensor]:
    """This process's share in micro-batches. Rows of pads make all shares equal, which split weights require."""
    group = trainer.group
    rows = rows + [torch.full_like(rows[0], PAD)] * (-len(rows) % group.world)
    return micro_batches(rows[group.rank :: group.world], trainer.cfg.micro_tokens, length)


def _losses(trainer: Trainer, ids: Tensor) -> Tensor:
    """Loss of each token (b, T - 1). It is 0 for a pad."""
    ids = ids.to(trainer.group.device)
    with trainer.autocast():
        return CausalModel.loss(trainer.called, ids, reduction="none").view(len(ids), -1)

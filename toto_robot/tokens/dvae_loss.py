"""The dVAE's training objective (Ramesh et al. 2021, App. A): relaxed sample, likelihood, divergence."""
import math

import torch
from torch import Tensor

from toto_robot.tokens.dvae import PATCH, map_pixels

PIXELS_A_TOKEN = 3 * PATCH * PATCH     # the paper divides its loss by the pixels, which puts β/192 on the divergence
LOG_SCALE_MIN = -3.0                   # ours: flat areas of rendered frames would otherwise drive the scale to 0


def logit_laplace_nll(stats: Tensor, x: Tensor) -> Tensor:
    """Mean over pixels and channels of -log p(x) in nats; stats (B, 6, H, W), x float [0, 1] (B, 3, H, W).

    p is the logit-Laplace density (App. A.3) with mean stats[:, :3] and log scale stats[:, 3:].
    """
    mean, log_scale = stats.float().chunk(2, dim=1)
    log_scale = log_scale.clamp(min=LOG_SCALE_MIN)
    y = map_pixels(x)
    nll = math.log(2) + log_scale + (y * (1 - y)).log() + (torch.logit(y) - mean).abs() * torch.exp(-log_scale)
    return nll.mean()


def gumbel_softmax(logits: Tensor, temperature: float, noise: Tensor) -> Tensor:
    """A relaxed one-hot sample over dim 1; `noise` holds uniform numbers in [0, 1) of the logits' shape."""
    gumbel = -torch.log(-torch.log(noise.clamp(1e-6, 1 - 1e-6)))
    return torch.softmax((logits + gumbel) / temperature, dim=1)


def divergence_from_uniform(logits: Tensor) -> Tensor:
    """KL(q(code | frame) ‖ uniform) in nats, mean over tokens; logits (B, V, h, w)."""
    log_q = torch.log_softmax(logits, dim=1)
    return (log_q.exp() * log_q).sum(1).mean() + math.log(logits.shape[1])


def usage_gap(logits: Tensor) -> Tensor:
    """KL(mean over the batch's tokens of q ‖ uniform) in nats: 0 when all codes are equally likely overall (ours).

    The divergence above also asks every single token to be undecided; this part of it only keeps codes in use.
    """
    mean = torch.softmax(logits, dim=1).mean(dim=(0, 2, 3))
    return (mean * (mean + 1e-9).log()).sum() + math.log(logits.shape[1])

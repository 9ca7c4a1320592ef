"""The dVAE's likelihood (Ramesh et al. 2021, App. A.3)."""

import math

import torch
from torch import Tensor

from toto_robot.tokens.dvae import PATCH, map_pixels

PIXELS_A_TOKEN = 3 * PATCH * PATCH  # the paper divides its loss by the pixels, which puts β/192 on the divergence
LOG_SCALE_MIN = -3.0  # ours: flat areas of rendered frames would otherwise drive the scale to 0


def logit_laplace_nll(stats: Tensor, x: Tensor) -> Tensor:
    """Mean over pixels and channels of -log p(x) in nats; stats (B, 6, H, W), x float [0, 1] (B, 3, H, W).

    p is the logit-Laplace density (App. A.3) with mean stats[:, :3] and log scale stats[:, 3:].
    """
    mean, log_scale = stats.float().chunk(2, dim=1)
    log_scale = log_scale.clamp(min=LOG_SCALE_MIN)
    y = map_pixels(x)
    nll = math.log(2) + log_scale + (y * (1 - y)).log() + (torch.logit(y) - mean).abs() * torch.exp(-log_scale)
    return nll.mean()

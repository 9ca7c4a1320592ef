"""A data-dependent start for the dVAE (ours; DALL·E starts from random codes and 1,500 times our steps).

Gumbel-softmax from random codes uses some twenty codes after minutes on a CPU. Therefore the same encoder and decoder
first learn as a continuous VAE through a narrow bottleneck z = P·h + b with posterior N(z, I). The weight of its prior
is steered until z carries a given number of nats. Then z is whitened by how much it differs between two looks of one
state, and centroids e of z become codes in the official layout. The encoder's output convolution gets rows 2κ·e·P and
biases 2κ·e·b - κ‖e‖², so its logits are -κ‖z - e‖² + const. The decoder's input convolution gets a column E·e for each
code. κ is chosen by the mean entropy of a token's posterior, so that sampled codes stray to near neighbours only.
"""

import math

import torch
from torch import Tensor, nn

from toto_robot.tokens.dvae import DVAE, Block


class Bottleneck(nn.Module):
    """P and b (`project`: encoder features to z), E (`expand`: z to the decoder's embedding)."""

    def __init__(self, dvae: DVAE, dim: int):
        super().__init__()
        self.project = nn.Conv2d(8 * dvae.config.n_hid, dim, 1)
        self.expand = nn.Conv2d(dim, dvae.config.n_init, 1)
        self.register_buffer("log_weight", torch.tensor(math.log(1e-3)))

    def prior_penalty(self, z: Tensor, steer: bool, target_nats: float) -> Tensor:
        """‖z‖²/2 a token, which is the divergence of N(z, I) from N(0, I), times a weight.

        With `steer` the weight moves so that the capacity Σ ½·log(1 + var z_i) of a Gaussian channel stays at
        `target_nats`.
        """
        if steer:
            with torch.no_grad():
                nats = 0.5 * torch.log1p(z.var(dim=(0, 2, 3))).sum()
                self.log_weight += 0.02 * (nats / target_nats - 1).clamp(-1, 1)
        return self.log_weight.exp() * 0.5 * z.square().sum(1).mean()

    @torch.no_grad()
    def whiten(self, L: Tensor) -> None:
        """Make L·z the new z, L (d, d). The decoder still sees what it saw before."""
        P, b = self.project.weight[:, :, 0, 0], self.project.bias
        self.project.weight.copy_((L @ P)[:, :, None, None])
        self.project.bias.copy_(L @ b)
        self.expand.weight.copy_((self.expand.weight[:, :, 0, 0] @ torch.linalg.inv(L))[:, :, None, None])


@torch.no_grad()
def look_whitening(one: Tensor, other: Tensor, floor: float) -> Tensor:
    """L (d, d) that makes two looks of one state, z (N, d) each, differ equally in every direction.

    The covariance of one − other is the metric, as in linear discriminant analysis. `floor` times its mean variance is
    added to each direction, so that a direction in which looks hardly differ isn't stretched without bound.
    """
    apart = one - other
    within = apart.T @ apart / (2 * len(apart))
    values, vectors = torch.linalg.eigh(within)
    return vectors @ torch.diag((values + floor * values.mean() + 1e-8).rsqrt()) @ vectors.T


@torch.no_grad()
def unit_gain_(module: nn.Module) -> list[nn.Parameter]:
    """Scale the weights of every residual path by post_gain^(-1/4) and return them.

    The path is homogeneous in its four convolutions, so it then starts at full strength. With a learning rate that is
    scaled in the same way it also learns at full speed. DALL·E's gains of 1/64 need its 3 million updates.
    """
    scaled = []
    for block in module.modules():
        if isinstance(block, Block):
            for layer in block.res_path:
                if isinstance(layer, nn.Conv2d):
                    layer.weight.mul_(block.post_gain**-0.25)
                    scaled.append(layer.weight)
    return scaled


@torch.no_grad()
def choose_kappa(z: Tensor, centroids: Tensor, entropy_nats: float) -> float:
    """κ at which softmax(-κ‖z - e‖²) over centroids (V, d) has this mean entropy over z (N, d), within 1 %."""
    squared = torch.cdist(z, centroids).square()
    low, high = 1e-4, 1e6
    while high / low > 1.01:
        middle = (low * high) ** 0.5
        log_q = torch.log_softmax(-middle * squared, dim=1)
        too_soft = float(-(log_q.exp() * log_q).sum(1).mean()) > entropy_nats
        low, high = (middle, high) if too_soft else (low, middle)
    return (low * high) ** 0.5


@torch.no_grad()
def write_codes(dvae: DVAE, bottleneck: Bottleneck, centroids: Tensor, kappa: float) -> None:
    """Write centroids (V, d) into the official layout. The argmax of the logits is then the nearest centroid."""
    P, b = bottleneck.project.weight[:, :, 0, 0], bottleneck.project.bias
    output, entry = dvae.encoder.blocks.output.conv, dvae.require_decoder().blocks.input
    output.weight.copy_((2 * kappa * centroids @ P)[:, :, None, None])
    output.bias.copy_(2 * kappa * centroids @ b - kappa * centroids.square().sum(1))
    entry.weight.copy_((bottleneck.expand.weight[:, :, 0, 0] @ centroids.t())[:, :, None, None])
    entry.bias.copy_(bottleneck.expand.bias)


@torch.no_grad()
def split_dead_codes(dvae: DVAE, features: Tensor, dead: Tensor, generator: torch.Generator) -> Tensor:
    """Give each dead code half of a busy one. Returns the codes that were moved.

    features (N, C) are recent encoder features. A dead code copies a busy code's weights and bias, plus a step along h
    - m. Here m is the mean feature of the busy code's tokens, and h is one of them, drawn at random. The new code wins
    the tokens on h's side of the plane half-way between m and h. Its lead at h is the median lead of the busy code over
    the next best one, so it takes little from other codes.
    """
    output, entry = dvae.encoder.blocks.output.conv, dvae.require_decoder().blocks.input
    weight, bias = output.weight[:, :, 0, 0], output.bias
    top = [torch.addmm(bias, part, weight.t()).topk(2, dim=1) for part in features.split(16384)]
    codes = torch.cat([t.indices[:, 0] for t in top])
    lead = torch.cat([t.values[:, 0] - t.values[:, 1] for t in top])
    drawn = torch.randperm(len(codes), generator=generator)[: 4 * len(dead)]  # busy codes are drawn more often
    moved = 0
    taken: set[int] = set()
    for at in drawn.tolist():
        if moved == len(dead):
            break
        # A busy code is split once, if it has at least 4 tokens that differ.
        busy, h = int(codes[at]), features[at]
        members = features[codes == busy]
        direction = h - members.mean(0)
        length = float(direction.square().sum())
        if busy in taken or len(members) < 4 or length < 1e-8:
            continue
        taken.add(busy)
        new = int(dead[moved])
        step = direction * (2.0 * float(lead[codes == busy].median()) / length)
        weight[new] = weight[busy] + step
        bias[new] = bias[busy] - step @ (members.mean(0) + direction / 2)
        entry.weight[:, new] = entry.weight[:, busy]
        moved += 1
    return dead[:moved]

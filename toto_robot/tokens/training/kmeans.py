"""k-means with re-seeding, for the dVAE's data-dependent start."""

import torch
from torch import Tensor


def nearest_centroid(z: Tensor, centroids: Tensor, chunk: int = 16384) -> tuple[Tensor, Tensor]:
    """Index int64 (N,) of the nearest row of centroids (V, d) for each z (N, d), and the squared distance (N,)."""
    half = centroids.square().sum(1) / 2
    best, index = [], []
    for part in z.split(chunk):
        score, at = torch.addmm(half, part, centroids.t(), alpha=-1).min(1)
        best.append((part.square().sum(1) + 2 * score).clamp_min(0))
        index.append(at)
    return torch.cat(index), torch.cat(best)


def kmeans(z: Tensor, codes: int, generator: torch.Generator, iterations: int = 20) -> Tensor:
    """Centroids (codes, d) of z (N, d), N >= codes.

    It starts from random distinct points. In every round but the last, clusters that hold less than a twentieth of an
    equal share move onto points drawn in proportion to their squared distance from the nearest centroid, as in
    k-means++.
    """
    centroids = z[torch.randperm(len(z), generator=generator)[:codes]].clone()
    for round_ in range(iterations):
        index, distance = nearest_centroid(z, centroids)
        count = torch.bincount(index, minlength=codes).to(z.dtype)
        total = torch.zeros_like(centroids).index_add_(0, index, z)
        centroids = torch.where(count[:, None] > 0, total / count.clamp_min(1)[:, None], centroids)
        poor = (count < len(z) / codes / 20).nonzero()[:, 0]
        if round_ < iterations - 1 and len(poor) and float(distance.sum()) > 0:
            drawn = torch.multinomial((distance + 1e-9).double(), len(poor), generator=generator)
            centroids[poor] = z[drawn]
    return centroids

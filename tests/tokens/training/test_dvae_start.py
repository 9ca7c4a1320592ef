import math

import pytest
import torch

from toto_robot.tokens.dvae import DVAE, Block, DVAEConfig
from toto_robot.tokens.training.dvae_start import (
    Bottleneck,
    choose_kappa,
    look_whitening,
    split_dead_codes,
    unit_gain_,
    write_codes,
)
from toto_robot.tokens.training.kmeans import kmeans, nearest_centroid

SMALL = DVAEConfig(vocab_size=64, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1)


@pytest.fixture
def started():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dvae = DVAE(SMALL).double()
    bottleneck = Bottleneck(dvae, 5).double()
    x = torch.rand(6, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        features = dvae.encoder.features(x)
        z = bottleneck.project(features)
    flat = z.movedim(1, -1).flatten(0, 2)
    return dvae, bottleneck, x, z, flat


def test_written_codes_are_the_nearest_centroids_exactly(started):
    dvae, bottleneck, x, z, flat = started
    centroids = kmeans(flat, 64, torch.Generator().manual_seed(0), iterations=5)
    write_codes(dvae, bottleneck, centroids, kappa=3.0)
    with torch.no_grad():
        logits = dvae.encoder(x)
    wanted = torch.cdist(flat, centroids).square()
    assert torch.equal(logits.argmax(1).flatten(), wanted.argmin(1))
    flat_logits = logits.movedim(1, -1).flatten(0, 2)
    constant = flat_logits + 3.0 * wanted  # the same number for every code of a token
    assert (constant - constant[:, :1]).abs().max() < 1e-9


def test_the_decoder_sees_each_code_as_its_expanded_centroid(started):
    dvae, bottleneck, x, z, flat = started
    centroids = flat[:64].clone()
    write_codes(dvae, bottleneck, centroids, kappa=1.0)
    codes = torch.arange(64).reshape(1, 8, 8)
    with torch.no_grad():
        wanted = bottleneck.expand(centroids.t().reshape(1, 5, 8, 8))
        assert torch.allclose(dvae.decoder.embed(codes), wanted)


def test_kappa_gives_the_entropy_that_was_asked_for(started):
    *_, flat = started
    centroids = flat[::2][:32]
    for entropy in (0.3, 1.0, 2.0):
        kappa = choose_kappa(flat, centroids, entropy)
        log_q = torch.log_softmax(-kappa * torch.cdist(flat, centroids).square(), 1)
        assert float(-(log_q.exp() * log_q).sum(1).mean()) == pytest.approx(entropy, rel=0.05)


def test_unit_gain_puts_residual_paths_at_full_strength():
    torch.manual_seed(0)
    block = Block(8, 8, n_layers=8, kernels=(3, 3, 3, 1)).double()
    x = torch.randn(1, 8, 8, 8, dtype=torch.float64)
    before = block.res_path(x)
    assert len(unit_gain_(block)) == 4
    assert torch.allclose(block.res_path(x) * block.post_gain, before)


def test_splitting_busy_codes_brings_dead_ones_into_use(started):
    dvae, bottleneck, x, z, flat = started
    x = torch.rand(12, 3, 64, 64, dtype=torch.float64)
    centroids = flat[:64].clone()
    centroids[16:] = 1e3  # no token is near these
    write_codes(dvae, bottleneck, centroids, kappa=1.0)
    with torch.no_grad():
        features = dvae.encoder.features(x).movedim(1, -1).flatten(0, 2)
        before = dvae.encoder(x).argmax(1).flatten()
        dead = (torch.bincount(before, minlength=64) == 0).nonzero()[:, 0]
        moved = split_dead_codes(dvae, features, dead, torch.Generator().manual_seed(0))
        after = dvae.encoder(x).argmax(1).flatten()
    assert len(moved) > 0 and set(moved.tolist()) <= set(dead.tolist())
    used_before, used_after = (int((torch.bincount(c, minlength=64) > 0).sum()) for c in (before, after))
    assert used_after >= used_before + len(moved) / 2  # a neighbour that is split too may take a share back


def test_the_prior_is_steered_to_the_wanted_capacity():
    torch.manual_seed(0)
    bottleneck = Bottleneck(DVAE(SMALL), 4)
    before = float(bottleneck.log_weight)
    rich, poor = torch.randn(8, 4, 4, 4) * 100, torch.randn(8, 4, 4, 4) * 0.01
    bottleneck.prior_penalty(rich, steer=True, target_nats=math.log(64))
    assert float(bottleneck.log_weight) > before
    for _ in range(3):
        bottleneck.prior_penalty(poor, steer=True, target_nats=math.log(64))
    assert float(bottleneck.log_weight) < before


def test_kmeans_fills_every_code_and_improves_on_random_points():
    draw = torch.Generator().manual_seed(0)
    z = torch.cat([torch.randn(40, 3, generator=draw) * 0.1 + 10 * torch.randn(3, generator=draw) for _ in range(50)])
    centroids = kmeans(z, 64, torch.Generator().manual_seed(1), iterations=15)
    index, distance = nearest_centroid(z, centroids)
    _, random = nearest_centroid(z, z[torch.randperm(len(z), generator=draw)[:64]])
    assert len(index.unique()) >= 60 and distance.mean() < random.mean() / 4
    assert torch.equal(kmeans(z, 64, torch.Generator().manual_seed(1), iterations=15), centroids)


def test_whitening_makes_two_looks_differ_equally_in_every_direction():
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(4000, 3, generator=draw)
    other = one + torch.randn(4000, 3, generator=draw) * torch.tensor([2.0, 0.5, 0.1])
    L = look_whitening(one, other, floor=1e-4)
    apart = (one - other) @ L.T
    assert torch.allclose(apart.T @ apart / (2 * len(apart)), torch.eye(3), atol=0.05)


def test_codes_of_whitened_z_change_less_between_looks():
    """The first direction is what a look changes, the others are the state: cells become long along the first."""
    draw = torch.Generator().manual_seed(0)
    state = torch.randn(6000, 2, generator=draw)
    looks = [torch.cat((torch.randn(6000, 1, generator=draw), state), dim=1) for _ in range(2)]
    changed = []
    for L in (torch.eye(3), look_whitening(*looks, floor=1e-3)):
        one, other = (z @ L.T for z in looks)
        centroids = kmeans(one, 64, torch.Generator().manual_seed(1), iterations=10)
        changed.append(
            float((torch.cdist(one, centroids).argmin(1) != torch.cdist(other, centroids).argmin(1)).float().mean())
        )
    assert changed[1] < 0.3 * changed[0]


def test_a_whitened_bottleneck_gives_the_decoder_what_it_saw_before(started):
    dvae, bottleneck = started[0], Bottleneck(started[0], 4)
    h = torch.rand(2, 8 * dvae.config.n_hid, 3, 3)
    before = bottleneck.expand(bottleneck.project(h))
    L = torch.tensor([[2.0, 0.3, 0, 0], [0.3, 1.0, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 3.0]])
    plain = bottleneck.project(h)
    bottleneck.whiten(L)
    assert torch.allclose(bottleneck.project(h), torch.einsum("ij,bjhw->bihw", L, plain), atol=1e-4)
    assert torch.allclose(bottleneck.expand(bottleneck.project(h)), before, atol=1e-4)

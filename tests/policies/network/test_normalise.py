import torch

from policies.network.normalise import Normaliser


def test_statistics_from_parts_equal_those_of_the_whole():
    x = torch.randn(1000, 3, 5) * torch.linspace(1, 40, 5) + 7
    norm = Normaliser((3, 5))
    for part in x.split([1, 400, 99, 500]):
        norm.update(part)
    assert torch.allclose(norm.mean, x.mean(0), atol=1e-4)
    assert torch.allclose(norm.std, x.std(0, correction=0), rtol=1e-4)


def test_normalising_and_its_inverse_cancel():
    norm = Normaliser((4,))
    norm.update(torch.randn(50, 4) * 3 + 1)
    x = torch.randn(8, 4)
    assert torch.allclose(norm.inverse(norm(x)), x, atol=1e-5)


def test_a_channel_that_never_changes_stays_finite():
    norm = Normaliser((3,))
    x = torch.randn(50, 3)
    x[:, 1] = 2.0
    norm.update(x)
    assert norm(x).isfinite().all() and norm(x)[:, 1].abs().max() < 1e-3


def test_empty_features_and_empty_batches_are_fine():
    Normaliser((0,)).update(torch.zeros(5, 0))
    Normaliser((3,)).update(torch.zeros(0, 3))

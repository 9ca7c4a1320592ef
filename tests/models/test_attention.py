import pytest
import torch

from toto_robot.models.attention import KVCache, attend, attend_in_halves
from toto_robot.models.toto import TotoConfig


def qkv(T, seed=0):
    return torch.randn(3, 2, 4, T, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [None, 0.1])
@pytest.mark.parametrize("T", [1, 2, 63, 257])
def test_attention_in_halves_equals_fused_attention(T, scale):
    torch.testing.assert_close(attend_in_halves(*qkv(T), scale), attend(*qkv(T), scale), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [None, 0.1])
def test_the_last_queries_get_what_they_get_among_all(scale):
    q, k, v = qkv(9)
    whole = attend(q, k, v, scale)
    for T in (1, 4):
        torch.testing.assert_close(attend(q[:, :, -T:], k, v, scale), whole[:, :, -T:], atol=1e-6, rtol=1e-5)


def test_a_full_cache_refuses_more():
    cache = KVCache(TotoConfig(vocab_size=9, width=64, layers=1, heads=4), 2, 4, torch.zeros(()))
    with pytest.raises(ValueError, match="4 positions, but 5"):
        cache.append(0, *qkv(5)[1:])

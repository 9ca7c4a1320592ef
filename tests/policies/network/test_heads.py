import pytest
import torch

from policies.network.heads import Head, HeadConfig
from policies.network.pooling import AttentionPool
from toto_robot.ground.errors import UserError

PAPER = HeadConfig()
WIDE = HeadConfig(128, 128, [384, 256], "gelu", True, loss="smooth_l1")


@pytest.mark.parametrize("config", [PAPER, WIDE])
@pytest.mark.parametrize(
    ("shape", "pooling"), [((24,), "mean"), ((16, 24), "attention"), ((16, 24), "grid"), ((0,), "mean"), ((7,), "grid")]
)
def test_every_pooling_gives_one_action_a_sample_and_trains_every_parameter(config, shape, pooling):
    torch.manual_seed(0)
    head = Head(config, shape, 5, 4, pooling, binary=(3,))
    out = head(torch.randn(6, *shape), torch.randn(6, 5))
    assert out.shape == (6, 4)
    head.loss(out, torch.randn(6, 4), torch.rand(6, 4).sign()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_widths_of_zero_give_the_feature_as_it_is_and_no_proprioception():
    torch.manual_seed(0)
    head = Head(HeadConfig(0, 0, [8]), (7,), 5, 4, "mean")
    assert head.mlp[0].weight.shape == (8, 7)
    x = torch.randn(6, 7)
    assert torch.equal(head(x, torch.randn(6, 5)), head(x, torch.zeros(6, 5)))
    assert Head(HeadConfig(0, 3, [8]), (16, 2), 5, 4, "grid").mlp[0].weight.shape == (8, 32 + 3)
    with pytest.raises(UserError, match="leaves the policy no input"):
        Head(HeadConfig(128, 0), (0,), 5, 4, "mean")
    with pytest.raises(UserError, match="must be pooled"):
        Head(HeadConfig(0, 8), (16, 24), 5, 4, "attention")


def test_samples_of_a_batch_do_not_touch_each_other():
    torch.manual_seed(0)
    head = Head(WIDE, (16, 8), 5, 4, "attention").eval()
    x, p = torch.randn(6, 16, 8), torch.randn(6, 5)
    assert torch.allclose(head(x, p)[2:3], head(x[2:3], p[2:3]), atol=1e-6)


def test_attention_equals_the_textbook_form_with_full_keys_and_values():
    torch.manual_seed(0)
    pool = AttentionPool(16, 10, 12, heads=3, position_embedding=True)
    x = torch.randn(5, 16, 10)
    outs = []
    for h in range(3):
        keys = x @ pool.w_k[h].T + pool.position_k[:, h]
        values = x @ pool.w_v[h].T + pool.position_v[:, h]
        weights = (keys @ pool.query[h] / 4**0.5).softmax(1)
        outs.append((weights[..., None] * values).sum(1))
    assert torch.allclose(pool(x), torch.cat(outs, 1) + pool.bias, atol=1e-5)
    assert torch.allclose(pool.attention(x).sum(1), torch.ones(5, 3))


def test_without_a_position_embedding_attention_ignores_the_order_of_cells():
    torch.manual_seed(0)
    pool = AttentionPool(16, 10, 12, heads=2, position_embedding=False)
    x = torch.randn(5, 16, 10)
    assert torch.allclose(pool(x), pool(x[:, torch.randperm(16)]), atol=1e-5)


def test_a_binary_action_learns_a_probability_and_the_others_a_mean():
    head = Head(PAPER, (4,), 3, 2, "mean", binary=(1,))
    out = torch.tensor([[0.5, 20.0]])
    right, wrong = torch.tensor([[0.5, 1.0]]), torch.tensor([[0.5, -1.0]])
    assert head.loss(out, right, right) < 1e-6 < 5 < head.loss(out, wrong, wrong)


@pytest.mark.parametrize("bad", [{"activation": "tanhh"}, {"loss": "l3"}, {"attention_heads": 5}, {"hidden": [0]}])
def test_impossible_heads_are_a_users_error(bad):
    with pytest.raises(UserError):
        HeadConfig(**bad)

import pytest
import torch
import torch.nn.functional as F

from toto_robot.models.gradients import rotate, swiglu
from toto_robot.models.toto import rope_table


def plainly_rotated(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def plain_swiglu(gate_up):
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


def value_and_gradient(function, x):
    x = x.detach().requires_grad_()
    y = function(x)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    (y * weight).sum().backward()
    return y.detach(), x.grad


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_values_and_gradients_are_those_of_the_plain_formulae(dtype, tolerance):
    cos, sin = rope_table(5, 7, 8, 10_000.0)
    qkv = torch.randn(2, 7, 9, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    pairs = [
        (lambda x: rotate(x, cos, sin), lambda x: plainly_rotated(x, cos.to(dtype), sin.to(dtype)), qkv),
        (
            lambda x: rotate(x[:, :, :6], cos, sin),
            lambda x: plainly_rotated(x[:, :, :6], cos.to(dtype), sin.to(dtype)),
            qkv,
        ),
        (swiglu, plain_swiglu, qkv.flatten(2)),
    ]
    for ours, plain, x in pairs:
        for got, expected in zip(value_and_gradient(ours, x), value_and_gradient(plain, x), strict=True):
            torch.testing.assert_close(got, expected, atol=tolerance, rtol=tolerance)


def test_gradients_agree_with_finite_differences():
    generator = torch.Generator().manual_seed(0)
    cos, sin = (x.double() for x in rope_table(0, 3, 4, 100.0))
    x = torch.randn(2, 3, 2, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rotate(x, cos, sin), x)
    assert torch.autograd.gradcheck(swiglu, x)

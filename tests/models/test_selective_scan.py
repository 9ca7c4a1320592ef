import pytest
import torch

from toto_robot.models import selective_scan as scan
from toto_robot.models.selective_scan import SelectiveScan, selective_scan


def one_by_one(x, step, A, B, C, start=None):
    """The recurrence as it is written in the paper, for autograd."""
    h = x.new_zeros(x.shape[0], *A.shape) if start is None else start
    ys = []
    for t in range(x.shape[1]):
        h = torch.exp(step[:, t, :, None] * A) * h + (step[:, t] * x[:, t])[..., None] * B[:, t, None]
        ys.append((h * C[:, t, None]).sum(-1))
    return torch.stack(ys, dim=1), h


def inputs(T, seed=0, largest_step=0.5):
    generator = torch.Generator().manual_seed(seed)
    x, step = (torch.randn(2, T, 6, generator=generator), torch.rand(2, T, 6, generator=generator) * largest_step)
    A = -torch.arange(1.0, 5.0).repeat(6, 1) * (1 + torch.rand(6, 4, generator=generator))
    B, C = torch.randn(2, 2, T, 4, generator=generator)
    return [x, step, A, B, C, torch.randn(2, 6, 4, generator=generator)]


PLANS = {"one by one": (64, 64), "stretches": (64, 8), "one block of stretches": (1024, 16)}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("T", [1, 2, 64, 65, 200])
def test_outputs_last_state_and_every_gradient_equal_the_recurrences(plan, T, monkeypatch):
    monkeypatch.setitem(scan.BLOCKS, "cpu", PLANS[plan])
    results = []
    for run in (selective_scan, one_by_one):
        given = [tensor.requires_grad_() for tensor in inputs(T)]
        y, end = run(*given)
        weight = torch.linspace(-1, 1, T)[None, :, None]
        ((y * weight).sum() + (end * torch.arange(4.0)).sum()).backward()
        results.append([y, end, *(tensor.grad for tensor in given)])
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("plan", [(64, 64), (4, 2)])
def test_the_gradients_are_those_of_finite_differences(plan):
    given = [tensor.double().requires_grad_() for tensor in inputs(10)]
    assert torch.autograd.gradcheck(lambda *given: SelectiveScan.apply(*given, *plan), given)


@pytest.mark.parametrize("plan", PLANS)
def test_a_long_sequence_whose_decays_underflow_stays_exact(plan, monkeypatch):
    monkeypatch.setitem(scan.BLOCKS, "cpu", PLANS[plan])
    given = inputs(3000, largest_step=20.0)
    assert torch.exp(given[1][..., None] * given[2]).cumprod(1)[:, 100:].abs().max() == 0
    for tensor in given:
        tensor.requires_grad_()
    y, end = selective_scan(*given)
    with torch.no_grad():
        expected, expected_end = one_by_one(*(tensor.double() for tensor in given))
    torch.testing.assert_close(y, expected.float(), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(end, expected_end.float(), atol=1e-3, rtol=1e-4)
    y.square().mean().backward()
    assert all(tensor.grad.isfinite().all() for tensor in given)


def test_the_parts_of_a_sequence_one_after_the_other_equal_the_whole():
    x, step, A, B, C, start = inputs(100)
    whole, end = selective_scan(x, step, A, B, C, start)
    ys, state = [], start
    for t in (slice(0, 70), slice(70, 71), slice(71, 100)):
        y, state = selective_scan(x[:, t], step[:, t], A, B[:, t], C[:, t], state)
        ys.append(y)
    torch.testing.assert_close(torch.cat(ys, dim=1), whole)
    torch.testing.assert_close(state, end)


def test_under_autocast_it_stays_in_float32():
    given = inputs(20)
    with torch.autocast("cpu", torch.bfloat16):
        y, end = selective_scan(*given)
    assert y.dtype == end.dtype == torch.float32 and torch.equal(y, selective_scan(*given)[0])


def test_a_kernel_gets_the_sequence_last_and_only_without_a_starting_state(monkeypatch):
    """The call of mamba_ssm's kernel, on a stand-in of its signature: u, delta (B, E, T), A (E, N), B, C (B, N, T)."""

    class OnCuda(torch.Tensor):
        is_cuda = True

    def selective_scan_fn(u, delta, A, B, C, return_last_state=False):
        y, end = one_by_one(u.transpose(1, 2), delta.transpose(1, 2), A, B.transpose(1, 2), C.transpose(1, 2))
        return y.transpose(1, 2), end

    monkeypatch.setattr(scan, "cuda_kernel", lambda: selective_scan_fn)
    x, step, A, B, C, start = inputs(30)
    y, end = selective_scan(x.as_subclass(OnCuda), step, A, B, C)
    for ours, theirs in zip((y, end), one_by_one(x, step, A, B, C)):
        torch.testing.assert_close(ours.as_subclass(torch.Tensor), theirs)
    monkeypatch.setattr(scan, "cuda_kernel", lambda: pytest.fail("a kernel can't start from a state"))
    selective_scan(x, step, A, B, C, start)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_kernel_and_torch_agree_with_the_recurrence(monkeypatch):
    given = [tensor.cuda() for tensor in inputs(300)[:5]]
    expected = one_by_one(*given)
    for _ in range(2):  # with mamba_ssm's kernel, where it is installed, and without
        for ours, theirs in zip(selective_scan(*given), expected):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        monkeypatch.setattr(scan, "cuda_kernel", lambda: None)

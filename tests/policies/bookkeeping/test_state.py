import torch
from toy_world import ToyVec

from policies.bookkeeping.state import moments, restore_moments, restore_slot_states, slot_states, under


def test_a_restored_optimizer_takes_the_same_next_step():
    def stepped(parameter, optimizer):
        (parameter.square().sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
        return parameter.detach().clone()

    first = torch.nn.Parameter(torch.arange(3.0))
    one = torch.optim.AdamW([first], lr=0.1)
    second = torch.nn.Parameter(stepped(first, one))
    other = torch.optim.AdamW([second], lr=0.1)
    restore_moments(other, {k: v.clone() for k, v in moments(one).items()})
    assert torch.equal(stepped(first, one), stepped(second, other))


def test_names_under_a_prefix_lose_it():
    one, two = torch.tensor(1), torch.tensor(2)
    assert under({"a.x": one, "ab.x": two, "a.y.z": two}, "a.") == {"x": one, "y.z": two}


def test_restored_slots_go_on_from_the_same_states():
    a, b = ToyVec(2), ToyVec(2)
    a.reset([1, 2])
    b.reset([3, 4])
    seen = restore_slot_states(b, slot_states(a))
    assert all((seen[key] == value).all() for key, value in a._obs().items())

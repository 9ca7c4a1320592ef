import math

import pytest
import torch
import torch.nn.functional as F

from toto_robot.ground.errors import UserError
from toto_robot.models.causal import sample
from toto_robot.models.presets import build


def test_changing_token_t_plus_1_never_changes_a_logit_at_or_before_t(model, ids):
    x = ids(1, 40)
    with torch.no_grad():
        before = model(x)
        for t in (0, 1, 17, 38):
            changed = x.clone()
            changed[:, t + 1] = (changed[:, t + 1] + 1) % 61
            after = model(changed)
            assert torch.equal(after[:, : t + 1], before[:, : t + 1])
            assert not torch.equal(after[:, t + 1], before[:, t + 1])


def test_logits_with_a_cache_equal_logits_without_whatever_the_parts(model, ids):
    x = ids(2, 30)
    with torch.no_grad():
        whole = model(x)
        for cuts in ([30], [1] * 30, [10, 1, 1, 8, 10]):
            cache = model.new_cache(2, 30)
            parts = [model(part, cache) for part in x.split(cuts, dim=1)]
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_layers_above_the_requested_one_are_not_run(model, ids, layer):
    run = []
    for i, block in enumerate(model.blocks, start=1):
        block.register_forward_hook(lambda *_, i=i: run.append(i))
    model.hidden_states(ids(1, 4), layer)
    assert run == list(range(1, layer + 1))


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_does_not_exist_is_refused(model, ids, layer):
    with pytest.raises(UserError, match="from 1 to 3"):
        model.hidden_states(ids(1, 4), layer)


def test_every_hidden_state_equals_each_hidden_state(model, ids):
    x = ids(2, 20)
    with torch.no_grad():
        for layer, state in enumerate(model.every_hidden_state(x), start=1):
            assert torch.equal(state, model.hidden_states(x, layer))


def test_loss_is_the_mean_over_targets_that_are_not_pad(model, ids):
    x = ids(2, 12).clamp_min(1)
    x[1, 8:] = 0
    logits = model(x[:, :-1])
    each = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten(), reduction="none").view(2, 11)
    expected = torch.cat((each[0], each[1, :7])).mean()
    torch.testing.assert_close(model.loss(x), expected)
    torch.testing.assert_close(model.loss(x, reduction="sum"), expected * 18)


def test_a_fresh_model_guesses_uniformly(model, ids):
    assert abs(model.loss(ids(2, 64).clamp_min(1)).item() - math.log(61)) < 0.1


def test_the_same_generator_gives_the_same_weights(model):
    twin = build(model.config)
    for each in (model, twin):
        each.init_weights(torch.Generator().manual_seed(5))
    assert all(torch.equal(x, y) for x, y in zip(model.parameters(), twin.parameters()))


def test_checkpointed_blocks_give_the_same_gradients_bit_for_bit_and_run_twice(model, ids):
    runs, gradients = [], []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda *_: runs.append(1))
    for on in (False, True):
        model.checkpoint_blocks(on)
        model.zero_grad()
        model.loss(ids(2, 70)).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients))
    assert len(runs) == 3 + 6


def test_checkpointed_blocks_do_not_change_reading_or_generation(model, ids):
    x = ids(1, 9)
    before = model(x), model.generate(x, 5, temperature=0)
    model.checkpoint_blocks()
    after = model(x), model.generate(x, 5, temperature=0)
    assert all(torch.equal(a, b) for a, b in zip(before, after))


def test_generation_keeps_the_prompt_and_is_a_function_of_the_generator(model, ids):
    x = ids(2, 5)
    first, again = (model.generate(x, 7, top_p=0.9, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == (2, 12) and torch.equal(first[:, :5], x) and torch.equal(first, again)


def test_ids_below_the_lowest_are_never_drawn(model, ids):
    drawn = model.generate(ids(4, 3), 30, temperature=5.0, lowest=20, generator=torch.Generator().manual_seed(0))[:, 3:]
    assert drawn.min() >= 20


def test_greedy_generation_takes_the_likeliest_token_of_the_whole_sequence_each_time(model, ids, loud):
    x = expected = ids(2, 6)
    loud(model, 0.1)
    with torch.no_grad():
        for _ in range(12):
            expected = torch.cat((expected, model(expected)[:, -1:].argmax(dim=-1)), dim=1)
    assert torch.equal(model.generate(x, 12, temperature=0), expected)


def test_a_copy_in_bfloat16_reads_and_learns(model, ids):
    x = ids(2, 40).clamp_min(1)
    expected = model.loss(x).item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(x)
    loss.backward()
    assert abs(loss.item() - expected) < 0.05 and all(p.grad.isfinite().all() for p in model.parameters())
    half = model.bfloat16()
    assert half.hidden_states(x, 2).dtype == torch.bfloat16 and abs(half.loss(x).item() - expected) < 0.05
    assert half.generate(x, 2).shape == (2, 42)


def test_top_k_and_top_p_keep_the_fewest_likeliest_tokens():
    logits = torch.tensor([[0.1, 0.2, 0.4, 0.3]]).log().repeat(4000, 1)
    generator = torch.Generator().manual_seed(0)
    assert set(sample(logits, top_k=1, generator=generator).tolist()) == {2}
    assert set(sample(logits, top_k=3, generator=generator).tolist()) == {1, 2, 3}
    assert set(sample(logits, top_p=0.35, generator=generator).tolist()) == {2}
    assert set(sample(logits, top_p=0.65, generator=generator).tolist()) == {2, 3}
    all_four = sample(logits, top_p=1.0, generator=generator)
    assert abs((all_four == 0).float().mean() - 0.1) < 0.03
    with pytest.raises(UserError, match="top_p=2"):
        sample(logits, top_p=2)

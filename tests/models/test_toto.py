import math

import pytest
import torch
import torch.nn.functional as F

from toto_robot.errors import UserError
from toto_robot.models.presets import preset
from toto_robot.models.toto import KVCache, Toto, TotoConfig, attend, attend_in_halves, sample

torch.set_num_threads(1)
SMALL = TotoConfig(vocab_size=61, width=32, layers=3, heads=2, intermediate=48)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Toto(SMALL).eval()


def ids(*shape, seed=0, vocab=61):
    return torch.randint(0, vocab, shape, generator=torch.Generator().manual_seed(seed))


def hugging_face_twin(model: Toto, config: TotoConfig):
    """LlamaForCausalLM with the same weights, its matrices cut out of Toto's joined ones."""
    from transformers import LlamaConfig, LlamaForCausalLM

    twin = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            rms_norm_eps=config.norm_eps,
            rope_theta=config.rope_theta,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            max_position_embeddings=8192,
            tie_word_embeddings=config.tied,
        )
    ).eval()
    state = {"model.embed_tokens.weight": model.embed.weight, "model.norm.weight": model.norm.weight}
    state["lm_head.weight"] = model.embed.weight if config.tied else model.head.weight
    for i, block in enumerate(model.blocks):
        at = f"model.layers.{i}."
        for name, weight in zip("qkv", block.attention.qkv.weight.chunk(3)):
            state[f"{at}self_attn.{name}_proj.weight"] = weight
        state[f"{at}self_attn.o_proj.weight"] = block.attention.out.weight
        gate, up = block.mlp.gate_up.weight.chunk(2)
        state |= {f"{at}mlp.gate_proj.weight": gate, f"{at}mlp.up_proj.weight": up}
        state[f"{at}mlp.down_proj.weight"] = block.mlp.down.weight
        state[f"{at}input_layernorm.weight"] = block.attention_norm.weight
        state[f"{at}post_attention_layernorm.weight"] = block.mlp_norm.weight
    twin.load_state_dict(state, strict=True)
    return twin


@pytest.mark.parametrize(
    "config",
    [
        preset("tiny", 1028),
        TotoConfig(vocab_size=61, width=64, layers=3, heads=4, intermediate=80, rope_theta=50_000.0, norm_eps=1e-5, tied=True),
    ],
    ids=["tiny", "tied, other rope base and eps"],
)
def test_hidden_states_at_every_layer_and_logits_equal_hugging_faces(config):
    torch.manual_seed(1)
    model = Toto(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # norms too, and larger than at the start, so that every part matters
            parameter.add_(torch.randn_like(parameter) * 0.05)
    twin, x = hugging_face_twin(model, config), ids(2, 300, vocab=config.vocab_size)
    with torch.no_grad():
        theirs = twin(x, output_hidden_states=True)
        assert len(theirs.hidden_states) == config.layers + 1
        for layer in range(1, config.layers + 1):
            assert (model.hidden_states(x, layer) - theirs.hidden_states[layer]).abs().max() < 1e-4
        assert (model(x) - theirs.logits).abs().max() < 1e-4


def test_greedy_generation_equals_hugging_faces():
    torch.manual_seed(2)
    model = Toto(SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    twin, x = hugging_face_twin(model, SMALL), ids(1, 9)
    theirs = twin.generate(x, attention_mask=torch.ones_like(x), max_new_tokens=20, min_new_tokens=20, do_sample=False,
                           pad_token_id=0, eos_token_id=None)  # fmt: skip
    assert torch.equal(model.generate(x, 20, temperature=0), theirs)


def test_changing_token_t_plus_1_never_changes_a_logit_at_or_before_t(model):
    x = ids(1, 40)
    with torch.no_grad():
        before = model(x)
        for t in (0, 1, 17, 38):
            changed = x.clone()
            changed[:, t + 1] = (changed[:, t + 1] + 1) % 61
            after = model(changed)
            assert torch.equal(after[:, : t + 1], before[:, : t + 1])
            assert not torch.equal(after[:, t + 1], before[:, t + 1])


def test_in_bfloat16_too_a_later_token_never_changes_an_earlier_state():
    torch.manual_seed(0)
    model = Toto(SMALL).bfloat16().eval()
    x = ids(2, 257)
    changed = x.clone()
    changed[:, 129:] = (changed[:, 129:] + 1) % 61
    with torch.no_grad():
        assert torch.equal(model.hidden_states(x, 3)[:, :129], model.hidden_states(changed, 3)[:, :129])


def test_logits_with_a_cache_equal_logits_without_whatever_the_parts(model):
    x = ids(2, 30)
    with torch.no_grad():
        whole = model(x)
        for cuts in ([30], [1] * 30, [10, 1, 1, 8, 10]):
            cache = KVCache(SMALL, 2, 30, model.embed.weight)
            parts = [model(part, cache) for part in x.split(cuts, dim=1)]
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)


def test_a_full_cache_refuses_more(model):
    with pytest.raises(ValueError, match="4 positions, but 5"), torch.no_grad():
        model(ids(1, 5), KVCache(SMALL, 1, 4, model.embed.weight))


def test_generation_keeps_the_prompt_and_is_a_function_of_the_generator(model):
    x = ids(2, 5)
    first, again = (model.generate(x, 7, top_p=0.9, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == (2, 12) and torch.equal(first[:, :5], x) and torch.equal(first, again)


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


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_layers_above_the_requested_one_are_not_run(model, layer):
    run = []
    for i, block in enumerate(model.blocks, start=1):
        block.register_forward_hook(lambda *_, i=i: run.append(i))
    model.hidden_states(ids(1, 4), layer)
    assert run == list(range(1, layer + 1))


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_does_not_exist_is_refused(model, layer):
    with pytest.raises(UserError, match="from 1 to 3"):
        model.hidden_states(ids(1, 4), layer)


def test_every_hidden_state_equals_each_hidden_state(model):
    x = ids(2, 20)
    with torch.no_grad():
        for layer, state in enumerate(model.every_hidden_state(x), start=1):
            assert torch.equal(state, model.hidden_states(x, layer))


@pytest.mark.parametrize("T", [1, 2, 63, 257])
def test_attention_in_halves_equals_fused_attention(T):
    q, k, v = torch.randn(3, 2, 4, T, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attend_in_halves(q, k, v), attend(q, k, v), atol=1e-5, rtol=1e-5)


def test_late_positions_stay_apart_in_a_bfloat16_model():
    torch.manual_seed(0)
    model = Toto(SMALL).bfloat16()
    seen = []
    model.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    model.hidden_states(ids(1, 4002), 1)
    expected = torch.tensor([math.cos(4000.0), math.cos(4001.0)])
    torch.testing.assert_close(seen[0][0][4000:, 0, 0], expected, atol=1e-3, rtol=0)


def test_loss_is_the_mean_over_targets_that_are_not_pad(model):
    x = ids(2, 12).clamp_min(1)
    x[1, 8:] = 0
    logits = model(x[:, :-1])
    each = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten(), reduction="none").view(2, 11)
    expected = torch.cat((each[0], each[1, :7])).mean()
    torch.testing.assert_close(model.loss(x), expected)
    torch.testing.assert_close(model.loss(x, reduction="sum"), expected * 18)


def test_a_fresh_model_guesses_uniformly_and_its_residual_writes_are_small():
    torch.manual_seed(0)
    config = preset("tiny", 1028)
    model = Toto(config)
    assert abs(model.loss(ids(1, 64, vocab=1028)).item() - math.log(1028)) < 0.1
    assert abs(model.blocks[0].mlp.down.weight.std().item() - 0.02 / math.sqrt(12)) < 2e-4
    assert abs(model.blocks[0].attention.qkv.weight.std().item() - 0.02) < 2e-4


def test_the_same_generator_gives_the_same_weights():
    a, b = Toto(SMALL), Toto(SMALL)
    for model in (a, b):
        model.init_weights(torch.Generator().manual_seed(5))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))


@pytest.mark.parametrize(
    "change", [{"width": 30, "heads": 4}, {"width": 6, "heads": 2}, {"layers": 0}, {"heads": True}, {"norm_eps": 0}, {"rope_theta": float("nan")}]
)  # fmt: skip
def test_an_impossible_shape_is_refused(change):
    with pytest.raises(UserError, match="Toto's"):
        TotoConfig(**{**SMALL.to_dict(), **change})

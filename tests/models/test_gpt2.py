import pytest
import torch

from toto_robot.ground.errors import UserError
from toto_robot.models.gpt2 import GPT2, GPT2Config, sincos_table

CONFIG = GPT2Config(vocab_size=61, width=48, layers=4, heads=4, intermediate=192, context=300)


def hugging_face_twin(model: GPT2, config: GPT2Config):
    """GPT2LMHeadModel with the same weights; its matrices are stored the other way round."""
    from transformers import GPT2Config as TheirConfig
    from transformers import GPT2LMHeadModel

    twin = GPT2LMHeadModel(
        TheirConfig(
            vocab_size=config.vocab_size,
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            n_inner=config.intermediate,
            layer_norm_epsilon=config.norm_eps,
            tie_word_embeddings=config.tied,
        )
    ).eval()
    state = {"transformer.wte.weight": model.embed.weight, "transformer.wpe.weight": model.positions.weight}
    state |= {"transformer.ln_f.weight": model.norm.weight, "transformer.ln_f.bias": model.norm.bias}
    state["lm_head.weight"] = model.embed.weight if config.tied else model.head.weight
    for i, block in enumerate(model.blocks):
        at = f"transformer.h.{i}."
        for name, norm in (("ln_1", block.attention_norm), ("ln_2", block.mlp_norm)):
            state |= {f"{at}{name}.weight": norm.weight, f"{at}{name}.bias": norm.bias}
        for name, layer in (
            ("attn.c_attn", block.attention.qkv),
            ("attn.c_proj", block.attention.out),
            ("mlp.c_fc", block.mlp.up),
            ("mlp.c_proj", block.mlp.down),
        ):
            state |= {f"{at}{name}.weight": layer.weight.T, f"{at}{name}.bias": layer.bias}
    twin.load_state_dict(state, strict=True)
    return twin


@pytest.mark.parametrize("tied", [False, True])
def test_hidden_states_at_every_layer_and_logits_equal_hugging_faces(tied, ids, loud):
    config = GPT2Config(**{**CONFIG.__dict__, "tied": tied})
    model = loud(GPT2(config).eval(), 0.1)
    twin, x = hugging_face_twin(model, config), ids(2, 300)
    with torch.no_grad():
        theirs = twin(x, output_hidden_states=True)
        for layer in range(1, config.layers + 1):
            assert (model.hidden_states(x, layer) - theirs.hidden_states[layer]).abs().max() < 1e-4
        assert (model(x) - theirs.logits).abs().max() < 1e-4


def test_greedy_generation_equals_hugging_faces(ids, loud):
    model = loud(GPT2(CONFIG).eval(), 0.2)
    twin, x = hugging_face_twin(model, CONFIG), ids(1, 9)
    theirs = twin.generate(
        x,
        attention_mask=torch.ones_like(x),
        max_new_tokens=20,
        min_new_tokens=20,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    assert torch.equal(model.generate(x, 20, temperature=0), theirs)


def test_fixed_positions_are_sines_then_cosines_of_falling_frequencies_and_may_start_anywhere():
    table = sincos_table(0, 50, 48)
    assert table[0, :24].abs().max() == 0 and (table[0, 24:] == 1).all()
    for pair in (0, 3, 23):
        angle = torch.tensor(7 / 10_000 ** (2 * pair / 48))
        torch.testing.assert_close(table[7, [pair, 24 + pair]], torch.stack((angle.sin(), angle.cos())))
    torch.testing.assert_close(sincos_table(20, 30, 48), table[20:])


def test_a_sequence_longer_than_the_learned_positions_is_refused_and_fixed_ones_have_no_end(ids):
    with pytest.raises(UserError, match="300 learned positions, but the sequence has 301"):
        GPT2(CONFIG).generate(ids(1, 300), 2)
    fixed = GPT2(GPT2Config(**{**CONFIG.__dict__, "positions": "sincos"}))
    assert fixed.hidden_states(ids(1, 301), 1).shape == (1, 301, 48)
    assert "positions.weight" not in fixed.state_dict()


@pytest.mark.parametrize(
    "change",
    [{"width": 30}, {"layers": 0}, {"context": 0}, {"positions": "rope"}, {"norm_eps": -1}, {"mup_base_width": 0}],
)
def test_an_impossible_shape_is_refused(change):
    with pytest.raises(UserError, match="GPT-2's"):
        GPT2Config(**{**CONFIG.__dict__, **change})

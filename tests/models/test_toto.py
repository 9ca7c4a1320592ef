import math

import pytest
import torch

from toto_robot.ground.errors import UserError
from toto_robot.models.causal import normalise_patches
from toto_robot.models.presets import preset
from toto_robot.models.toto import Toto, TotoConfig

SMALL = TotoConfig(vocab_size=61, width=32, layers=3, heads=2, intermediate=48)


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
        TotoConfig(
            vocab_size=61, width=64, layers=3, heads=4, intermediate=80, rope_theta=50_000.0, norm_eps=1e-5, tied=True
        ),
    ],
    ids=["tiny", "tied, other rope base and eps"],
)
def test_hidden_states_at_every_layer_and_logits_equal_hugging_faces(config, ids, loud):
    torch.manual_seed(1)
    model = loud(Toto(config).eval())
    twin, x = hugging_face_twin(model, config), ids(2, 300, vocab=config.vocab_size)
    with torch.no_grad():
        theirs = twin(x, output_hidden_states=True)
        assert len(theirs.hidden_states) == config.layers + 1
        for layer in range(1, config.layers + 1):
            assert (model.hidden_states(x, layer) - theirs.hidden_states[layer]).abs().max() < 1e-4
        assert (model(x) - theirs.logits).abs().max() < 1e-4


def test_greedy_generation_equals_hugging_faces(ids, loud):
    torch.manual_seed(2)
    model = loud(Toto(SMALL).eval(), 0.2)
    twin, x = hugging_face_twin(model, SMALL), ids(1, 9)
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


def test_in_bfloat16_too_a_later_token_never_changes_an_earlier_state(ids):
    torch.manual_seed(0)
    model = Toto(SMALL).bfloat16().eval()
    x = ids(2, 257)
    changed = x.clone()
    changed[:, 129:] = (changed[:, 129:] + 1) % 61
    with torch.no_grad():
        assert torch.equal(model.hidden_states(x, 3)[:, :129], model.hidden_states(changed, 3)[:, :129])


def test_late_positions_stay_apart_in_a_bfloat16_model(ids):
    torch.manual_seed(0)
    model = Toto(SMALL).bfloat16()
    seen = []
    model.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    model.hidden_states(ids(1, 4002), 1)
    expected = torch.tensor([math.cos(4000.0), math.cos(4001.0)])
    torch.testing.assert_close(seen[0][0][4000:, 0, 0], expected, atol=1e-3, rtol=0)


def test_the_residual_writes_of_a_fresh_model_are_small():
    torch.manual_seed(0)
    model = Toto(preset("tiny", 1028))
    assert abs(model.blocks[0].mlp.down.weight.std().item() - 0.02 / math.sqrt(12)) < 2e-4
    assert abs(model.blocks[0].attention.qkv.weight.std().item() - 0.02) < 2e-4


@pytest.mark.parametrize(
    "change",
    [
        {"width": 30, "heads": 4},
        {"width": 6, "heads": 2},
        {"layers": 0},
        {"heads": True},
        {"norm_eps": 0},
        {"rope_theta": float("nan")},
        {"mup_base_width": 0},
        {"patches": True, "tied": True},
    ],
)
def test_an_impossible_shape_is_refused(change):
    with pytest.raises(UserError, match="Toto's"):
        TotoConfig(**{**SMALL.to_dict(), **change})


PATCHES = TotoConfig(vocab_size=48, width=32, layers=2, heads=2, intermediate=64, patches=True)


def test_the_loss_of_patches_is_the_squared_error_of_each_next_one_normalised():
    torch.manual_seed(0)
    model, patches = Toto(PATCHES), torch.rand(2, 9, 48)
    given, target = patches[:, :-1], patches[:, 1:]
    target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    each = (model(given) - target).square().mean(-1)
    torch.testing.assert_close(model.loss(patches), each.mean())
    torch.testing.assert_close(model.loss(patches, reduction="sum"), each.sum())
    torch.testing.assert_close(model.loss(patches, reduction="none"), each.flatten())


def test_the_start_of_an_image_and_padding_are_no_targets():
    torch.manual_seed(0)
    model, patches = Toto(PATCHES), torch.rand(1, 9, 48) + 0.1
    patches[:, 4] = patches[:, 8] = 0
    each = model.loss(patches, reduction="none")
    assert each[3] == each[7] == 0 and (each > 0).sum() == 6
    torch.testing.assert_close(model.loss(patches), each.sum() / 6)


def test_normalised_patches_forget_brightness_and_contrast():
    patches = torch.rand(3, 48)
    torch.testing.assert_close(normalise_patches(0.3 + 0.5 * patches), normalise_patches(patches), atol=1e-3, rtol=1e-3)


def test_a_model_learns_to_predict_patches_and_never_looks_ahead():
    torch.manual_seed(0)
    model, patches = Toto(PATCHES), torch.rand(1, 2, 48).repeat(4, 6, 1)  # two patches in turn
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        losses.append(model.loss(patches))
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert abs(losses[0].item() - 1) < 0.1 and losses[-1] < 0.05
    changed = patches.clone()
    changed[:, 6:] = 0
    assert torch.equal(model(changed)[:, :6], model(patches)[:, :6])
    assert model.hidden_states(patches, 1).shape == (4, 12, 32)
    assert model.bfloat16().hidden_states(patches, 1).dtype == torch.bfloat16


def test_generating_patches_is_refused():
    with pytest.raises(UserError, match="Use ids"):
        Toto(PATCHES).generate(torch.rand(1, 2, 48), 1)

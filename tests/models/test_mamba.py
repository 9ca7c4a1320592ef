import math

import pytest
import torch
import torch.nn.functional as F

from toto_robot.ground.errors import UserError
from toto_robot.models.mamba import Mamba, MambaConfig

CONFIG = MambaConfig(vocab_size=61, width=48, layers=3, state=8)


def hugging_face_twin(model: Mamba, config: MambaConfig):
    """MambaForCausalLM with the same weights."""
    from transformers import MambaConfig as TheirConfig
    from transformers import MambaForCausalLM

    twin = MambaForCausalLM(
        TheirConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            num_hidden_layers=config.layers,
            state_size=config.state,
            expand=config.expand,
            conv_kernel=config.conv,
            time_step_rank=config.rank,
            layer_norm_epsilon=config.norm_eps,
            tie_word_embeddings=False,
        )
    ).eval()
    names = {"embed.": "backbone.embeddings.", "blocks.": "backbone.layers.", "norm.": "backbone.norm_f."}
    names["head."], state = "lm_head.", {}
    for name, weight in model.state_dict().items():
        start = next(start for start in names if name.startswith(start))
        state[names[start] + name.removeprefix(start)] = weight
    twin.load_state_dict(state, strict=True)
    return twin


def test_hidden_states_at_every_layer_and_logits_equal_hugging_faces(ids, loud):
    model = loud(Mamba(CONFIG).eval(), 0.1)
    twin, x = hugging_face_twin(model, CONFIG), ids(2, 150)  # more than two blocks of the scan
    with torch.no_grad():
        theirs = twin(x, output_hidden_states=True, use_cache=False)
        *blocks, _, normed = theirs.hidden_states  # unlike Llama's: without the embedding, and the last one twice
        for layer, expected in enumerate([*blocks, normed], start=1):
            assert (model.hidden_states(x, layer) - expected).abs().max() < 1e-4
        assert (model(x) - theirs.logits).abs().max() < 1e-4


def test_greedy_generation_equals_hugging_faces(ids, loud):
    model = loud(Mamba(CONFIG).eval(), 0.2)
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


def test_the_cache_does_not_grow_with_what_was_read(ids):
    model = Mamba(CONFIG)
    short, long = model.new_cache(2, 1), model.new_cache(2, 10**9)
    assert short.state.shape == long.state.shape == (3, 2, 96, 8) and short.conv.shape == (3, 2, 3, 96)
    with torch.no_grad():
        model(ids(2, 5), long)
        model(ids(2, 100), long)
    assert long.length == 105 and long.state.shape == (3, 2, 96, 8)


def test_fresh_step_sizes_lie_between_a_thousandth_and_a_tenth_and_decays_are_whole_numbers():
    model = Mamba(CONFIG)
    for block in model.blocks:
        step = F.softplus(block.mixer.dt_proj.bias)
        assert 1e-3 * 0.99 < step.min() < 4e-3 and 2.5e-2 < step.max() < 1e-1 * 1.01
        torch.testing.assert_close(block.mixer.A_log.exp(), torch.arange(1.0, 9.0).expand(96, 8))
        assert abs(block.mixer.out_proj.weight.std().item() - 0.02 / math.sqrt(6)) < 5e-4


@pytest.mark.parametrize("change", [{"state": 0}, {"conv": 1}, {"expand": 1.5}, {"init_std": 0}])
def test_an_impossible_shape_is_refused(change):
    with pytest.raises(UserError, match="Mamba's"):
        MambaConfig(**{**CONFIG.__dict__, **change})

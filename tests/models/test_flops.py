import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from toto_robot.models.flops import forward_flops, mixing_flops, tokenizer_flops, training_flops_per_token
from toto_robot.models.presets import ARCHITECTURES, build, preset
from toto_robot.models.toto import TotoConfig
from toto_robot.tokens.dvae import DVAE
from toto_robot.tokens.dvae import preset as dvae_preset

T = 257


def counted(run) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def not_in_a_product(config, tokens=T) -> int:
    """The difference between our count and PyTorch's: the elementwise two thirds of Mamba's recurrence."""
    return mixing_flops(config, tokens) * 2 // 3 if not hasattr(config, "heads") else 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_forward_count_equals_pytorchs_own_which_takes_the_full_square_of_attention(architecture):
    config = preset("tiny", 1028, architecture)
    with torch.device("meta"):
        model, ids = build(config), torch.zeros(1, T, dtype=torch.long)
        for layer in (1, 4):
            ours = forward_flops(config, T, layer=layer, causal=False) - layer * not_in_a_product(config)
            assert counted(lambda: model.hidden_states(ids, layer)) == ours
        ours = forward_flops(config, T, head=True, causal=False) - config.layers * not_in_a_product(config)
        assert counted(lambda: model(ids)) == ours


def test_the_causal_half_leaves_out_the_scores_above_the_diagonal():
    config = preset("tiny", 1028)
    above = forward_flops(config, T, causal=False) - forward_flops(config, T)
    assert above == 6 * 2 * 2 * (T * (T - 1) // 2) * 192
    mamba = preset("tiny", 1028, "mamba")
    assert forward_flops(mamba, T) == forward_flops(mamba, T, causal=False)


@pytest.mark.parametrize("architecture", ["toto", "gpt2"])
def test_a_training_step_costs_three_forward_passes(architecture):
    config = preset("tiny", 1028, architecture)
    with torch.device("meta"):
        model, ids = build(config), torch.zeros(1, T, dtype=torch.long)
    assert counted(lambda: model(ids).sum().backward()) == 3 * forward_flops(config, T, head=True, causal=False)
    assert training_flops_per_token(config, T, causal=True) == 3 * forward_flops(config, T, head=True) / T


@pytest.mark.parametrize(
    "name, gigaflops, causal_gigaflops", [("base", 1.17, 0.94), ("large", 2.47, 2.06), ("1b", 9.10, 7.99)]
)
def test_the_papers_sizes_need_6_n_plus_attention(name, gigaflops, causal_gigaflops):
    config = preset(name, 8196)
    with torch.device("meta"):
        products = sum(p.numel() for n, p in build(config).named_parameters() if p.ndim == 2 and n != "embed.weight")
    full = training_flops_per_token(config, 4096, causal=False)
    assert full == 6 * products + 12 * config.layers * config.width * 4096
    assert round(full / 1e9, 2) == gigaflops
    assert round(training_flops_per_token(config, 4096, causal=True) / 1e9, 2) == causal_gigaflops


def test_the_projection_of_patches_counts():
    config = TotoConfig(vocab_size=48, width=32, layers=2, heads=2, intermediate=64, patches=True)
    with torch.device("meta"):
        model, patches = build(config), torch.zeros(1, 9, 48)
        assert counted(lambda: model(patches)) == forward_flops(config, 9, head=True, causal=False)


def test_the_tokenizers_count_equals_pytorchs_own_and_the_published_34_gmac():
    with torch.device("meta"):
        dvae = DVAE(dvae_preset("dalle"))
        expected = counted(lambda: dvae.encoder(torch.empty(1, 3, 128, 128)))
    assert tokenizer_flops(dvae, 128) == expected
    assert round(expected / 2e9) == 34

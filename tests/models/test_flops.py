import torch
from torch.utils.flop_counter import FlopCounterMode

from toto_robot.models.flops import tokenizer_flops, toto_flops
from toto_robot.models.presets import preset
from toto_robot.models.toto import Toto
from toto_robot.tokens.dvae import DVAE, preset as dvae_preset

T = 257
ATTENTION_ABOVE_THE_DIAGONAL = 2 * 2 * (T * T - T * (T + 1) // 2) * 192
"""PyTorch's counter counts the full square of a causal attention, ours its half."""


def counted(run) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_the_count_equals_pytorchs_own_but_for_the_masked_half_of_attention():
    with torch.device("meta"):
        config = preset("tiny", 1028)
        model, ids = Toto(config), torch.zeros(1, T, dtype=torch.long)
        for layer in (1, 4):
            expected = toto_flops(config, T, layer=layer) + layer * ATTENTION_ABOVE_THE_DIAGONAL
            assert counted(lambda: model.hidden_states(ids, layer)) == expected
        expected = toto_flops(config, T, head=True) + 6 * ATTENTION_ABOVE_THE_DIAGONAL
        assert counted(lambda: model(ids)) == expected


def test_the_tokenizers_count_equals_pytorchs_own_and_the_published_34_gmac():
    with torch.device("meta"):
        dvae = DVAE(dvae_preset("dalle"))
        expected = counted(lambda: dvae.encoder(torch.empty(1, 3, 128, 128)))
    assert tokenizer_flops(dvae, 128) == expected
    assert round(expected / 2e9) == 34

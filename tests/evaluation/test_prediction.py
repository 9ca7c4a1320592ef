"""The measures of video prediction, on models whose answer is known."""

import numpy as np
import pytest
import torch

from toto_robot.evaluation.prediction import Table, free_running, teacher_forced
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.tokens.dvae import DVAE, DVAEConfig
from toto_robot.tokens.special import OFFSET

V, S, F = 12, 16, 5


class Knows(torch.nn.Module):
    """Predicts that every code is one more than at the same place one frame before (modulo V)."""

    def forward(self, ids, cache=None):
        logits = torch.zeros(*ids.shape, V + OFFSET)
        codes = ids[:, 1:] - OFFSET
        for t in range(ids.shape[1]):
            if t >= S:
                logits[:, t, OFFSET + (int(codes[0, t - S]) + 1) % V] = 20.0
        return logits

    def generate(self, prompt, steps, **_):
        out = prompt
        for _ in range(steps):
            out = torch.cat((out, (out[:, -S:][:, :1] - OFFSET + 1) % V + OFFSET), dim=1)
        return out


@pytest.fixture(scope="module")
def counting():
    """Rows whose codes count upwards at every place."""
    start = torch.randint(0, V, (3, 1, S), generator=torch.Generator().manual_seed(0))
    return (start + torch.arange(F)[None, :, None]) % V


def test_a_model_that_knows_the_motion_is_right_where_copying_never_is(counting):
    found = teacher_forced(Knows(), counting)
    assert found["toto"].accuracy.mean == found["toto"].accuracy_changed.mean == 1
    assert found["copy"].accuracy.mean == found["copy"].accuracy_changed.mean == 0
    assert found["toto"].bits_changed < 0.01 and len(found["toto"].bits_changed_by_frame) == F - 1


def test_copying_is_right_on_every_block_of_a_still_film_and_no_block_changed():
    still = torch.randint(0, V, (2, 1, S)).expand(2, F, S)
    found = teacher_forced(Knows(), still)
    assert found["copy"].accuracy.mean == 1 and found["toto"].accuracy.mean == 0


def test_the_table_learns_what_follows_each_code_and_its_probabilities_add_up(counting):
    table = Table(counting.numpy(), V)
    assert np.allclose(np.exp(table.log_p).sum(1), 1, atol=1e-5)
    found = teacher_forced(Knows(), counting, table)
    assert found["table"].accuracy.mean == 1 and 0 < found["table"].bits < 2


def test_free_running_goes_on_from_its_own_predictions_and_is_scored_in_pixels_too():
    dvae = DVAE(DVAEConfig(vocab_size=V, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1))
    start = torch.randint(0, V, (2, 1, S), generator=torch.Generator().manual_seed(1))
    codes = (start + torch.arange(F)[None, :, None]) % V
    found = free_running(Knows(), dvae, codes, given=2, frames=2)
    assert found["toto"].accuracy.mean == 1 and found["toto"].psnr == float("inf")
    assert found["copy"].accuracy.mean == 0 and found["copy"].psnr < 60


def test_a_real_model_runs_through_both_modes():
    dvae = DVAE(DVAEConfig(vocab_size=V, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1))
    toto = Toto(TotoConfig(vocab_size=V + OFFSET, width=24, layers=2, heads=2, intermediate=32)).eval()
    codes = torch.randint(0, V, (2, F, S), generator=torch.Generator().manual_seed(2))
    forced, free = teacher_forced(toto, codes), free_running(toto, dvae, codes, given=2, frames=1)
    assert 0 <= forced["toto"].accuracy.mean < 1 and 2 < forced["toto"].bits < 8
    assert set(free) == {"toto", "copy"}

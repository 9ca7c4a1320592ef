import pytest

from toto_robot.ground.errors import UserError
from toto_robot.pretraining.config import PretrainConfig


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"short_steps": 9},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"beta2": 1.0},
        {"dtype": "half"},
        {"threads": 0},
        {"warmup_steps": -1},
        {"short_frames": 0},
        {"weight_decay": -1.0},
        {"pooling": "max"},
        {"grad_clip": 0.0},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(config, change):
    with pytest.raises(UserError, match=next(iter(change))):
        config(**change)


def test_bookkeeping_does_not_count_as_a_setting_that_decides_the_weights(config):
    a, b = config(), config(out="elsewhere", resume=True, log_every=7, checkpoint_every=9)
    assert a.what_decides_the_weights() == b.what_decides_the_weights()
    assert a.what_decides_the_weights() != config(seed=1).what_decides_the_weights()


def test_the_defaults_are_the_papers():
    cfg = PretrainConfig(stores=["a"], tokenizer="b")
    assert (cfg.lr, cfg.beta1, cfg.beta2, cfg.weight_decay, cfg.grad_clip) == (3e-4, 0.9, 0.95, 0.1, 1.0)

import shutil

import pytest

import toto_robot
from toto_robot.ground.errors import UserError
from toto_robot.models.presets import preset
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.pretraining.data import open_data
from toto_robot.pretraining.distributed import Group
from toto_robot.pretraining.loop import pretrain
from toto_robot.pretraining.trainer import Trainer

TRANSFORMER = {"architecture": "gpt2", "intermediate": 64}
MAMBA = {"architecture": "mamba", "heads": None, "intermediate": None}


@pytest.mark.parametrize("changes", [TRANSFORMER, MAMBA, {"mup_base_width": 8}], ids=["gpt2", "mamba", "toto with muP"])
def test_a_run_learns_and_exports_an_encoder(config, tmp_path, changes):
    result = pretrain(config(out=str(tmp_path / "run"), steps=40, short_steps=30, lr=2e-2, **changes))
    assert result["held_out_frames"] < 2.2  # guessing costs ln(16) = 2.8
    encoder = toto_robot.load_encoder(tmp_path / "run" / "model")
    assert encoder.num_layers == 2 and encoder.layer == 1 and encoder.dim == 16


def test_a_resumed_mamba_ends_like_an_uninterrupted_one(config, tmp_path):
    whole = pretrain(config(out=str(tmp_path / "whole"), **MAMBA))
    pretrain(config(out=str(tmp_path / "cut"), **MAMBA))
    shutil.rmtree(tmp_path / "cut" / "resume" / "step-00000008")
    resumed = pretrain(config(out=str(tmp_path / "cut"), resume=True, **MAMBA))
    assert resumed["held_out"] == whole["held_out"]


def test_with_muP_a_schedule_scales_the_rate_of_each_group(config):
    cfg = config(mup_base_width=4)
    data = open_data(cfg)
    trainer = Trainer(cfg, preset(cfg.model, data.vocab_size, cfg.architecture, **cfg.changes()), Group("cpu", "none"))
    values, _ = trainer.step(3, data)
    assert sorted({group["lr"] / values["lr"] for group in trainer.optimizer.param_groups}) == [0.25, 1.0]
    assert sorted({round(group["weight_decay"] / cfg.weight_decay, 6) for group in trainer.optimizer.param_groups}) == [
        0,
        1,
        4,
    ]


def test_settings_that_an_architecture_lacks_are_refused_with_those_it_has(settings):
    cfg = PretrainConfig(**{**settings, "architecture": "mamba"})
    with pytest.raises(UserError, match="Unknown mamba setting 'heads'.*What exists: conv"):
        pretrain(cfg)

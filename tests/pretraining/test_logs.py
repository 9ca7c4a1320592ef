import json
import sys
from types import SimpleNamespace

import pytest

from toto_robot.ground.errors import UserError
from toto_robot.ground.screen import read_log
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.pretraining.logs import LOG, RunLog, draw_loss


def test_a_resumed_log_drops_the_lines_after_the_checkpoint_and_a_line_cut_short(tmp_path):
    path = tmp_path / LOG
    path.write_text("".join(json.dumps({"step": s, "loss": 1.0}) + "\n" for s in (1, 2, 3)) + '{"step": 4, "lo')
    with RunLog(tmp_path, PretrainConfig(stores=["a"], tokenizer="b", steps=5), 2, tokens=80, flops=1e6) as log:
        log.began -= 1000
        log.advance(3, 0.5, 100, 3e6)
        assert log.rate == pytest.approx(20 / 1000, rel=1e-2) and log.flop_rate == pytest.approx(2e6 / 1000, rel=1e-2)
        log.write(3, {"loss": 0.5})
    assert [line["step"] for line in read_log(path)] == [1, 2, 3]
    assert list((tmp_path / "tensorboard").iterdir())


def test_weights_and_biases_hears_every_line_and_a_resumed_run_is_the_same_one(tmp_path, monkeypatch):
    heard = []
    run = SimpleNamespace(
        log=lambda values, step: heard.append((step, values)), finish=lambda: heard.append("finished")
    )
    package = SimpleNamespace(init=lambda **settings: heard.append(settings) or run)
    monkeypatch.setitem(sys.modules, "wandb", package)
    cfg = PretrainConfig(stores=["a"], tokenizer="b", steps=5, wandb="project")
    for start in (0, 2):
        with RunLog(tmp_path, cfg, start) as log:
            log.write(start + 1, {"loss": 0.5})
    first, *lines = heard[:3]
    assert first == heard[3] and (first["project"], first["id"], first["resume"]) == ("project", tmp_path.name, "allow")
    assert first["config"]["lr"] == cfg.lr and lines == [(1, {"loss": 0.5}), "finished"] and heard[4][0] == 3


def test_without_weights_and_biases_its_key_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        RunLog(tmp_path, PretrainConfig(stores=["a"], tokenizer="b", wandb="project"), 0)


def test_the_loss_curve_is_a_png(tmp_path):
    (tmp_path / LOG).write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.0, "held_out": 2.5}\n')
    assert draw_loss(tmp_path, uniform=3.5, short_steps=1).read_bytes().startswith(b"\x89PNG")

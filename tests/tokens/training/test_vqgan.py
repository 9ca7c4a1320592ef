from dataclasses import replace

import pytest
import torch
from square_frames import squares

from toto_robot.ground.errors import UserError
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.tokens.training import vqgan as module
from toto_robot.tokens.training.frames import FramePool
from toto_robot.tokens.training.scores import psnr_db, score_tokenizer
from toto_robot.tokens.training.trainer import Settings
from toto_robot.tokens.training.vqgan import TrainVQGANConfig, VQGANTrainer, train_vqgan
from toto_robot.tokens.vqgan import VQGANConfig
from toto_robot.video.decode import write_video

CONFIG = dict(image_size=32, steps=12, batch=4, crop=16, reseed_every=3, full_share=0.2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    torch.set_num_threads(1)
    tiny = VQGANConfig(
        vocab_size=32, embed_dim=4, z_channels=8, ch=64, ch_mult=(1, 1, 1), num_res_blocks=1, attention=()
    )
    monkeypatch.setitem(module.PRESETS, "tiny", tiny)


def test_training_learns_and_uses_its_codes():
    cfg = TrainVQGANConfig("v", "o", **{**CONFIG, "steps": 60, "batch": 8, "crop": 32})
    trainer = VQGANTrainer(cfg, FramePool([squares(200)], [1.0], 0))
    values = [trainer.advance() for _ in range(cfg.steps)]
    assert float(values[cfg.start_steps - 1]["loss"]) < float(values[0]["loss"])
    frames = torch.from_numpy(squares(60, seed=9))
    scores = score_tokenizer(trainer.average, frames)
    assert scores["usage"] > 0.9 and scores["psnr"] > psnr_db(float(frames.float().var())) + 3


def test_gradients_pass_straight_through_to_the_encoder_and_the_codes_are_pulled():
    trainer = VQGANTrainer(TrainVQGANConfig("v", "o", **CONFIG), FramePool([squares(30)], [1.0], 0))
    z = torch.randn(2, 4, 3, 3, requires_grad=True)
    out, terms = trainer._quantize(z)
    (out * torch.arange(18.0).view(2, 1, 3, 3)).sum().backward(retain_graph=True)
    assert torch.equal(z.grad, torch.arange(18.0).view(2, 1, 3, 3).expand_as(z))
    terms.backward()
    assert trainer.model.quantize.embedding.weight.grad.abs().sum() > 0


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    cfg, pool = TrainVQGANConfig("v", "o", **CONFIG), FramePool([squares(30)], [1.0], 0)
    whole, half = VQGANTrainer(cfg, pool), VQGANTrainer(cfg, pool)
    for _ in range(cfg.steps):
        whole.advance()
    for stop in (2, cfg.start_steps, cfg.start_steps + 2):
        while half.step < stop:
            half.advance()
        half.save(tmp_path / "r.pt", Settings.of(cfg, pool.sources))
        half = VQGANTrainer(cfg, pool)
        half.load(tmp_path / "r.pt", Settings.of(cfg, pool.sources))
    while half.step < cfg.steps:
        half.advance()
    assert half.average.fingerprint() == whole.average.fingerprint()


def test_the_command_saves_a_tokenizer_that_opens_with_its_scores_and_picture(tmp_path):
    for i in range(4):
        write_video(tmp_path / "videos" / f"{i}.mp4", squares(12, i), fps=10)
    cfg = TrainVQGANConfig(str(tmp_path / "videos"), str(tmp_path / "out"), held_out=0.25, **CONFIG)
    scores = train_vqgan(cfg)
    tokenizer = load_tokenizer(tmp_path / "out")
    assert (tokenizer.kind, tokenizer.vocab_size, tokenizer.patch) == ("vqgan", 32, 4)
    assert {"psnr", "psnr_block_mean", "codes_used", "usage", "perplexity"} <= set(scores)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "vqgan.safetensors",
        "config.yaml",
        "log.jsonl",
        "metrics.json",
        "reconstructions.png",
    }
    with pytest.raises(UserError, match="nothing to resume"):
        train_vqgan(replace(cfg, resume=True))


@pytest.mark.parametrize(
    "wrong", [dict(crop=18), dict(steps=0), dict(preset="huge"), dict(lr=0.0), dict(commitment=-1.0)]
)
def test_impossible_keys_are_refused(wrong):
    with pytest.raises(UserError):
        TrainVQGANConfig("v", "o", **wrong)


def test_a_loss_that_is_not_finite_stops_before_the_weights_change():
    trainer = VQGANTrainer(TrainVQGANConfig("v", "o", **CONFIG), FramePool([squares(30)], [1.0], 0))
    trainer.advance()
    with torch.no_grad():
        trainer.model.post_quant_conv.bias[0] = torch.nan
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(UserError, match="diverged: since step 2 the loss is nan .*smaller lr than"):
        trainer.advance()
    assert all(value.equal(before[name]) or value.isnan().any() for name, value in trainer.model.state_dict().items())
    assert trainer.step == 1

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from square_frames import squares

from toto_robot.ground.errors import UserError
from toto_robot.tokens.dvae import DVAE, map_pixels
from toto_robot.tokens.training.dvae import DVAETrainer, TrainDVAEConfig, train_dvae
from toto_robot.tokens.training.dvae_loss import logit_laplace_nll
from toto_robot.tokens.training.frames import FramePool, read_folder
from toto_robot.tokens.training.scores import block_means, decoded_like, psnr_db, score_tokenizer
from toto_robot.tokens.training.trainer import WARMUP, Settings, rate_of
from toto_robot.video.decode import write_video
from toto_robot.video.frames import to_float01, to_uint8, with_gains
from toto_robot.video.jitter import JitterConfig


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


CONFIG = dict(vocab_size=32, image_size=32, steps=12, batch=4, crop=16, full_share=0.2, bottleneck=4)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for i in range(4):
        write_video(folder / f"{i}.mp4", squares(12, i), fps=10)
    return str(folder)


def test_the_likelihood_is_a_density_over_pixels():
    """Integrated over y in (0, 1), the logit-Laplace density is 1."""
    y = torch.linspace(1e-4, 1 - 1e-4, 200_001, dtype=torch.float64)
    x = ((y - 0.1) / 0.8)[None, None, None]  # logit_laplace_nll maps x to y
    density = []
    for chunk in x.split(20_000, dim=-1):
        stats = torch.zeros(1, 6, 1, chunk.shape[-1], dtype=torch.float64)
        stats[:, :3], stats[:, 3:] = 0.3, -0.5
        density += [
            math.exp(-float(logit_laplace_nll(stats[..., i : i + 1], chunk[..., i : i + 1])))
            for i in range(0, chunk.shape[-1], 100)
        ]
    assert sum(density) * float(y[100] - y[0]) == pytest.approx(1, abs=0.01)


def test_the_likelihood_is_highest_at_the_true_pixel():
    x = torch.full((1, 3, 2, 2), 0.7)
    at = lambda mean: float(
        logit_laplace_nll(torch.cat([torch.full((1, 3, 2, 2), mean), torch.full((1, 3, 2, 2), -1.0)], 1), x)
    )
    true = float(torch.logit(map_pixels(torch.tensor(0.7))))
    assert at(true) < at(true + 0.1) and at(true) < at(true - 0.1)


def test_the_rate_warms_up_and_falls_along_half_a_cosine_and_keeps_its_bits():
    def before(peak, since, of, final):  # as the first models were trained
        falling = final + (1 - final) * (1 + math.cos(math.pi * min(1.0, since / of))) / 2
        return peak * min(1, (since + 1) / WARMUP) * falling

    for since in range(0, 400, 7):
        assert rate_of(3e-3, since, 333, 0.02) == before(3e-3, since, 333, 0.02)
    assert rate_of(1, 10**9, 333, 1 / 16) == 1 / 16


def test_block_means_and_their_psnr_are_what_they_say():
    frames = squares(2)
    means = block_means(frames).numpy()
    assert np.array_equal(means[:, :8, :8], np.broadcast_to(means[:, :1, :1], (2, 8, 8, 3)))
    assert np.abs(means[0, 3, 12].astype(float) - frames[0, 0:8, 8:16].mean((0, 1))).max() <= 0.5
    assert psnr_db(255.0**2) == 0 and psnr_db(0) == float("inf")
    flat = np.full((1, 16, 16, 3), 7, np.uint8)
    assert score_tokenizer(DVAETrainer(TrainDVAEConfig("v", "o", **CONFIG), None).dvae, flat)[
        "psnr_block_mean"
    ] == float("inf")


def test_scores_count_codes_over_all_frames():
    dvae = DVAETrainer(TrainDVAEConfig("v", "o", canonical_exposure=False, **CONFIG), None).dvae
    frames = squares(9)
    codes = dvae.encode(frames)
    scores = score_tokenizer(dvae, frames, batch=4)
    assert scores["codes_used"] == len(codes.unique()) and scores["usage"] == len(codes.unique()) / 32
    error = (dvae.decode(codes).float() - torch.from_numpy(frames).float()).square().mean()
    assert scores["psnr"] == pytest.approx(psnr_db(float(error)), abs=1e-4)


def test_a_frame_is_scored_at_its_own_exposure():
    """A tokenizer that brings frames to one exposure is not blamed for the three numbers that it took away."""
    dvae = DVAETrainer(TrainDVAEConfig("v", "o", **CONFIG), None).dvae
    frames = torch.from_numpy(squares(4))
    gains = dvae.gains(to_float01(frames))
    exact = with_gains(with_gains(to_float01(frames), gains), 1 / gains)
    assert (to_uint8(exact).float() - frames.float()).abs().mean() < 12  # what gains clip is lost
    assert decoded_like(dvae, dvae.encode(frames), frames).shape == frames.shape
    assert (gains != 1).any()


def test_batches_depend_on_seed_and_step_alone():
    pool = FramePool([squares(20), squares(20, 1)], [0.5, 0.5], seed=3)
    assert torch.equal(pool.batch(5, 4, 16), pool.batch(5, 4, 16))
    assert not torch.equal(pool.batch(5, 4, 16), pool.batch(6, 4, 16))


def test_pairs_depend_on_seed_and_step_alone_and_show_one_state_twice():
    frames = squares(20)
    pool = FramePool([frames], [1.0], seed=3, twins=[255 - frames], jitter=JitterConfig(share=0.0))
    clean, seen = pool.pairs(5, 4, lambda x: x, 32)
    assert torch.equal(clean, seen)  # no jitter
    assert torch.allclose(clean[:4], 1 - clean[4:])  # the twin of each state, mirrored alike
    jittered = FramePool([frames], [1.0], seed=3)
    one, other = jittered.pairs(5, 4, lambda x: x, 16), jittered.pairs(5, 4, lambda x: x, 16)
    assert all(torch.equal(a, b) for a, b in zip(one, other)) and one[0].shape == (8, 3, 16, 16)
    assert torch.equal(one[0][:4], one[0][4:]) and not torch.equal(one[1][:4], one[1][4:])
    assert not torch.equal(one[0], jittered.pairs(6, 4, lambda x: x, 16)[0])


def test_twins_are_read_frame_for_frame(videos, tmp_path):
    for i in range(4):
        write_video(tmp_path / f"{i}.mp4", 255 - squares(12, i), fps=10)
    read = read_folder(videos, size=32, every=2, most=100, held_out=0.25, tell=lambda text: None, twins=str(tmp_path))
    assert read.twins.shape == read.train.shape
    assert np.abs(read.twins.astype(int) - (255 - read.train.astype(int))).mean() < 12  # H.264 loses a little
    write_video(tmp_path / "0.mp4", squares(6), fps=10)
    write_video(tmp_path / "1.mp4", squares(6), fps=10)
    with pytest.raises(UserError, match="Film both again"):
        read_folder(videos, size=32, every=1, most=100, held_out=0.25, tell=lambda text: None, twins=str(tmp_path))


def test_training_learns_and_uses_its_codes():
    cfg = TrainDVAEConfig("v", "o", **{**CONFIG, "steps": 120, "batch": 8, "crop": 32})
    trainer = DVAETrainer(cfg, FramePool([squares(200)], [1.0], 0))
    values = [trainer.advance() for _ in range(cfg.steps)]
    assert float(values[cfg.start_steps - 1]["loss"]) < float(values[0]["loss"])
    frames = torch.from_numpy(squares(60, seed=9))
    scores = score_tokenizer(trainer.average, frames)
    assert scores["usage"] > 0.9 and scores["psnr"] > psnr_db(float(frames.float().var())) + 3


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    cfg, pool = TrainDVAEConfig("v", "o", **CONFIG), FramePool([squares(30)], [1.0], 0)
    whole, half = DVAETrainer(cfg, pool), DVAETrainer(cfg, pool)
    for _ in range(cfg.steps):
        whole.advance()
    for stop in (2, cfg.start_steps, cfg.start_steps + 2):  # in and between the phases
        while half.step < stop:
            half.advance()
        half.save(tmp_path / "r.pt", Settings.of(cfg, pool.sources))
        half = DVAETrainer(cfg, pool)
        half.load(tmp_path / "r.pt", Settings.of(cfg, pool.sources))
    while half.step < cfg.steps:
        half.advance()
    assert half.average.fingerprint() == whole.average.fingerprint()


def test_bfloat16_trains_float32_weights_and_learns_as_float32_does():
    nll = {}
    for precision in ("float32", "bfloat16"):
        trainer = DVAETrainer(
            TrainDVAEConfig("v", "o", precision=precision, **CONFIG), FramePool([squares(30)], [1.0], 0)
        )
        nll[precision] = [float(trainer.advance()["loss"]) for _ in range(12)]
        assert all(p.dtype == torch.float32 for p in trainer.dvae.parameters())
    assert np.allclose(nll["float32"][:4], nll["bfloat16"][:4], atol=0.1)  # before codes are chosen


def test_the_command_saves_a_model_with_its_scores_and_picture(videos, tmp_path):
    cfg = TrainDVAEConfig(videos, str(tmp_path / "out"), more=videos, held_out=0.25, **CONFIG)
    scores = train_dvae(cfg)
    assert DVAE.load(tmp_path / "out").vocab_size == 32
    assert {"psnr", "psnr_block_mean", "codes_used", "usage", "perplexity"} <= set(scores) and scores["frames"] == 24
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "dvae.safetensors",
        "config.yaml",
        "log.jsonl",
        "metrics.json",
        "reconstructions.png",
    }


def test_resuming_something_else_is_refused(videos, tmp_path):
    cfg = TrainDVAEConfig(videos, str(tmp_path), **CONFIG)
    with pytest.raises(UserError, match="nothing to resume"):
        train_dvae(replace(cfg, resume=True))
    trainer = DVAETrainer(cfg, None)
    trainer.save(tmp_path / "resume.pt", Settings(Settings.of(cfg, []).values | {"lr": 1}, "another"))
    with pytest.raises(UserError, match="other settings: .*lr was 1 and is 0.003"):
        train_dvae(replace(cfg, resume=True))
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    del state["settings"]  # as older versions wrote it
    torch.save(state, tmp_path / "resume.pt")
    with pytest.raises(UserError, match="settings or frames was 'another'"):
        train_dvae(replace(cfg, resume=True))
    (tmp_path / "resume.pt").write_bytes(b"foreign")
    with pytest.raises(UserError, match="not a checkpoint"):
        train_dvae(replace(cfg, resume=True))


@pytest.mark.parametrize(
    "wrong",
    [
        dict(crop=20),
        dict(steps=0),
        dict(start_share=1.0),
        dict(preset="huge"),
        dict(lr=0.0),
        dict(precision="int8"),
        dict(consistency=-1.0),
        dict(whitening_floor=0.0),
    ],
)
def test_impossible_keys_are_refused(wrong):
    with pytest.raises(UserError):
        TrainDVAEConfig("v", "o", **wrong)


def test_a_loss_that_is_not_finite_stops_before_the_weights_change():
    trainer = DVAETrainer(TrainDVAEConfig("v", "o", **CONFIG), FramePool([squares(30)], [1.0], 0))
    with torch.no_grad():
        trainer.bottleneck.project.bias[0] = torch.nan
    before = {name: value.clone() for name, value in trainer.dvae.state_dict().items()}
    with pytest.raises(UserError, match="diverged: since step 1 the loss is nan .*smaller lr than"):
        trainer.advance()
    assert all(value.equal(before[name]) for name, value in trainer.dvae.state_dict().items()) and trainer.step == 0

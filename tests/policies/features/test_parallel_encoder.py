"""Encoding side by side gives the features of one process, and leaves nothing behind."""

import numpy as np
import pytest
import torch

import toto_robot
from policies.features.features import EncoderConfig, make_features
from toto_robot.features.folder import save_model
from toto_robot.ground.errors import UserError
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.tokens.dvae import DVAE, DVAEConfig


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    dvae = DVAE(DVAEConfig(vocab_size=32, n_hid=8, decoder_hid=8, n_init=8, n_blk_per_group=1))
    save_model(
        tmp_path / "model",
        Toto(TotoConfig(vocab_size=36, width=32, heads=2, layers=2, intermediate=32)),
        dvae,
        layer=1,
        pooling="grid",
    )
    return str(tmp_path / "model")


def test_two_processes_agree_with_one_and_end(model):
    frames = np.random.default_rng(0).integers(0, 256, (5, 128, 128, 3), dtype=np.uint8)
    config = EncoderConfig(name=model, dtype="float32")
    one, two = make_features(config), make_features(config, processes=2)
    try:
        assert (two.shape, two.fingerprint) == (one.shape, one.fingerprint)
        for n in (5, 1):
            np.testing.assert_allclose(two({"rgb": frames[:n]}).float(), one({"rgb": frames[:n]}).float(), atol=2e-3)
        tokens = two.tokens({"rgb": frames})
        assert torch.equal(tokens, one.tokens({"rgb": frames})) and two.encoder.reads_clips
        clips = tokens[torch.tensor([[0, 1], [1, 2], [3, 4]])]
        np.testing.assert_allclose(two.of_clips(clips).float(), one.of_clips(clips).float(), atol=2e-3)
    finally:
        processes = [worker.process for worker in two.encoder.workers]
        two.close()
        two.close()
    assert not any(p.is_alive() for p in processes)


def test_a_users_mistake_in_a_process_is_told_as_it_is_anywhere_else(model):
    two = make_features(EncoderConfig(name=model, dtype="float32"), processes=2)
    try:
        with pytest.raises(UserError, match="expected 128×128 pixels"):
            two.encoder(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))  # past the features' own check of the size
    finally:
        two.close()


def test_auto_keeps_the_arithmetic_that_was_used(model):
    features = make_features(EncoderConfig(name=model))
    assert features.config.dtype in ("float32", "bfloat16")
    assert (
        features.fingerprint == toto_robot.load_encoder(model, pooling="grid", dtype=features.config.dtype).fingerprint
    )

"""Any tokenizer opens by its name or path, and works wherever a dVAE works."""

import numpy as np
import pytest
import torch

import toto_robot
from toto_robot.features.encoder import load_encoder
from toto_robot.features.folder import read_folder, save_model
from toto_robot.ground.errors import UserError
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.tokens.base import Tokenizer, exact_float32
from toto_robot.tokens.dvae import DVAE
from toto_robot.tokens.store.build import TokenizeConfig, build_store
from toto_robot.tokens.store.token_store import TokenStore
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.tokens.vqgan import VQGAN, VQGANConfig
from toto_robot.video.decode import write_video


@pytest.fixture(scope="module")
def vqgan():
    torch.manual_seed(0)
    return VQGAN(
        VQGANConfig(
            vocab_size=16, embed_dim=4, z_channels=4, ch=32, ch_mult=(1, 1, 1, 1), num_res_blocks=1, attention=()
        )
    ).eval()


@pytest.mark.parametrize("kind", ["dvae", "vqgan"])
def test_every_kind_follows_the_protocol(small_dvae, vqgan, noise, kind):
    tokenizer = {"dvae": small_dvae, "vqgan": vqgan}[kind]
    assert isinstance(tokenizer, Tokenizer) and tokenizer.kind == kind and tokenizer.patch == 8
    rows, columns = tokenizer.grid(32)
    codes = tokenizer.encode(noise)
    assert codes.shape == (3, rows * columns) and codes.dtype == torch.int64
    assert codes.min() >= 0 and codes.max() < tokenizer.vocab_size == len(tokenizer.codebook())
    assert tokenizer.decode(codes).shape == noise.shape and tokenizer.decode(codes).dtype == torch.uint8
    low, high = tokenizer.pixel_range
    assert low < high and len(tokenizer.fingerprint()) == 64


def test_the_embedded_tokenizer_opens_by_name_with_the_fingerprint_that_stores_carry():
    tokenizer = load_tokenizer("toto_tiny")
    assert isinstance(tokenizer, DVAE)
    assert tokenizer.fingerprint() == "51e5df34851abcad9510e0c6e5139af10f0c310b189161054dc58b12a7f03af3"
    encoder = toto_robot.load_encoder("toto_tiny", pooling="grid")
    assert encoder.fingerprint == "edddacf5dde83f07a32356a196f1b7c320bfe895ad733b54e456fb785b9f8af4"


def test_what_does_not_exist_is_told_with_what_does(tmp_path):
    with pytest.raises(
        UserError, match="no tokenizer 'nobody'.*dvae.safetensors or vqgan.safetensors.*embedded ones.*toto_tiny"
    ):
        load_tokenizer("nobody")
    with pytest.raises(UserError, match="holds no weight file"):
        load_tokenizer(tmp_path)
    for name in ("a.pt", "b.pt"):
        torch.save({"x": torch.ones(1)}, tmp_path / name)
    with pytest.raises(UserError, match="holds a.pt, b.pt; expected one weight file"):
        load_tokenizer(tmp_path)
    with pytest.raises(UserError, match="a.pt holds no tokenizer that is known.*Its weights: x"):
        load_tokenizer(tmp_path / "a.pt")


def test_a_model_folder_with_a_vqgan_loads_and_its_fingerprint_follows_it(vqgan, tmp_path):
    torch.manual_seed(0)
    toto = Toto(TotoConfig(vocab_size=20, width=24, layers=2, heads=2, intermediate=32, init_std=0.2))
    save_model(tmp_path / "m", toto, vqgan, layer=1, pooling="mean", image_size=32)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "config.yaml",
        "toto.safetensors",
        "vqgan.safetensors",
    ]
    assert set(read_folder(tmp_path / "m").sha256) == {"toto.safetensors", "vqgan.safetensors"}
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    encoder = load_encoder(tmp_path / "m")
    assert isinstance(encoder.tokenizer, VQGAN) and encoder(frames).shape == (2, 24)
    assert load_encoder(f"{tmp_path / 'm'}:codes")(frames).shape == (2, 4)
    assert load_tokenizer(tmp_path / "m").fingerprint() == vqgan.fingerprint()
    with torch.no_grad():
        vqgan.quantize.embedding.weight[0] += 1
    save_model(tmp_path / "n", toto, vqgan, layer=1, pooling="mean", image_size=32)
    assert load_encoder(tmp_path / "n").fingerprint != encoder.fingerprint


def test_a_store_is_built_with_a_published_checkpoint(vqgan, tmp_path):
    torch.save({"state_dict": vqgan.state_dict()}, tmp_path / "last.ckpt")
    write_video(
        tmp_path / "videos/a.mp4", np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8), fps=30
    )
    build_store(
        TokenizeConfig(
            str(tmp_path / "videos"),
            str(tmp_path / "s"),
            str(tmp_path / "last.ckpt"),
            image_size=32,
            frames=2,
            hop_s=0.2,
            workers=1,
        )
    )
    store = TokenStore(tmp_path / "s")
    assert store.tokenizer == vqgan.fingerprint() and store[0].shape == (2, 16) and store.vocab_size == 16


def test_codes_are_computed_in_exact_float32_whatever_was_set_before():
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cpu", torch.bfloat16), exact_float32(torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "highest"
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")

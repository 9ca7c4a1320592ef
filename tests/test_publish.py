"""Publishing: the card names every real clip with its hash and licence, and refuses unknown ones."""

import json

import numpy as np
import pytest
import torch

import toto_robot
from toto_robot import publish
from toto_robot.features.folder import save_model
from toto_robot.ground.errors import UserError
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.tokens.dvae import DVAE, DVAEConfig
from toto_robot.video.decode import write_video


@pytest.fixture
def made(tmp_path, monkeypatch):
    torch.manual_seed(0)
    dvae = DVAE(DVAEConfig(vocab_size=32, n_hid=8, decoder_hid=8, n_init=8, n_blk_per_group=1))
    toto = Toto(TotoConfig(vocab_size=36, width=32, heads=2, layers=3, intermediate=32))
    save_model(tmp_path / "model", toto, dvae, layer=2, pooling="mean", notes={"steps": 7})
    score = {"frames": 3, "psnr": 20.0, "psnr_block_mean": 19.0, "usage": 0.95}
    (tmp_path / "metrics.json").write_text(json.dumps({**score, "sources": {"clips": score}}))
    for folder, name in (("clips", "a.mp4"), ("real/cater", "b.mp4")):
        (tmp_path / folder).mkdir(parents=True)
        write_video(tmp_path / folder / name, np.zeros((4, 64, 64, 3), np.uint8), fps=10)
    monkeypatch.setattr(publish, "WEIGHTS", tmp_path / "weights")
    return dict(
        model=str(tmp_path / "model"),
        name="small",
        tokenizer_metrics=str(tmp_path / "metrics.json"),
        rendered=str(tmp_path / "clips"),
        videos=str(tmp_path / "real"),
    )


def test_the_published_folder_loads_with_its_new_defaults_and_the_card_names_the_clips(made, tmp_path):
    out = publish.main(publish.PublishConfig(**made, layer=1, pooling="grid"))
    encoder = toto_robot.load_encoder(out["out"])
    assert (encoder.layer, encoder.pooling) == (1, "grid")
    card = (tmp_path / "weights/small/MODEL_CARD.md").read_text()
    assert "rohitgirdhar/CATER" in card and "Apache-2.0" in card and "b.mp4" in card and "95.0 %" in card
    assert publish.sha256(tmp_path / "real/cater/b.mp4")[:16] in card


def test_a_clip_of_unknown_licence_and_a_layer_that_is_not_there_are_refused(made, tmp_path):
    with pytest.raises(UserError, match="layers 1 to 3"):
        publish.main(publish.PublishConfig(**made, layer=4))
    (tmp_path / "real/cater").rename(tmp_path / "real/unknown")
    with pytest.raises(UserError, match="licence"):
        publish.main(publish.PublishConfig(**made))

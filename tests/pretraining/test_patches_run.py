"""Continuous patches, from a store to features."""

import numpy as np
import pytest

from toto_robot import load_encoder
from toto_robot.ground.errors import UserError
from toto_robot.pretraining.loop import pretrain
from toto_robot.tokens.store.token_store import write_index, write_shard
from toto_robot.tokens.tokenizer import load_tokenizer


def test_a_model_of_patches_learns_and_gives_features(config, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (1, 2, 1, 48), dtype=np.uint8).repeat(8, 2).repeat(4, 1)
    values = np.tile(values, (6, 1, 1, 1))[:, :8, :4]  # still clips of two pictures
    for name, kind in (("video", "video"), ("image", "image"), ("held_out", "video")):
        rows = [{"source": "a", "kind": kind, "first_s": 0.0, "last_s": 1.0}] * len(values)
        values[:, -1, -1, -1] ^= name == "held_out"  # a clip that training does not have, by one value
        write_shard(tmp_path / name, "0", values, rows, [])
        write_index(
            tmp_path / name,
            {
                "frames": 8,
                "tokens_per_frame": 4,
                "vocab_size": 48,
                "continuous": True,
                "tokenizer": load_tokenizer("patches:4").fingerprint(),
            },
            ["0"],
        )
    cfg = config(
        stores=[str(tmp_path / "video"), str(tmp_path / "image")],
        validation=[str(tmp_path / "held_out")],
        tokenizer="patches:4",
        out=str(tmp_path / "run"),
        steps=60,
    )
    result = pretrain(cfg)
    assert result["held_out"] < 0.5 and len(result["loss_by_frame"]) == 8  # 1 for the mean patch
    frames = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    assert load_encoder(tmp_path / "run" / "model")(frames).shape == (2, 16)
    assert load_encoder(f"{tmp_path / 'run' / 'model'}:codes")(frames).shape == (2, 48)
    with pytest.raises(UserError, match="Unknown gpt2 setting 'patches'"):
        pretrain(config(stores=cfg.stores, validation=[], tokenizer="patches:4", architecture="gpt2"))

"""The command that scores predictions of held-out clips."""

import json

import numpy as np
import pytest
import torch

from toto_robot.completion import CompletionConfig, main
from toto_robot.features.folder import save_model
from toto_robot.ground.errors import UserError
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.tokens.dvae import DVAE, DVAEConfig
from toto_robot.tokens.store.build import TokenizeConfig, build_store
from toto_robot.video.decode import write_video


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model folder for frames of 32 px, and a token store of moving squares."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("completion")
    dvae = DVAE(DVAEConfig(vocab_size=40, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1))
    save_model(path / "model", Toto(TotoConfig(44, 24, 2, 2, 32)), dvae, layer=1, pooling="mean", image_size=32)
    dvae.save(path / "dvae")
    (path / "videos").mkdir()
    for i in range(2):
        frames = np.full((40, 32, 32, 3), 90, np.uint8)
        for t, frame in enumerate(frames):
            frame[8:20, (3 * t + 5 * i) % 20 : (3 * t + 5 * i) % 20 + 10] = (200, 40, 40 * i)
        write_video(path / "videos" / f"{i}.mp4", frames, fps=15)
    build_store(
        TokenizeConfig(
            str(path / "videos"), str(path / "store"), tokenizer=str(path / "dvae"), image_size=32, workers=1
        )
    )
    return path


def test_the_command_writes_both_tables_and_one_line(made, tmp_path):
    found = main(
        CompletionConfig(
            str(made / "model"),
            str(made / "store"),
            table_from=str(made / "store"),
            given=2,
            frames=1,
            out=str(tmp_path),
        )
    )
    assert set(found["teacher-forced"]) == {"toto", "copy", "table"} and set(found["free-running"]) == {"toto", "copy"}
    assert found["teacher-forced"]["copy"]["accuracy_changed"] == 0
    assert (
        "changed blocks" in (tmp_path / "completion.md").read_text()
        and (tmp_path / "completion.png").stat().st_size > 5000
    )
    assert json.loads((tmp_path / "completion.json").read_text())["clips"] == found["clips"]


def test_another_tokenizers_store_is_refused(made, tmp_path):
    with pytest.raises(UserError, match="another tokenizer"):
        main(CompletionConfig("toto_tiny", str(made / "store")))


@pytest.mark.parametrize("keys,words", [(dict(rows=0), "at least 1"), (dict(given=15, frames=4), "has 16 frames")])
def test_a_users_mistake_is_one_sentence(made, keys, words):
    with pytest.raises(UserError, match=words):
        main(CompletionConfig(str(made / "model"), str(made / "store"), **keys))

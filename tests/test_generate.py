import numpy as np
import pytest
from PIL import Image

import toto_robot
from toto_robot.evaluation import completion
from toto_robot.evaluation.completion import complete, load_clip
from toto_robot.features.folder import save_model
from toto_robot.generate import GenerateConfig, main
from toto_robot.ground.errors import UserError
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.tokens.dvae import DVAE, DVAEConfig
from toto_robot.video.decode import iter_frames, read_frames, write_video
from toto_robot.video.sampling import clip_indices


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder for frames of 32 px: 16 tokens each."""
    path = tmp_path_factory.mktemp("small") / "model"
    dvae = DVAE(DVAEConfig(vocab_size=40, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1))
    toto = Toto(TotoConfig(vocab_size=44, width=24, layers=2, heads=2, intermediate=32))
    save_model(path, toto, dvae, layer=1, pooling="mean", image_size=32)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    frames = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", frames, fps=15)


def test_a_completion_keeps_the_given_frames_and_predicts_the_rest(model, video):
    encoder = toto_robot.load_encoder(model)
    clip = load_clip(video, 6, 32, 0.0)
    settings = dict(samples=2, temperature=1.0, top_p=0.9, seed=3)
    done, again = complete(encoder, clip, 2, **settings), complete(encoder, clip, 2, **settings)
    assert len(done.predicted) == 2 and all(sample.shape == clip.shape for sample in done.predicted)
    assert all(np.array_equal(sample[:2], done.tokens[:2]) for sample in done.predicted)
    assert all(np.array_equal(a, b) for a, b in zip(done.predicted, again.predicted))
    assert 0 <= done.accuracy < 1


def test_the_command_writes_a_video_and_a_sheet(model, video, tmp_path):
    result = main(GenerateConfig(clip=str(video), encoder=str(model), frames=2, total=5, out=str(tmp_path / "made")))
    assert read_frames(result["video"], 32)[0].shape[0] == 5
    rows = 2 + 2
    assert Image.open(result["picture"]).size == (5 * 36 + 4, rows * 36 - 4)
    assert result["given"] == 2 and result["predicted"] == 3


def test_a_long_video_is_read_no_further_than_the_clip(video, monkeypatch):
    whole = load_clip(video, 6, 32, 0.4)
    read = []

    def counted(path, size):
        for pair in iter_frames(path, size):
            read.append(pair[0])
            yield pair

    monkeypatch.setattr(completion, "iter_frames", counted)
    assert np.array_equal(load_clip(video, 6, 32, 0.4), whole) and 0.4 + 5 * 4 / 30 < read[-1] < 1.5 < 40 / 15
    pictures, times_s = read_frames(video, 32)
    late = times_s >= 0.4
    assert np.array_equal(whole, pictures[late][clip_indices(times_s[late], frames=6)[0]])


def test_mistakes_are_told_in_one_sentence(model, video, command_process):
    encoder = toto_robot.load_encoder(model)
    with pytest.raises(UserError, match="choose an earlier start"):
        load_clip(video, 16, 32, 2.0)
    with pytest.raises(UserError, match="frames must be from 1 to 5"):
        complete(encoder, load_clip(video, 6, 32, 0.0), 6, samples=1, temperature=1.0, top_p=0.9, seed=0)
    with pytest.raises(UserError, match="no Toto"):
        main(GenerateConfig(clip=str(video), encoder=f"{model}:codes"))
    process = command_process(video.parent, "toto_robot.generate", "no_such.mp4")
    assert process.returncode == 2 and "no_such.mp4" in process.stderr and "Traceback" not in process.stderr

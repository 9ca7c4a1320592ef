"""A set that no environment can simulate is played as it was recorded."""

import numpy as np
import pytest

from demos.convert import ConvertConfig
from demos.convert import main as convert
from demos.formats import diffusion_zarr
from demos.formats.source import Options
from demos.replay import ReplayConfig
from demos.replay import main as replay
from demos.viewing.film import BARS_PX, HEIGHT_PX, INK, frames_of
from tests.demos.foreign_sets import episode, make
from toto_robot.ground.errors import UserError
from toto_robot.video.decode import read_frames


@pytest.fixture
def imported(tmp_path):
    cameras = {"front": (24, 32), "wrist": (16, 16)}
    made = make([episode(np.random.default_rng(i), 4 + i, ("proprio",), cameras) for i in range(2)])
    made.attrs["env"] = "kitchen of someone else"
    diffusion_zarr.write(made, tmp_path / "theirs", Options())
    convert(ConvertConfig(str(tmp_path / "theirs"), str(tmp_path / "imported"), "zarr"))
    return tmp_path


@pytest.mark.parametrize("name", ["imported", "theirs"])
def test_pictures_and_actions_are_played_without_an_environment(imported, name, capsys):
    told = replay(ReplayConfig(str(imported / name), video=str(imported / "a.mp4")))
    assert (told["mode"], told["episodes"], told["steps"]) == ("pictures", 2, 9)
    assert sorted(told["cameras"]) == ["front", "wrist"] and "'kitchen of someone else'" in told["not_simulated"]
    assert "can't be simulated" in capsys.readouterr().err
    assert len(read_frames(imported / "a.mp4", 32)[0]) == 9
    with pytest.raises(UserError, match="mode=action: .*is not one of ours.*mode=pictures plays"):
        replay(ReplayConfig(str(imported / name), mode="action"))


def test_a_bar_shows_where_an_action_lies_in_its_range():
    class One:
        attrs, keys = {"action": {"low": [-1, -1, 0], "high": [1, 1, 0]}}, ("action",)

        def episode(self, i, keys=None):
            return {"action": np.array([[1.0, -1.0, 0.0]])}

    (frame,) = frames_of(One(), 0)
    strip = (frame[-BARS_PX:] == INK).all(-1)
    third = HEIGHT_PX // 3
    up, down, constant = (strip[:, at : at + third - 4] for at in (2, third + 2, 2 * third + 2))
    assert (
        up[:30].all() and not up[34:].any() and down[34:].all() and not down[:30].any() and constant.sum(0).max() <= 1
    )

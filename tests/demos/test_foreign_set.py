"""Sets of other formats are read without a copy, like our own store."""

import numpy as np
import pytest
from foreign_sets import SHARED, episode, make

from demos.errors import DemoError
from demos.formats import lerobot_v3, native
from demos.formats.foreign_set import ForeignSet, open_set
from demos.formats.source import Options
from demos.store.demo_set import DemoSet

pytest.importorskip("pyarrow", reason="pyarrow is an extra: pip install pyarrow")


def written(path, **more):
    made = make([episode(np.random.default_rng(i), 3 + i, ("proprio", "reward"), **more) for i in range(3)])
    lerobot_v3.write(made, path, Options())
    return made


def test_a_foreign_set_reads_like_the_store_that_it_would_become(tmp_path):
    made = written(tmp_path / "lerobot")
    native.write(made, tmp_path / "ours", Options())
    foreign, ours = open_set(tmp_path / "lerobot"), open_set(str(tmp_path / "ours"))
    assert isinstance(foreign, ForeignSet) and isinstance(ours, DemoSet)
    assert set(foreign.keys) == set(ours.keys) and foreign.episodes == ours.episodes == 3
    assert foreign.lengths.tolist() == ours.lengths.tolist() == [3, 4, 5]
    assert foreign.meta("seed").tolist() == ours.meta("seed").tolist()
    for i in (0, 2, 1, 1, 2):  # forwards and back
        for key, value in ours.episode(i).items():
            np.testing.assert_array_equal(foreign.episode(i)[key], value, err_msg=key)
    assert list(foreign.episode(1, ["action"])) == ["action"]


def test_mistakes_are_one_sentence(tmp_path):
    written(tmp_path / "lerobot")
    foreign = open_set(tmp_path / "lerobot")
    with pytest.raises(DemoError, match="no episode 3; there are: 0 to 2"):
        foreign.episode(3)
    with pytest.raises(DemoError, match="'rgb_top'.*rgb_wrist"):
        foreign.episode(0, ["rgb_top"])
    for nothing in ("none", "lerobot/meta"):
        with pytest.raises(DemoError, match="demos.record"):
            open_set(tmp_path / nothing)


@pytest.mark.skipif(not (SHARED / "g1_inspire_lerobot_v21").is_dir(), reason="no ../shared/data/robot")
def test_a_real_part_of_a_humanoids_set_is_opened_as_it_is():
    demos = open_set(SHARED / "g1_inspire_lerobot_v21")
    assert demos.episodes == 5 and demos.lengths.sum() == 1346 and "rgb_cam_high" in demos.keys
    assert demos.episode(1, ["action"])["action"].shape[1] == 26

"""A number that is not finite is found at import, in every format, with episode, step and column."""

import numpy as np
import pytest
from foreign_sets import episode, make, write_rpt

from demos.convert import ConvertConfig
from demos.convert import main as convert
from demos.errors import DemoError
from demos.formats import diffusion_zarr, lerobot_v3, robomimic_hdf5
from demos.formats.source import Options
from demos.store.demo_set import DemoSet

FORMATS = {"l": lerobot_v3, "r.hdf5": robomimic_hdf5, "d": diffusion_zarr}


def damaged(key="proprio", value=np.nan):
    """Three episodes; the one in the middle has a number that is not finite at step 2, column 1."""
    episodes = [episode(np.random.default_rng(i), 5, ("proprio", "reward"), {}) for i in range(3)]
    episodes[1][key].reshape(5, -1)[2, -1] = value
    return make(episodes, metas=[{"task": t} for t in ("a", "b", "c")], episode_tasks=["a", "b", "c"])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("key, where", [("proprio", "proprio.4"), ("action", "d.2"), ("reward", "reward")])
def test_a_number_that_is_not_finite_is_refused_with_its_place(tmp_path, name, key, where):
    pytest.importorskip("h5py"), pytest.importorskip("pyarrow")
    FORMATS[name].write(damaged(key), tmp_path / name, Options())
    cfg = ConvertConfig(str(tmp_path / name), str(tmp_path / "out"), "zarr")
    with pytest.raises(DemoError, match=f"episode 1, step 2: {key} ?.*is nan; .*1 of 3 .*drop_episodes=bad") as error:
        convert(cfg)
    assert where in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bad_episodes_are_left_out_on_request_and_named(tmp_path, value):
    diffusion_zarr.write(damaged(value=value), tmp_path / "d", Options())
    result = convert(ConvertConfig(str(tmp_path / "d"), str(tmp_path / "out"), "zarr", drop_episodes="bad"))
    assert result["episodes"] == 2 and result["facts"]["dropped_episodes"] == [1]
    assert any(entry["what"] == "episode 1" and "step 2" in entry["why"] for entry in result["dropped"])
    made = DemoSet(tmp_path / "out")
    assert made.attrs["episode_tasks"] == ["a", "c"] and np.isfinite(made.episode(1)["proprio"]).all()


def test_a_set_of_nothing_but_bad_episodes_is_refused(tmp_path):
    bad = episode(np.random.default_rng(0), 5, (), {})
    bad["action"][:] = np.nan
    diffusion_zarr.write(make([bad]), tmp_path / "d", Options())
    with pytest.raises(DemoError, match="1 of 1 episodes .*repair the recording"):
        convert(ConvertConfig(str(tmp_path / "d"), str(tmp_path / "out"), "zarr", drop_episodes="bad"))


def test_rlds_numbers_are_checked_before_anything_is_computed_from_them(tmp_path):
    pictures = [b"\x89PNG"] * 3
    q = np.zeros((3, 7))
    q[1, 4] = np.nan
    write_rpt(tmp_path / "set", [{"q": q, "grip": [1, 1, 0], "task": "t", "size": (8, 8), "image": pictures[:0]}])
    with pytest.raises(DemoError, match="episode 0, step 0: action column 4 is nan|step 0: action action.4 is nan"):
        convert(ConvertConfig(str(tmp_path / "set"), str(tmp_path / "out"), "zarr"))

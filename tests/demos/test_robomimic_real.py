"""Our exports, loaded by robomimic 0.3.0 itself (`make compat`)."""

import subprocess
import sys

import numpy as np
import pytest
from foreign_sets import episode, make

pytest.importorskip("robomimic", reason="robomimic is not installed; `make compat` runs this")
pytest.importorskip("h5py")

from robomimic.utils import obs_utils
from robomimic.utils.dataset import SequenceDataset

from demos.formats import robomimic_hdf5
from demos.formats.source import Options, indexed


@pytest.fixture
def exported(tmp_path):
    rng = np.random.default_rng(0)
    episodes = [episode(rng, n, proprio=6) for n in (8, 11, 4)]
    robomimic_hdf5.write(
        make(episodes, indexed("joint_pos", 4) + indexed("joint_vel", 2)), tmp_path / "set.hdf5", Options()
    )
    return episodes, tmp_path / "set.hdf5"


def test_robomimic_reads_what_was_exported(exported):
    episodes, path = exported
    obs_utils.initialize_obs_utils_with_obs_specs(
        {"obs": {"low_dim": ["joint_pos", "joint_vel"], "rgb": ["wrist_image"]}}
    )
    loaded = SequenceDataset(
        str(path),
        obs_keys=("joint_pos", "joint_vel", "wrist_image"),
        dataset_keys=("actions", "rewards", "dones"),
        frame_stack=1,
        seq_length=3,
        pad_seq_length=True,
        get_pad_mask=True,
        goal_mode=None,
        hdf5_cache_mode=None,
        hdf5_use_swmr=True,
        load_next_obs=False,
    )
    assert (loaded.n_demos, len(loaded)) == (3, 23)
    at = 0
    for data in episodes:
        last = len(data["action"]) - 1
        for t in range(last + 1):
            steps, item = np.minimum(t + np.arange(3), last), loaded[at]
            np.testing.assert_array_equal(item["actions"], data["action"][steps])
            np.testing.assert_array_equal(item["rewards"], data["reward"][steps])
            assert item["dones"].tolist() == [int(step == last) for step in steps]
            state = np.concatenate([item["obs"]["joint_pos"], item["obs"]["joint_vel"]], 1)
            np.testing.assert_array_equal(state, data["proprio"][steps])
            np.testing.assert_array_equal(item["obs"]["wrist_image"], data["rgb_wrist"][steps])
            at += 1


def test_its_own_check_of_a_data_set_passes(exported):
    _, path = exported
    done = subprocess.run(
        [sys.executable, "-m", "robomimic.scripts.get_dataset_info", "--dataset", str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "total transitions: 23" in done.stdout and "total trajectories: 3" in done.stdout

from pathlib import Path

import numpy as np
import pytest
import torch

from policies.features.feature_rows import FeatureRows
from toto_robot.ground.errors import UserError


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8, torch.float32])
def test_rows_on_disk_are_the_rows_in_memory(dtype, tmp_path):
    values = (100 * torch.rand(50, 3, 4)).to(dtype)
    memory, disk = FeatureRows.of(values), FeatureRows(50, (3, 4), dtype, 1e-9, tmp_path)
    assert disk.on_disk and not memory.on_disk and not list(tmp_path.iterdir())  # the file has no name
    for start in (30, 0, 10):
        disk.put(start, values[start : start + 20])
    rng = np.random.default_rng(0)
    windows = torch.arange(20)[:, None] + torch.arange(5)
    for rows in (torch.from_numpy(rng.integers(50, size=64)), windows, torch.tensor([49]), torch.zeros(4, 0).long()):
        assert torch.equal(disk.take(rows), memory.take(rows)) and torch.equal(memory.take(rows), values[rows])
        assert disk.take(rows).dtype == dtype


def test_features_of_no_size_need_no_file():
    assert FeatureRows(10, (0,), torch.float16, 0.0, None).take(torch.arange(3)).shape == (3, 0)


def test_a_folder_that_can_not_hold_the_rows_says_what_to_give(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give cache=ANOTHER_FOLDER"):
        FeatureRows(10, (4,), torch.float16, 0.0, tmp_path / "file")
    assert Path(tmp_path / "file").read_text() == ""

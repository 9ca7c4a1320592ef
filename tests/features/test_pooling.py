import pytest
import torch

from toto_robot.features.pooling import POOLINGS, feature_shape, pool
from toto_robot.ground.errors import UserError


def tokens(B=2, F=1, grid=8, D=3):
    return torch.randn(B, F * grid * grid, D, generator=torch.Generator().manual_seed(0))


def test_a_grid_cell_is_the_mean_of_its_tokens_in_raster_order():
    x = tokens()
    cells = pool(x, "grid", 8)
    picture = x.view(2, 8, 8, 3)
    assert cells.shape == (2, 16, 3)
    torch.testing.assert_close(cells[:, 1], picture[:, 0:2, 2:4].mean(dim=(1, 2)))
    torch.testing.assert_close(cells[:, 4], picture[:, 2:4, 0:2].mean(dim=(1, 2)))


def test_the_mean_is_the_mean_of_the_cells():
    torch.testing.assert_close(pool(tokens(), "mean", 8), pool(tokens(), "attention", 8).mean(dim=1))


def test_a_clips_cells_are_its_frames_cells_in_order():
    x = tokens(F=3)
    each = [pool(frame, "grid", 8) for frame in x.split(64, dim=1)]
    torch.testing.assert_close(pool(x, "grid", 8), torch.cat(each, dim=1))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_features_are_float32_and_have_the_promised_shape(pooling):
    out = pool(tokens().bfloat16(), pooling, 8)
    assert out.dtype == torch.float32 and tuple(out.shape[1:]) == feature_shape(pooling, 3, 8)


def test_an_unknown_pooling_lists_the_poolings():
    for call in (lambda: pool(tokens(), "max", 8), lambda: feature_shape("max", 3, 8)):
        with pytest.raises(UserError, match="attention, grid, mean, none"):
            call()

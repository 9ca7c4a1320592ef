"""mean_pixels: the colours of blocks, and nothing that was learned."""

import numpy as np
import pytest

from toto_robot import load_encoder
from toto_robot.ground.errors import UserError


def test_each_cell_holds_the_colours_of_its_own_blocks():
    frame = np.zeros((2, 128, 128, 3), np.uint8)
    frame[1, 40:48, 72:80] = (255, 51, 0)  # block row 5, column 9: cell row 1, column 2; inside it row 1, column 1
    features = load_encoder("mean_pixels")(frame).numpy()
    assert features.shape == (2, 16, 48) and not features[0].any()
    cell = features[1, 4 * 1 + 2].reshape(4, 4, 3)
    assert np.allclose(cell[1, 1], (1.0, 0.2, 0.0))
    assert features[1].sum() == pytest.approx(1.2)


def test_it_has_no_layer_and_no_other_pooling():
    with pytest.raises(UserError, match="no layers"):
        load_encoder("mean_pixels", layer=3)
    with pytest.raises(UserError, match="grid or attention"):
        load_encoder("mean_pixels", pooling="cls")

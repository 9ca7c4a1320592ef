import numpy as np
import pytest

from toto_robot.ground.errors import UserError
from toto_robot.ground.finite import check_loss, first_not_finite


def test_the_first_number_that_is_not_finite_is_named_with_step_and_column():
    q = np.zeros((5, 3), np.float32)
    columns = {"reward": np.zeros(5), "count": np.arange(5), "proprio": q}
    assert first_not_finite(columns) is None
    q[4, 0], q[3, 2] = np.inf, np.nan
    assert first_not_finite(columns) == "step 3: proprio column 2 is nan"
    assert first_not_finite(columns, {"proprio": ["a", "b", "c"]}) == "step 3: proprio c is nan"
    assert first_not_finite(columns, {"proprio": ["a"]}) == "step 3: proprio column 2 is nan"
    assert first_not_finite({"reward": np.array([0, -np.inf])}) == "step 1: reward is -inf"


def test_a_loss_that_is_not_finite_is_one_sentence_that_says_since_when():
    check_loss("step 3", "", loss=1.0, gradient_norm=0.0)
    with pytest.raises(UserError, match="since step 3 the gradient norm is inf. The last checkpoint .* smaller lr."):
        check_loss("step 3", "Take a smaller lr.", loss=1.0, gradient_norm=float("inf"))

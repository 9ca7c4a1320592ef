import pytest
import torch

from toto_robot.errors import UserError
from toto_robot.models.presets import PRESETS, preset
from toto_robot.models.toto import Toto


@pytest.mark.parametrize(
    "name, untied, tied, paper",
    [
        ("base", 125_854_464, 119_559_936, 120e6),
        ("large", 285_254_656, 276_861_952, 280e6),
        ("1b", 1_164_027_904, 1_147_242_496, 1.1e9),
    ],
)
def test_parameter_counts_are_the_papers(name, untied, tied, paper):
    with torch.device("meta"):
        assert Toto(preset(name, 8196)).num_parameters == untied
        assert Toto(preset(name, 8196, tied=True)).num_parameters == tied
    assert abs(untied - paper) / paper < 0.06 and abs(tied - paper) / paper < 0.06


def test_tiny_has_at_least_6_layers_and_width_192_and_its_count():
    config = preset("tiny", 1028)
    assert config.layers >= 6 and config.width >= 192
    assert Toto(config).num_parameters == 3_051_456


def test_an_unknown_size_lists_the_sizes():
    with pytest.raises(UserError, match=", ".join(PRESETS)):
        preset("huge", 8196)

import pytest
import torch

from toto_robot.ground.errors import UserError
from toto_robot.models.presets import ARCHITECTURES, PRESETS, build, preset, read_config
from toto_robot.models.toto import TotoConfig


def parameters(*args, **changes) -> int:
    with torch.device("meta"):
        return build(preset(*args, **changes)).num_parameters


@pytest.mark.parametrize(
    "name, untied, tied, paper, place",
    [
        ("base", 125_854_464, 119_559_936, 120e6, 1e7),
        ("large", 285_254_656, 276_861_952, 280e6, 1e7),
        ("1b", 1_164_027_904, 1_147_242_496, 1.1e9, 1e8),
    ],
)
def test_parameter_counts_round_to_the_papers(name, untied, tied, paper, place):
    assert parameters(name, 8196) == untied
    assert parameters(name, 8196, tied=True) == tied
    assert round(tied / place) * place == paper


@pytest.mark.parametrize("name", ["tiny", "base", "large", "1b"])
def test_every_architectures_size_of_a_name_has_totos_parameters_within_2_percent(name):
    """A larger vocabulary adds the same to each."""
    toto = parameters(name, 1028)
    for architecture in ("gpt2", "mamba"):
        assert abs(parameters(name, 1028, architecture) - toto) < 0.02 * toto
        assert preset(name, 1028, architecture).width == preset(name, 1028).width


def test_tiny_has_at_least_6_layers_and_width_192_and_its_count():
    config = preset("tiny", 1028)
    assert config.layers >= 6 and config.width >= 192
    assert parameters("tiny", 1028) == 3_051_456


def test_a1_to_a6_grow_linearly_with_constant_heads_and_one_base_width():
    family = [preset(f"a{n}", 16_388) for n in range(1, 7)]
    for n, config in enumerate(family, start=1):
        assert (config.width, config.layers, config.intermediate) == (n * 256, n * 2, n * 1024)
        assert config.heads == family[0].heads and config.mup_base_width == family[0].width


def test_a1_to_a6_have_the_compute_of_the_papers_curves():
    compute = [parameters(f"a{n}", 16_388) - 16_388 * 256 * n for n in range(1, 7)]  # embeddings aren't multiplied
    for n, macs in {2: 1.1e14, 3: 2.8e14, 4: 5.8e14, 6: 2.3e15}.items():
        assert abs(compute[n - 1] / compute[0] / (macs / 2.6e13) - 1) < 0.15


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_is_built_again_from_its_plain_values(architecture):
    config = preset("tiny", 70, architecture, layers=1)
    assert read_config(config.to_dict()) == config
    model = build(config.to_dict())
    assert model.config == config and type(model) is type(build(config))


def test_values_without_an_architecture_are_totos_and_what_is_off_does_not_show():
    values = {"vocab_size": 9, "width": 8, "layers": 1, "heads": 1, "intermediate": 8}
    assert isinstance(read_config(values), TotoConfig)
    known = {*values, "rope_theta", "norm_eps", "tied", "init_std"}
    assert set(read_config(values).to_dict()) == known
    on = TotoConfig(**values, mup_base_width=4, patches=True)
    assert set(on.to_dict()) == known | {"mup_base_width", "patches"} and read_config(on.to_dict()) == on


def test_an_unknown_name_lists_what_exists():
    with pytest.raises(UserError, match=", ".join(sorted(PRESETS["toto"]))):
        preset("huge", 8196)
    with pytest.raises(UserError, match="gpt2, mamba, toto"):
        preset("tiny", 8196, "rwkv")
    with pytest.raises(UserError, match="gpt2, mamba, toto"):
        build({"architecture": "rwkv"})
    with pytest.raises(UserError, match="Unknown mamba setting 'heads'.*What exists: conv"):
        preset("tiny", 8196, "mamba", heads=3)

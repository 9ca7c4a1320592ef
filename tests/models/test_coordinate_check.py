import pytest

from toto_robot.models.coordinate_check import coordinate_check, draw_coordinate_check, exponents
from toto_robot.models.gpt2 import GPT2Config
from toto_robot.models.toto import TotoConfig

CONFIGS = {
    "toto": TotoConfig(vocab_size=61, width=32, layers=2, heads=2, intermediate=96),
    "gpt2": GPT2Config(vocab_size=61, width=32, layers=2, heads=2, intermediate=128),
}


@pytest.mark.parametrize("architecture", CONFIGS)
def test_with_muP_what_training_changes_does_not_grow_and_without_it_does_with_the_width(architecture, tmp_path):
    check = coordinate_check(CONFIGS[architecture], (32, 64, 128, 256), steps=5, seeds=1, tokens=24)
    assert list(check["with muP"]["block 1"]) == [32, 64, 128, 256]
    assert check["with muP"]["logits"][32] == check["without muP"]["logits"][32]
    with_mup, without = exponents(check["with muP"]), exponents(check["without muP"])
    assert all(-0.45 < exponent < 0.1 for exponent in with_mup.values()), with_mup
    assert all(exponent > 0.5 for exponent in without.values()), without
    draw_coordinate_check(check, tmp_path / "check.png")
    assert (tmp_path / "check.png").read_bytes().startswith(b"\x89PNG")


def test_the_exponent_is_the_power_of_the_width_after_the_last_step():
    check = {"a": {w: [1.0, 3.0 * w**1.5] for w in (8, 16, 64)}, "b": {w: [float(w), 2.0] for w in (8, 16)}}
    assert exponents(check) == pytest.approx({"a": 1.5, "b": 0.0}, abs=1e-5)

"""The looks table's command: its states are paired, and it reports the effect of another look."""

import json

import numpy as np
import pytest

from toto_robot.features.encoder import WEIGHTS
from toto_robot.ground.errors import UserError
from toto_robot.looks import EXPOSURES, STEPS, LooksConfig, main, measured_states, training_states
from toto_robot.tokens.tokenizer import load_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def measured():
    return measured_states("franka_pick", 2)


def test_every_look_shows_the_same_states(measured):
    """The labels come from the state alone, and two drawings of the set are equal bit for bit."""
    again = measured_states("franka_pick", 2)
    assert {len(frames) for frames in measured.frames.values()} == {2 * len(STEPS)}
    np.testing.assert_array_equal(measured.position_m, again.position_m)
    for look, frames in measured.frames.items():
        np.testing.assert_array_equal(frames, again.frames[look])
    assert measured.step.tolist() == list(STEPS) * 2


def test_every_look_changes_the_pixels_and_an_exposure_multiplies_them(measured):
    nominal = measured.frames["nominal"].astype(int)
    for look, frames in measured.frames.items():
        assert look == "nominal" or np.abs(frames - nominal).mean() > 1
    for gain in EXPOSURES:
        brighter = measured.frames[f"exposure ×{gain}"].astype(int)
        assert np.abs(brighter - np.clip(nominal * gain, 0, 255)).max() <= 1


def test_training_and_measured_episodes_are_different(measured):
    train = training_states("franka_pick", 8)
    assert not set(train.episode) & set(measured.episode)
    assert {"nominal", "random 0", "random 1", "random 2"} == set(train.frames)


def test_the_command_writes_tables_a_picture_and_one_line(tmp_path):
    found = main(LooksConfig(train=8, test=3, out=str(tmp_path), threads=1))
    assert set(found["codes_changed"]) >= {"exposure ×1.05", "colour", "light", "noise", "camera", "all", "random"}
    assert 0 < found["codes_changed"]["exposure ×1.02"] < found["codes_changed"]["colour"] <= 1
    assert set(found["probe_from_random_mm"]) >= {
        "mean pixels",
        "tokenizer hidden",
        "codes",
        "toto 3",
        "random weights 3",
    }
    written = json.loads((tmp_path / "looks.json").read_text())
    assert written["tokenizer"] == found["tokenizer"] and (tmp_path / "looks.png").stat().st_size > 10_000
    assert "two states" in (tmp_path / "looks.md").read_text()


@pytest.mark.parametrize("keys,words", [({"train": 4}, "train >= 8"), ({"test": 1}, "test >= 2")])
def test_a_users_mistake_is_one_sentence(keys, words):
    with pytest.raises(UserError, match=words):
        LooksConfig(**keys)


def test_a_tokenizer_alone_has_codes_and_no_transformer(tmp_path):
    load_tokenizer(WEIGHTS / "toto_tiny").save(tmp_path / "dvae")
    found = main(LooksConfig(encoder=str(tmp_path / "dvae"), train=8, test=2, out=str(tmp_path / "out"), threads=1))
    assert set(found["probe_from_random_mm"]) == {"mean pixels", "tokenizer hidden", "codes"}


def test_what_has_no_codes_is_refused():
    with pytest.raises(UserError, match="has no codes"):
        main(LooksConfig(encoder="vit_small_random", train=8, test=2))

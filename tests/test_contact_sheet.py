"""The contact sheet: a row for each environment that the expert knows, from the first frame to the last."""

import numpy as np
import pytest
from PIL import Image

import envs
from policies.experts import choose as labelling
from toto_robot.contact_sheet import BORDER, LABEL, ContactSheetConfig, episode, main
from toto_robot.ground.errors import UserError


def test_a_row_begins_with_the_reset_and_ends_with_success():
    cfg = ContactSheetConfig(moments=3, size=64)
    tiles, outcome = episode("franka_reach", cfg)
    env = envs.make("franka_reach", image_size=64)
    np.testing.assert_array_equal(
        tiles[0][BORDER : 64 + BORDER, 2 * BORDER : 64 + 2 * BORDER], env.reset(seed=0)[0]["rgb"]
    )
    assert len(tiles) == 3 and outcome.startswith("success after")
    red, green, blue = tiles[-1][0, BORDER].astype(int)
    assert green > red and green > blue and len(set(tiles[0][0, BORDER])) == 1  # a green border, and a grey one


def test_environments_without_an_expert_are_named_and_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(envs, "names", lambda: ["franka_reach", "kuka_reach", "franka_reach_pixmc"])
    monkeypatch.setitem(labelling.SCRIPTED, "allegro", {})
    out = tmp_path / "deep" / "sheet.png"
    result = main(ContactSheetConfig(out=str(out), moments=2, size=64))
    assert result["envs"] == ["franka_reach"] and "does not exist for kuka_reach" in result["left_out"]["kuka_reach"]
    assert Image.open(out).size == (2 * (64 + 4 * BORDER), LABEL + 2 * 64 + 5 * BORDER)
    with pytest.raises(envs.EnvError, match="does not exist for kuka_reach"):
        main(ContactSheetConfig(out=str(out), envs=["kuka_reach"]))


@pytest.mark.parametrize("keys,words", [({"moments": 1}, "at least 2"), ({"out": "x.jpg"}, r"\.png")])
def test_a_users_mistake_is_one_sentence(keys, words):
    with pytest.raises(UserError, match=words):
        ContactSheetConfig(**keys)


def test_an_unknown_environment_is_refused_with_what_exists():
    with pytest.raises(UserError, match="franka_pik.*franka_pick"):
        main(ContactSheetConfig(envs=["franka_pik"]))

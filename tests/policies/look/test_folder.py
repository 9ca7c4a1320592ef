"""The statistics are in the policy's folder completely or not at all, and an old folder works without them."""

import pytest
import torch
import yaml
from looks import CodeEncoder, encoder_features, pictures, rows

import policies
from policies.look import TrainingLook
from policies.look.folder import LOOK_FILE, add_look
from policies.network.heads import HeadConfig
from policies.policy import Policy
from toto_robot.ground.errors import UserError


@pytest.fixture(scope="module")
def kept():
    return TrainingLook.fit(rows(pictures(60)))


def saved(folder, look):
    torch.manual_seed(0)
    policy = Policy.create(encoder_features(), "toy", 5, 4, HeadConfig(16, 16, [16], attention_heads=2))
    policy.look = look
    policy.save(folder)
    return folder


def load(folder):
    return policies.load(folder, encoder=CodeEncoder())


def test_a_saved_look_judges_the_same_after_loading(tmp_path, kept):
    loaded = load(saved(tmp_path / "p", kept)).look
    frames = pictures(4, seed=9)
    assert loaded.look_at(encoder_features(), frames) == kept.look_at(encoder_features(), frames)
    assert (loaded.frames, loaded.episodes) == (60, 8)


def test_a_folder_without_one_loads(tmp_path):
    folder = saved(tmp_path / "p", None)
    assert load(folder).look is None and not (folder / LOOK_FILE).exists()
    assert yaml.safe_load((folder / "policy.yaml").read_text())["look"] is None


def test_it_can_be_added_and_nothing_else_changes(tmp_path, kept):
    folder = saved(tmp_path / "p", None)
    (folder / "MODEL_CARD.md").write_text("card")
    weights, about = (folder / "policy.safetensors").read_bytes(), yaml.safe_load((folder / "policy.yaml").read_text())
    for _ in range(2):  # a second time replaces it
        add_look(kept, folder)
    assert load(folder).look.frames == 60 and (folder / "MODEL_CARD.md").read_text() == "card"
    assert (folder / "policy.safetensors").read_bytes() == weights
    now = yaml.safe_load((folder / "policy.yaml").read_text())
    now.pop("look")
    about.pop("look", None)
    assert now == about


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f / LOOK_FILE).unlink(),
        lambda f: (f / LOOK_FILE).write_bytes((f / LOOK_FILE).read_bytes()[:-9]),
        lambda f: (f / LOOK_FILE).write_bytes((f / LOOK_FILE).read_bytes()[:-1] + b"\x7f"),
        lambda f: (f / LOOK_FILE).write_bytes(b""),
        lambda f: edit(f, "sha256", "0"),
        lambda f: edit(f, "frames", "many"),
        lambda f: edit(f, "more", 1),
        lambda f: edit(f, "episodes", 0),
    ],
)
def test_a_damaged_one_is_a_users_error(tmp_path, kept, spoil):
    folder = saved(tmp_path / "p", kept)
    spoil(folder)
    with pytest.raises(UserError, match="look"):
        load(folder)


def edit(folder, key, value):
    about = yaml.safe_load((folder / "policy.yaml").read_text())
    about["look"][key] = value
    (folder / "policy.yaml").write_text(yaml.safe_dump(about))


def test_the_shipped_policy_has_one():
    about = policies.policy.describe("bc_cube")
    assert about["look"]["frames"] == 1000 and about["look"]["episodes"] == 290
    assert {"exposure", "colour", "sharpness", "noise", "features", "codes"} == set(policies.load("bc_cube").look.units)

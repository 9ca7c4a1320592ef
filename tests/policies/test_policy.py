import numpy as np
import pytest
import torch
import yaml
from toy_world import ToyEncoder, ToyVec

import policies
from policies.features.features import EncoderConfig, EncoderFeatures, NoFeatures, PrivilegedFeatures, make_features
from policies.network.heads import HeadConfig
from policies.policy import Policy
from toto_robot.ground.errors import UserError

CONFIG = EncoderConfig("toy", pooling="attention")


def new(features=None):
    torch.manual_seed(0)
    features = features or EncoderFeatures(CONFIG, ToyEncoder())
    policy = Policy.create(features, "toy", 5, 4, HeadConfig(16, 16, [16], attention_heads=2), (-1,))
    policy.net.proprio.update(torch.randn(40, 5))
    policy.net.action.update(torch.randn(40, 4))
    for p in policy.net.head.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return policy


def observe(n=6):
    return ToyVec(n).reset(list(range(n)))


@pytest.mark.parametrize(
    "features",
    [None, NoFeatures(EncoderConfig("none")), PrivilegedFeatures(EncoderConfig("privileged"), 2)],
    ids=["encoder", "none", "privileged"],
)
def test_a_saved_policy_acts_the_same_after_loading(tmp_path, features):
    policy = new(features)
    policy.save(tmp_path / "p")
    encoder = ToyEncoder() if features is None else None
    loaded = policies.load(tmp_path / "p", encoder=encoder)
    obs = observe()
    actions = loaded.act(obs)
    assert np.array_equal(actions, policy.act(obs))
    assert actions.shape == (6, 4) and actions.dtype == np.float32 and np.abs(actions).max() <= 1
    assert loaded.env == "toy" and loaded.binary == (3,)


def test_acting_does_not_depend_on_who_else_is_in_the_batch():
    policy, obs = new(), observe()
    one = {k: v[2:3] for k, v in obs.items()}
    assert np.allclose(policy.act(obs)[2:3], policy.act(one), atol=1e-6)


def test_a_run_folder_and_a_runs_name_load_too():
    new().save("runs/first/policy")
    for name in ("runs/first", "first", "runs/first/policy"):
        assert policies.load(name, encoder=ToyEncoder()).env == "toy"


def test_a_missing_policy_lists_those_that_exist():
    new().save("runs/first/policy")
    with pytest.raises(UserError, match="runs/first/policy"):
        policies.load("nowhere")


def test_another_encoder_is_refused_by_both_fingerprints(tmp_path):
    new().save(tmp_path / "p")

    class Other(ToyEncoder):
        fingerprint = "toy-encoder-2"

    with pytest.raises(UserError, match="toy-encoder-1.*toy-encoder-2"):
        policies.load(tmp_path / "p", encoder=Other())


def test_truncated_foreign_and_edited_files_are_a_users_error_that_names_the_file(tmp_path):
    for name, spoil in {
        "policy.safetensors": [lambda b: b[: len(b) // 2], lambda b: b[:-1] + b"\x01", lambda b: b""],
        "policy.yaml": [
            lambda b: b"\xff\xfe",
            lambda b: b"[1, 2",
            lambda b: b"just text",
            lambda b: b.replace(b"format: 2", b"format: 9"),
            lambda b: b.replace(b"head:", b"hat:"),
            lambda b: b.replace(b"activation: selu", b"activation: nope"),
        ],
    }.items():
        for i, change in enumerate(spoil):
            folder = tmp_path / f"{name}-{i}"
            new().save(folder)
            (folder / name).write_bytes(change((folder / name).read_bytes()))
            with pytest.raises(UserError):
                policies.load(folder, encoder=ToyEncoder())


def test_a_description_never_runs_code(tmp_path):
    new().save(tmp_path / "p")
    (tmp_path / "p" / "policy.yaml").write_text("!!python/object/apply:os.mkdir ['ran']")
    with pytest.raises(UserError):
        policies.load(tmp_path / "p")
    assert not (tmp_path / "ran").exists()


def test_the_description_says_which_encoder_and_which_environment(tmp_path):
    new().save(tmp_path / "p")
    about = yaml.safe_load((tmp_path / "p" / "policy.yaml").read_text())
    assert about["env"] == "toy" and about["encoder_fingerprint"] == "toy-encoder-1"
    assert about["encoder"] == {"name": "toy", "layer": None, "pooling": "attention", "dtype": "auto", "crop": "none"}


def test_privileged_features_need_an_environment_that_has_them():
    with pytest.raises(UserError, match="no privileged state"):
        make_features(EncoderConfig("privileged"), privileged_dim=0)
    with pytest.raises(UserError, match="attention, cls, grid, mean"):
        EncoderConfig(pooling="max")
    with pytest.raises(UserError, match="centre, lower, none"):
        EncoderConfig(crop="top")


def test_an_embedded_policy_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr("policies.fit.folder.EMBEDDED", tmp_path / "weights")
    new().save(tmp_path / "weights" / "lifter")
    assert policies.load("lifter", encoder=ToyEncoder()).env == "toy"
    with pytest.raises(UserError, match="Embedded: lifter"):
        policies.load("nowhere")

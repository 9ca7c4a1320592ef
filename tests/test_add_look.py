"""Statistics of training pictures are added to a policy that has none, from its environment or from its set, or nothing
changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import envs
import policies
from demos.store import schema
from demos.store.demo_set import DemoWriter
from policies.features.features import EncoderConfig, make_features
from policies.fit.spec import spec_of
from policies.network.heads import HeadConfig
from policies.policy import Policy
from toto_robot import add_look
from toto_robot.add_look import AddLookConfig
from toto_robot.ground.errors import UserError

INTERFACE = envs.make("franka_cube", render=False).interface


def saved(folder, env="franka_cube", encoder="dvae_codes", camera="wrist"):
    features = make_features(EncoderConfig(encoder, pooling="mean"))
    interface = replace(INTERFACE, cameras=(replace(INTERFACE.cameras[0], name=camera),))
    spec = spec_of(interface, needs=features.needs, camera=camera)
    return Policy.create(features, env, 18, 8, HeadConfig(8, 8, [8], attention_heads=2), spec=spec).save(folder)


@pytest.fixture
def demos(tmp_path):
    """Three episodes of ten steps of a dark wrist camera and a bright one at the side."""
    rng, names = np.random.default_rng(0), list(INTERFACE.action.names)
    attrs = schema.attributes(
        env="theirs", control_hz=10.0, cameras={}, action={"names": names, "low": -1.0, "high": 1.0}
    )
    with DemoWriter(tmp_path / "set", attrs) as writer:
        for i in range(3):
            frames = {
                f"rgb_{name}": rng.integers(low, low + 60, (10, 128, 128, 3)).astype(np.uint8)
                for name, low in (("wrist", 20), ("side", 180))
            }
            writer.append(
                {"action": np.zeros((10, 8), np.float32), "proprio": np.zeros((10, 18), np.float32)} | frames,
                {"index": i},
            )
    return str(tmp_path / "set")


def grey(folder):
    """The mean grey level of the pictures that the policy's statistics are of."""
    return 255 * float(torch.exp(policies.load(folder).look.tensors["exposure.mean"][0]))


def test_a_policy_of_an_environment_gets_the_look_of_its_experts_episodes(tmp_path, capsys):
    folder = saved(tmp_path / "p")
    told = add_look.main(AddLookConfig(policy=str(folder), episodes=2))
    look = policies.load(folder).look
    assert (
        told["policy"] == str(folder) and told["episodes"] == look.episodes == 2 and told["frames"] == look.frames >= 20
    )
    assert told["units"] == {name: round(unit, 4) for name, unit in look.units.items()} and {
        "features",
        "codes",
    } <= set(told["units"])
    assert "2/2 episodes" in capsys.readouterr().err


@pytest.mark.parametrize(("of", "asked", "level"), [("side", None, 210), ("wrist", None, 50), ("wrist", "side", 210)])
def test_a_cloned_policy_gets_the_look_of_the_camera_that_it_sees(tmp_path, demos, of, asked, level):
    folder = saved(tmp_path / "p", env=None, camera=of)
    told = add_look.main(AddLookConfig(policy=str(folder), demos=demos, camera=asked))
    assert (told["frames"], told["episodes"]) == (30, 3)
    assert abs(grey(folder) - level) < 10


@pytest.mark.parametrize(
    ("made", "keys", "words"),
    [
        ({"encoder": "none"}, {}, "sees no pictures"),
        ({"env": None}, {}, "trained in no environment of ours. Give the set .* demos=SET"),
        ({"env": "panda_lift"}, {}, "panda_lift, which is not one of our environments"),
        ({}, {"demos": "set", "camera": "top"}, "Unknown camera 'top'.* side, wrist"),
        ({}, {"demos": "nowhere"}, "nowhere"),
        ({}, {"expert": "nobody"}, "nobody"),
    ],
)
def test_what_is_wrong_is_told_before_the_policy_is_loaded_and_its_folder_stays(
    tmp_path, demos, monkeypatch, made, keys, words
):
    folder = saved(tmp_path / "p", **made)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(policies, "load", lambda *a, **k: pytest.fail("the policy was loaded"))
    with pytest.raises(ValueError, match=words) as error:
        add_look.main(AddLookConfig(policy=str(folder), **keys))
    assert error.value.exit_code == 2 and {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(("keys", "words"), [({"appearance": "dark"}, "appearance"), ({"episodes": 1}, "at least 2")])
def test_keys_that_can_not_be_are_refused(keys, words):
    with pytest.raises(UserError, match=words):
        AddLookConfig(policy="p", **keys)

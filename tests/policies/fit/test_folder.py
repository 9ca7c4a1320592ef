import hashlib
import json
import os
import shutil
from dataclasses import replace

import pytest
import yaml

import envs
import policies
from policies.fit.folder import CONFIG, EMBEDDED, FORMAT, WEIGHTS, find, read_about
from policies.fit.rules import spec_of_folder
from policies.policy import inspect
from toto_robot.ground.errors import UserError

BASE = EMBEDDED / "bc_cube"


def variant(tmp_path, change=None, weights=None, text=None):
    """A copy of the embedded policy with something wrong in it."""
    shutil.copytree(BASE, folder := tmp_path / "p")
    values = yaml.safe_load((folder / CONFIG).read_text())
    if weights is not None:
        (folder / WEIGHTS).write_bytes(weights)
        values["sha256"] = hashlib.sha256(weights).hexdigest()
    if change:
        change(values)
    (folder / CONFIG).write_text(text or yaml.safe_dump(values))
    return folder


def huge(y):
    y["head"].update({k: 10**9 for k, v in y["head"].items() if type(v) is int})


def transformer(**sizes):
    def change(y):
        y["head"]["transformer"] = {"width": 8, "blocks": 1, "heads": 1} | sizes

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y.update({"_target_": "os.system"}), "Unknown key in .*: '_target_'"),
        (lambda y: y["head"].update({"_target_": "os.system"}), "Unknown key in .*head: '_target_'"),
        (lambda y: y["spec"].update(wings=2), "Unknown key in .*spec: 'wings'"),
        (lambda y: y["spec"].update(version=9), "version: expected 1, got 9"),
        (lambda y: y["spec"]["action"].update(low=[0.0] * 7), "expected 8 entries, one for each name, got 7"),
        (lambda y: y["spec"]["action"]["names"].pop(), "action.units: expected 7"),
        (lambda y: y.update(action_dim=9), "it names 18 numbers of proprioception and 8 actions"),
        (huge, "other sizes than policy.safetensors holds"),
        (lambda y: y["head"].update(hidden=[1] * 1000), "other sizes than|1000 layers"),
        (lambda y: y["head"].update(attention_heads=0), "head: "),
        (lambda y: y["head"].update(feature_dropout=7.0), "describes a network that can.t be made"),
        (transformer(blocks=10**9), "other sizes"),
        (transformer(context=10**12), "other sizes"),
        (transformer(mlp_ratio=1e300), "other sizes"),
        (transformer(), "another architecture"),
        (lambda y: y.update(proprio_dim="abc"), "whole number"),
        (lambda y: y.update(proprio_dim=-1), "at least 1"),
        (lambda y: y.update(proprio_dim=10**12, spec=None), "other sizes"),
        (lambda y: y.update(proprio_dim=19, spec=None), "another architecture"),
        (lambda y: y.update(binary_actions=[99]), "indices from 0 to 7"),
        (lambda y: y.update(binary_actions=[7, 7]), "different indices"),
        (lambda y: y.update(binary_actions="x"), "a list"),
        (lambda y: y.update(feature_shape=[10**6, 10**6]), "other sizes"),
        (lambda y: y.update(feature_shape=[]), "one to three sizes"),
        (lambda y: y.update(feature_shape=[10**5, 10**5, 3]), "other sizes"),
        (lambda y: y.update(env="../../etc"), "name of an environment or null"),
        (lambda y: y.update(env=["x"]), "env: expected text"),
        (lambda y: y.update(notes="hello"), "a mapping"),
        (lambda y: y.update(notes={"control_hz": "x"}), "notes.control_hz"),
        (lambda y: y.update(notes={"action": {"names": 3}}), "notes.action.names"),
        (lambda y: y.update(encoder="hello"), "encoder: expected the keys"),
        (lambda y: y.update(format=True), "format"),
        (lambda y: y.pop("sha256"), "expected the key sha256"),
    ],
)
def test_a_description_is_as_strict_as_a_config(change, words, tmp_path):
    with pytest.raises(UserError, match=words) as error:
        inspect(variant(tmp_path, change))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_few_bytes_of_aliases_do_not_hang_it(tmp_path):
    text = (
        "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
        + "format: *a29\n"
    )
    for use in (inspect, policies.load, policies.policy.describe):
        with pytest.raises(UserError, match="anchors and aliases are refused"):
            use(variant(tmp_path / use.__name__, text=text))


@pytest.mark.parametrize("weights", [b"", b"torn", (2**60).to_bytes(8, "little"), json.dumps({}).encode()])
def test_weights_of_another_size_are_refused_by_their_header(weights, tmp_path):
    with pytest.raises(UserError, match="can't be read as weights"):
        inspect(variant(tmp_path, weights=weights))


def test_weights_that_are_no_regular_file_are_not_read(tmp_path):
    folder = variant(tmp_path)
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is a link to /dev/zero, which lies outside"):
        inspect(folder)
    (folder / CONFIG).unlink()
    os.mkfifo(folder / CONFIG)
    with pytest.raises(UserError, match="No policy at"):
        inspect(folder)


def test_weights_that_changed_since_are_refused_when_they_are_loaded(tmp_path):
    folder = variant(tmp_path)
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(data))
    with pytest.raises(UserError, match="sha256 differs"):
        policies.load(folder)


def older(y):
    """A folder of format 1, which has no spec."""
    y.update(format=1)
    y.pop("spec")


def test_a_folder_of_the_first_format_still_works_and_is_completed_from_its_environment(tmp_path):
    then, now = read_about(variant(tmp_path, older)), read_about(BASE)
    assert then.spec is None and (then.format, now.format) == (1, FORMAT)
    assert replace(then, format=FORMAT, spec=now.spec) == now
    assert spec_of_folder(then) == now.spec
    assert policies.load(tmp_path / "p").spec is None


def test_every_embedded_policy_says_what_its_numbers_mean():
    for name in policies.fit.folder.embedded():
        about = inspect(name)
        ours = envs.make(about.env, render=False).interface
        assert about.spec is not None and (about.spec.action, about.spec.proprio, about.spec.cameras) == (
            ours.action,
            ours.proprio,
            ours.cameras,
        )
        assert find(name) == EMBEDDED / name

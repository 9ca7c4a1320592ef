import json
from dataclasses import replace

import pytest
from toy_world import ToyVec

import envs
from demos.recording.recorder import attributes_of
from demos.store import schema
from policies.fit.spec import env_of_set, interface_of_set, read_spec, spec_from_env, spec_from_set
from policies.network.transformer import TransformerConfig
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import dump_yaml, parse_yaml

FOREIGN = {
    "env": "mine",
    "robot": "Panda",
    "control_hz": 20.0,
    "cameras": {"wrist": {"width": 640, "height": 480}},
    "action": {"names": [f"action.{i}" for i in range(8)], "low": [0.0] * 8, "high": [0.08] * 8},
    "proprio_names": [f"state.{i}" for i in range(18)],
    "proprio_units": "rad",
}


def test_a_description_survives_yaml_and_json():
    for needs in ("rgb", "privileged", None):
        spec = spec_from_env(
            envs.make("franka_pick_pixmc", render=False), needs=needs, transformer=TransformerConfig(context=4, chunk=3)
        )
        assert (
            read_spec(parse_yaml(dump_yaml(spec.plain()).encode(), "x"), "x")
            == spec
            == read_spec(json.loads(json.dumps(spec.plain())), "x")
        )
        assert (spec.history.frames, spec.chunk) == (4, 3) and spec.history.every_s == pytest.approx(1 / 60)


def test_a_policy_needs_only_the_picture_and_the_state_that_it_reads():
    env = envs.make("franka_pick", render=False)
    assert [c.name for c in spec_from_env(env, needs="rgb").cameras] == ["wrist"] and spec_from_env(
        env, needs="rgb"
    ).state_of == ""
    assert spec_from_env(env, needs=None).cameras == () == spec_from_env(env, needs="privileged").cameras
    assert spec_from_env(env, needs="privileged").state_of == "franka_pick"


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"chunk": 0},
        {"robot": 3},
        {"wings": 2},
        {"control_hz": 0},
        {"history": {"frames": 1}},
        {"history": {"frames": 1, "every_s": 0.07}},
    ],
)
def test_a_description_of_another_version_or_with_impossible_values_names_the_key(change):
    plain = spec_from_env(envs.make("franka_pick", render=False), needs="rgb").plain()
    with pytest.raises(UserError, match=next(iter(change))):
        read_spec(plain | change, "policy.yaml.spec")


def test_a_set_that_we_recorded_says_what_its_environment_does_with_or_without_its_own_words():
    attrs = attributes_of("franka_cube", {"image_size": 64}, ("wrist", "side"), {})
    told = interface_of_set(attrs)
    bare = interface_of_set({key: value for key, value in attrs.items() if key != "interface"})
    ours = envs.make("franka_cube", image_size=64, render=False).interface
    assert (
        (told.action, told.proprio, told.robot)
        == (ours.action, ours.proprio, "franka")
        == (bare.action, bare.proprio, bare.robot)
    )
    assert [c.name for c in told.cameras] == ["wrist", "side"] and told.cameras[0] == ours.cameras[0] == bare.cameras[0]
    assert env_of_set(attrs) == "franka_cube" and told.cameras[1].mount_parent == "world"


def test_a_slower_set_keeps_its_own_rate_and_range():
    attrs = attributes_of("franka_cube", {}, ("wrist",), {}) | {"control_hz": 5.0}
    attrs["action"] |= {"low": [-2.0] * 7 + [-1.0], "high": [1.5] * 7 + [1.0]}
    spec = spec_from_set(attrs, needs="rgb")
    assert spec.control_hz == 5.0 and spec.history.every_s == 0.2
    assert spec.action.low == pytest.approx((-0.12,) * 7 + (-1,)) and spec.action.high == pytest.approx(
        (0.09,) * 7 + (1,)
    )


def test_another_robots_set_is_never_taken_for_ours():
    spec = spec_from_set(FOREIGN, needs="rgb")
    assert (spec.robot, spec.control_hz, set(spec.action.meanings)) == ("franka", 20.0, {"unknown"}) and env_of_set(
        FOREIGN
    ) is None
    assert (spec.cameras[0].width, spec.cameras[0].mount_pos_m, set(spec.proprio.units)) == (640, None, {"rad"})
    named = FOREIGN | {"env": "franka_cube", "robot": "franka"}  # only its name is the same
    assert env_of_set(named) is None and set(spec_from_set(named, needs=None).action.units) == {"unknown"}
    nameless = {"env": None, "control_hz": 5.0, "action": {}}
    assert spec_from_set(nameless, needs=None, dims=(3, 2)).action.names == ("action.0", "action.1")


def test_the_user_may_say_the_robot_of_a_set_that_does_not_but_not_contradict_one_that_does():
    silent = FOREIGN | {"robot": ""}
    assert (
        spec_from_set(silent, needs=None).robot == "unknown"
        and spec_from_set(silent, needs=None, robot="G1").robot == "g1"
    )
    assert spec_from_set(FOREIGN, needs=None, robot="fr3").robot == "franka"
    with pytest.raises(UserError, match="robot=kuka: the set says that its robot is franka"):
        spec_from_set(FOREIGN, needs=None, robot="kuka")


def test_a_set_whose_words_contradict_its_names_is_refused():
    attrs = {
        "env": "toy",
        "control_hz": 20.0,
        "interface": schema.plain(ToyVec.interface),
        "action": {"names": ["a", "b", "c", "d"]},
    }
    with pytest.raises(
        UserError, match="interface has the actions x, y, pull, switch, but its attribute action has a, b, c, d"
    ):
        interface_of_set(attrs)
    attrs["action"] = {}
    assert interface_of_set(attrs) == replace(ToyVec.interface) and env_of_set(attrs) == "toy"
    with pytest.raises(UserError, match="Unknown camera 'side'. What exists: wrist"):
        spec_from_set(attrs, needs="rgb", camera="side")

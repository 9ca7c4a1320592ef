import numpy as np
import pytest
import yaml

import envs
from policies.features.features import EncoderConfig, make_features
from policies.fit.adapted import Adapted, adapted, check_policy
from policies.fit.conversion import Fit
from policies.fit.rules import FitKeys
from policies.fit.spec import spec_from_env
from policies.policy import Policy
from policies.scoring.rollout import EnvConfig
from toto_robot.ground.errors import UserError


class Counting:
    """Records how often, and at which of its own steps, it is asked."""

    needs, env = None, "franka_cube"

    def __init__(self):
        self.asked, self.closed = [], False

    def act(self, obs):
        self.asked.append(list(zip(obs["slot"].tolist(), obs["step"].tolist())))
        return np.stack([np.full(2, 0.1 * (1 + step)) for step in obs["step"]]).astype(np.float32)

    def close(self):
        self.closed = True


def seen(slots, steps):
    return {"proprio": np.zeros((len(slots), 1)), "slot": np.array(slots), "step": np.array(steps)}


def test_each_slot_is_asked_once_in_its_own_periods_and_holds_in_between():
    policy = Counting()
    held = Adapted(policy, Fit(hold=3))
    first = held.act(seen([0, 4], [0, 0]))
    np.testing.assert_array_equal(held.act(seen([4, 0], [1, 1])), first[::-1])
    held.act(seen([0, 4], [2, 0]))  # slot 4 started a new episode
    third = held.act(seen([0, 4], [3, 1]))
    assert policy.asked == [[(0, 0), (4, 0)], [(4, 0)], [(0, 1)]]
    np.testing.assert_allclose(third[:, 0], [0.2, 0.1])
    held.close()
    assert policy.closed


def test_numbers_are_rescaled_and_stay_inside_the_range():
    made = Adapted(Counting(), Fit(gain=(0.5, 30.0), bias=(0.25, 0.0)))
    np.testing.assert_allclose(made.act(seen([0], [0])), [[0.3, 1.0]])


def test_a_policy_that_needs_no_conversion_is_itself():
    policy = Counting()
    assert adapted(policy, Fit(warnings=("x",))) is policy


def saved(tmp_path, name="franka_cube", size=128, encoder="none"):
    env = envs.make(name, render=False, image_size=size)
    features = make_features(EncoderConfig(encoder))
    spec = spec_from_env(env, needs=features.needs)
    dims = len(spec.proprio.names), len(spec.action.names)
    return str(Policy.create(features, name, *dims, spec=spec).save(tmp_path / "p"))


def test_the_scene_draws_the_policys_size_where_that_is_asked_for(tmp_path):
    policy = saved(tmp_path, size=64, encoder="resnet")
    with pytest.raises(UserError, match=r"64×64 pixels and those of env=franka_cube 128×128.*convert=\[crop\]"):
        check_policy(policy, EnvConfig("franka_cube"), FitKeys())
    assert check_policy(policy, EnvConfig("franka_cube"), FitKeys(convert=["crop"])) == (Fit(), 64)


def test_what_the_user_must_know_is_told_on_stderr(tmp_path, capsys):
    policy = saved(tmp_path, encoder="resnet")
    path = tmp_path / "p" / "policy.yaml"
    values = yaml.safe_load(path.read_text())
    values["spec"]["cameras"][0]["mount_pos_m"][0] += 0.03
    path.write_text(yaml.safe_dump(values))
    check_policy(policy, EnvConfig("franka_cube"), FitKeys())
    said = capsys.readouterr()
    assert "warning: " in said.err and "30.0 mm apart" in said.err and not said.out

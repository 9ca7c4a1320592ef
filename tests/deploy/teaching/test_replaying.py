"""A recorded episode on an arm: it begins at the same joints, goes the same way at any speed, and has the same
outcome."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demos import DemoWriter
from demos.record import RecordConfig
from demos.record import main as record
from demos.replay import ReplayConfig
from demos.replay import main as replay
from deploy.teaching.on_arm import ArmEnded
from deploy.teaching.replaying import RecordedActions
from toto_robot import command
from toto_robot.ground.errors import UserError


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    """An episode of the expert in franka_cube that succeeds."""
    path = tmp_path_factory.mktemp("demos") / "cube"
    told = record(
        command.compose(
            RecordConfig,
            "record",
            [f"out={path}", "env=franka_cube", "episodes=1", "image_size=32", "num_envs=1", "env.workers=1"],
        )
    )
    assert told["successes"] == 1
    return path


def actions_of(tmp_path_factory, actions):
    path = tmp_path_factory.mktemp("actions") / "set"
    with DemoWriter(path, dict(format="toto_robot-demos", schema=1, control_hz=10.0, action={}, cameras={})) as writer:
        writer.append({"action": actions})
    return str(path)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.5, 0.3, 0.2]))
def test_at_any_speed_the_increments_add_up_to_the_same_way(tmp_path_factory, seed, speed):
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1, 1, (9, 8)).astype(np.float32)
    again = RecordedActions(actions_of(tmp_path_factory, actions), 0, speed)
    said = np.stack([again.act({}, 0, k) for k in range(round(9 / speed) + 3)])
    np.testing.assert_allclose(speed * said[:, :-1].sum(0), actions[:, :-1].sum(0), atol=1e-5)
    assert np.abs(said).max() <= 1 and (said[-1, :-1] == 0).all() and said[-1, -1] == actions[-1, -1]
    if speed == 1.0:
        np.testing.assert_allclose(said[:9], actions, atol=1e-6)


def test_on_the_simulated_arm_it_ends_as_it_was_recorded(cube):
    told = replay(ReplayConfig(path=str(cube), mode="robot", backend="sim", robot="fr3", yes=True))
    assert (told["episodes"], told["successes"], told["success_reproduced"], told["ending"]) == (1, 1, 1, "done")
    assert told["drift_rad"] < 1e-6  # the same set-points, the same physics


def test_on_the_emulated_arm_through_the_real_client_too(cube):
    if not find_spec("franky"):  # importing it would keep the other client out of this process
        pytest.skip("franky-control is not installed")
    told = replay(ReplayConfig(path=str(cube), mode="robot", robot="fr3", yes=True))
    assert (told["success_reproduced"], told["ending"]) == (1, "done")
    assert told["drift_rad"] < 0.05


def test_mistakes_are_told_before_anything_starts(cube, tmp_path_factory):
    with pytest.raises(UserError, match="give mode=robot"):
        ReplayConfig(path=str(cube), robot="fr3")
    with pytest.raises(UserError, match="--camera is needed on a robot"):
        replay(ReplayConfig(path=str(cube), mode="robot", robot_ip="172.16.0.2"))
    with pytest.raises(ValueError, match="needs proprio, action"):
        replay(ReplayConfig(path=actions_of(tmp_path_factory, np.zeros((3, 8), np.float32)), mode="robot"))


def test_an_arm_that_stops_for_another_reason_ends_with_its_exit_code():
    from deploy.endings import Ending

    assert ArmEnded(Ending.USER_STOP, "pressed").exit_code == 13

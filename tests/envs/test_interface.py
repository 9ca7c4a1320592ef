import dataclasses

import numpy as np
import pytest

import envs
from envs.errors import EnvError
from envs.interface import MEANINGS, SAME_ROBOT, ActionSpec, CameraSpec, robot_name


@pytest.mark.parametrize("name", envs.names())
def test_an_environment_says_of_its_numbers_what_they_are(name):
    env = envs.make(name, render=False)
    said = env.interface
    assert (
        said.action.names == env.action_names and len(said.proprio.names) == env.observation_space["proprio"].shape[0]
    )
    assert (said.robot, said.control_hz, said.state_of) == (env.robot.name, env.control_hz, name)
    assert {c.name: (c.width, c.height) for c in said.cameras} == {"wrist": (128, 128)}
    assert said == envs.backends.interface(name)
    # Proprioception is the joints' state by the offsets and scales that are told.
    env.reset(seed=1)
    env.step(np.full(env.action_space.shape, 0.7, np.float32))
    raw = np.concatenate([env.data.qpos[: env.dof], env.data.qvel[: env.dof]])
    told = (raw - said.proprio.offset) / said.proprio.scale
    np.testing.assert_allclose(
        env.proprio(), np.clip(told, -(said.proprio.clip or np.inf), said.proprio.clip or np.inf), atol=1e-5
    )


@pytest.mark.parametrize("name", ["franka_pick", "franka_cube"])
def test_a_full_increment_moves_the_commanded_joints_by_what_is_told(name):
    env = envs.make(name, render=False)
    env.reset(seed=0)
    before = env.protocol.limiter.q_rad.copy()
    action = np.zeros(8, np.float32)
    action[6] = 0.5  # the last joint is fast enough for it
    for _ in range(4):
        env.step(action)
    told = 0.5 * env.interface.action.high[6]
    after = env.protocol.limiter.q_rad.copy()
    env.step(action)
    assert env.protocol.limiter.q_rad[6] - after[6] == pytest.approx(told, rel=1e-6)
    assert np.abs(after - before)[:6].max() < 1e-3


def test_pixmcs_increments_and_a_hands_are_told_in_their_own_units():
    env = envs.make("franka_pick_pixmc", render=False)
    env.reset(seed=0)
    before = env.protocol.target.copy()
    env.step(np.full(9, -0.1, np.float32))
    np.testing.assert_allclose(env.protocol.target - before, 0.1 * np.array(env.interface.action.low), atol=1e-7)
    assert env.interface.action.units == ("rad",) * 7 + ("m",) * 2
    assert set(envs.make("kuka_pick_pixmc", render=False).interface.action.units) == {"rad"}


def test_the_camera_is_told_in_the_nominal_look_whatever_the_episode_shows():
    plain, moved = envs.make("franka_pick"), envs.make("franka_pick", shift="camera")
    moved.reset(seed=3)
    assert moved.interface == plain.interface and not np.allclose(
        moved.model.camera("wrist").pos, plain.model.camera("wrist").pos
    )
    camera = plain.interface.cameras[0]
    assert camera.mount_parent == "hand" and camera.mount_pos_m == (0.04, 0.0, 0.045) and 104 < camera.fovy_deg < 106


def test_panda_and_fr3_are_one_robot_to_a_policy_and_a_kuka_is_none_of_them():
    assert {robot_name(name) for name in ("Panda", "FR3", "franka_emika-panda", "franka")} == {"franka"}
    assert robot_name("kuka") == "kuka" != robot_name("kuka_gripper") and set(SAME_ROBOT) == {"franka"}
    assert all(MEANINGS.values())


def test_a_description_that_contradicts_itself_is_refused():
    whole = envs.make("franka_pick", render=False).interface
    for part, change in (
        ("action", {"low": whole.action.low[:-1]}),
        ("action", {"meanings": ("fly",) * 8}),
        ("action", {"high": whole.action.low}),
        ("action", {"names": ("a",) * 8}),
        ("proprio", {"scale": (0.0,) * 18}),
        ("proprio", {"clip": 0.0}),
    ):
        with pytest.raises(EnvError, match=part):
            dataclasses.replace(getattr(whole, part), **change)
    with pytest.raises(EnvError, match="crop of camera \\w+: 'top'. What exists: centre, lower"):
        CameraSpec(name="wrist", width=128, height=128, crop="top")
    with pytest.raises(EnvError, match="at least one name"):
        ActionSpec(names=(), units=(), meanings=(), low=(), high=())
    for change in ({"control_hz": 0.0}, {"cameras": whole.cameras * 2}):
        with pytest.raises(EnvError):
            dataclasses.replace(whole, **change)

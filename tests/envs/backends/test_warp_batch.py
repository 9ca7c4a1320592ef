"""backend=mujoco_warp against our own VectorEnv: the same episodes, to the rounding of float32.

On a machine without CUDA warp's CPU device runs them; compiling its kernels takes minutes the first time.
"""

import numpy as np
import pytest

import envs
from policies.experts import ScriptedPick, ScriptedReach

pytest.importorskip("mujoco_warp", reason="MuJoCo Warp is an extra: pip install mujoco-warp==3.9.0.1 warp-lang==1.14.0")


def pair(name, n=2, **options):
    return (envs.make_vec(name, n, backend="mujoco_warp", **options), envs.make_vec(name, n, workers=1, **options))


@pytest.fixture(scope="module")
def pick():
    here, there = pair(
        "franka_pick", privileged=True, image_size=32, labeller=ScriptedPick(), snapshots=True, views=("side",)
    )
    with here, there:
        yield here, there


def test_every_environment_has_only_what_mujoco_warp_supports():
    import mujoco_warp

    for name in envs.names("mujoco_warp"):
        mujoco_warp.put_model(envs.make(name, render=False).model)


def test_a_reset_is_the_same_to_the_last_bit(pick):
    here, there = pick
    for key in ("num_envs", "action_dim", "proprio_dim", "privileged_dim", "control_hz", "horizon"):
        assert getattr(here, key) == getattr(there, key)
    a, b = here.reset([4, 5]), there.reset([4, 5])
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_trajectories_agree_to_the_rounding_of_float32(pick):
    """8 control steps of 20 physics steps: the cube rests on the table and the arm moves free of contact."""
    here, there = pick
    here.reset([4, 5]), there.reset([4, 5])
    for actions in np.random.default_rng(0).uniform(-1, 1, (8, 2, 8)).astype(np.float32):
        (a, *x, xi), (b, *y, yi) = here.step(actions), there.step(actions)
        np.testing.assert_allclose(a["proprio"], b["proprio"], atol=2e-5)
        np.testing.assert_allclose(a["privileged"], b["privileged"], atol=2e-5)
        np.testing.assert_allclose(a["expert"], b["expert"], atol=2e-3)
        np.testing.assert_allclose(x[0], y[0], atol=1e-3)
        assert (xi["steps"] == yi["steps"]).all() and (xi["success"] == yi["success"]).all()
        assert np.abs(a["rgb"].astype(int) - b["rgb"]).mean() < 0.5


def test_inactive_slots_stand_still_and_one_slot_resets_alone(pick):
    vec, _ = pick
    before = vec.reset([1, 2])
    obs, reward, *_, info = vec.step(np.ones((2, 8), np.float32), active=[True, False])
    assert reward[1] == 0 and info["steps"].tolist() == [1, 0]
    for key in obs:
        np.testing.assert_array_equal(obs[key][1], before[key][1], err_msg=key)
    again = vec.reset([9], indices=[0])
    np.testing.assert_array_equal(again["proprio"][1], obs["proprio"][1])
    vec.step(np.ones((2, 8), np.float32), active=[False, False])
    assert vec.call(1, "data.time") == 0


def test_saved_states_continue_bit_for_bit(pick):
    vec, _ = pick
    vec.reset([1, 2])
    actions = np.random.default_rng(0).uniform(-1, 1, (4, 2, 8)).astype(np.float32)
    vec.step(actions[0])
    states = vec.get_state()
    first = [vec.step(a)[0] for a in actions[1:]]
    vec.reset([7, 8])
    vec.set_state(states)
    for a, was in zip(actions[1:], first):
        now = vec.step(a)[0]
        for key in was:
            np.testing.assert_array_equal(now[key], was[key], err_msg=key)


@pytest.mark.parametrize(
    "name,steps,tolerance",
    [
        ("franka_cube", 2, 1e-4),
        ("franka_pick_pixmc", 6, 1e-4),
        ("kuka_gripper_cabinet", 2, 1e-3),
        ("kuka_move", 2, 1e-3),
    ],
)
def test_other_robots_tasks_and_protocols_agree_too(name, steps, tolerance):
    """Torque control at 1 kHz, PixMC's targets, a drawer of props, and the Allegro hand."""
    here, there = pair(name, 1, render=False, privileged=True)
    with here, there:
        here.reset([3]), there.reset([3])
        for actions in np.random.default_rng(0).uniform(-0.5, 0.5, (steps, 1, here.action_dim)).astype(np.float32):
            a, b = here.step(actions)[0], there.step(actions)[0]
        np.testing.assert_allclose(a["privileged"], b["privileged"], atol=tolerance)


def test_the_expert_reaches_in_the_batch():
    with envs.make_vec("franka_reach", 2, backend="mujoco_warp", render=False, labeller=ScriptedReach()) as vec:
        obs, done = vec.reset([1000, 1001]), np.zeros(2, bool)
        for _ in range(vec.horizon):
            obs, _, terminated, truncated, info = vec.step(obs["expert"], ~done)
            done |= terminated | truncated
            if done.all():
                break
        assert info["success"].all() and info["steps"].max() < 60


def test_mistakes_are_the_same_as_in_our_own(pick):
    vec, _ = pick
    with pytest.raises(envs.EnvError, match="one seed"):
        vec.reset([1])
    with pytest.raises(envs.EnvError, match="takes actions"):
        vec.step(np.zeros((2, 3)))
    with pytest.raises(envs.EnvError, match="NaN"):
        vec.step(np.full((2, 8), np.nan))
    with pytest.raises(envs.EnvError, match="2 states"):
        vec.set_state([b""])
    with pytest.raises(envs.EnvError, match="num_envs"):
        envs.make_vec("franka_pick", 0, backend="mujoco_warp")


def test_where_there_is_no_gpu_it_says_that_the_cpu_device_runs(capfd):
    import warp

    envs.make_vec("franka_reach", 1, backend="mujoco_warp", render=False).close()
    told = capfd.readouterr()
    assert ("CPU device" in told.err) == (not warp.is_cuda_available()) and told.out == ""


def test_more_contacts_than_there_is_room_for_are_an_error_and_not_a_fall_through_the_table(monkeypatch):
    monkeypatch.setattr("envs.backends.warp_batch.CONTACTS", 2)
    with envs.make_vec("franka_pick", 1, backend="mujoco_warp", render=False) as vec:
        with pytest.raises(RuntimeError, match="4 contacts .* more than the 2"):
            vec.step(np.zeros((1, 8)))

"""The iiwa 14 with either hand: published kinematics, PixMC's numbers, and physics that holds."""

import mujoco
import numpy as np
import pytest

import envs
from envs.robots import ROBOTS
from policies.experts.choose import make_labeller

NAMES = ("kuka_gripper_pick", "kuka_pick", "kuka_pick_pixmc")
DH = (
    (-np.pi / 2, 0.36),
    (np.pi / 2, 0),
    (np.pi / 2, 0.42),
    (-np.pi / 2, 0),
    (-np.pi / 2, 0.4),
    (np.pi / 2, 0),
    (0, 0.126),
)
"""The published table of the iiwa 14: (twist, offset) of each joint, all lengths a = 0."""


def flange(q_rad):
    """T_base_flange (4, 4) from the table."""
    pose = np.eye(4)
    for q, (alpha, d) in zip(q_rad, DH):
        c, s, ca, sa = np.cos(q), np.sin(q), np.cos(alpha), np.sin(alpha)
        pose = pose @ [[c, -s * ca, s * sa, 0], [s, c * ca, -c * sa, 0], [0, sa, ca, d], [0, 0, 0, 1]]
    return pose


@pytest.mark.parametrize("name", ["kuka_gripper_pick", "kuka_pick"])
def test_the_arms_forward_kinematics_are_the_published_dh_tables(name):
    env, rng = envs.make(name, render=False), np.random.default_rng(0)
    for q in rng.uniform(env.robot.limits.q_min_rad, env.robot.limits.q_max_rad, (20, 7)):
        env.data.qpos[:7] = q
        mujoco.mj_kinematics(env.model, env.data)
        base, link = env.data.body("base"), env.data.body("link7")
        turn, expected = base.xmat.reshape(3, 3).T, flange(q)
        ours = turn @ link.xmat.reshape(3, 3)
        np.testing.assert_allclose(ours, expected[:3, :3], atol=1e-6)
        np.testing.assert_allclose(turn @ (link.xpos - base.xpos) + 0.045 * ours[:, 2], expected[:3, 3], atol=1e-6)


def test_pixmcs_layouts_and_the_real_arms():
    env = envs.make("kuka_pick_pixmc", render=False, privileged=True)
    obs, _ = env.reset(seed=0)
    assert env.action_space.shape == (23,) and env.control_hz == 60 and env.horizon == 500
    assert obs["proprio"].shape == (46,) and obs["privileged"].shape == (77,)
    cube, palm = env.data.body("object").xpos, env.data.body("palm").xpos
    extra = obs["privileged"][46:]
    np.testing.assert_allclose(extra[:3], palm, atol=1e-6)
    np.testing.assert_allclose(extra[15:18], cube, atol=1e-6)
    np.testing.assert_allclose(extra[18:30].reshape(4, 3), cube - extra[3:15].reshape(4, 3), atol=1e-6)
    assert extra[30] == pytest.approx(0.8 - cube[2])
    sizes = [name[name.index("(") + 1 : -1].replace("dof", "23").split(" × ") for name in env.task.privileged_names]
    assert (
        sum(int(np.prod([int(n) for n in size])) for size in sizes) == 77 and env.task.privileged_names[2] == "palm (3)"
    )
    for name, dof in (("kuka_pick", 23), ("kuka_gripper_pick", 9)):
        env = envs.make(name, render=False)
        assert env.action_space.shape == (8,) and env.observation_space["proprio"].shape == (2 * dof,)


def test_only_the_allegro_hand_has_pixmcs_protocol_and_neither_has_the_deployments():
    assert {name for name in envs.names() if name.startswith("kuka_gripper_pick")} == {"kuka_gripper_pick"}
    assert not any(name.startswith("kuka") and "cube" in name for name in envs.names())


def test_kuka_picks_reward_is_the_published_formula():
    task = envs.make("kuka_pick_pixmc", render=False).task
    tips = np.array([[0.5, 0.03, 0.8], [0.5, -0.05, 0.8], [0.5, 0, 0.9], [0.45, 0, 0.8]])
    cube, action = np.array([0.5, 0, 0.75]), np.full(23, 0.5)
    d = np.maximum(np.linalg.norm(tips - cube, axis=1), 0.03)
    expected = 0.04 * sum(1 / (0.04 + x) for x in d[:3]) + 0.08 / (0.04 + d[3])
    expected += 2 + 1.28 / (0.04 + 0.05) + 2 - 0.01 * 23 * 0.25
    assert task.reward(tips, cube, task.goal_z_m - cube[2], action) == pytest.approx(expected)
    assert task.half_m == 0.03 and task.model.geom("object").size[0] == 0.03
    assert envs.make("kuka_gripper_pick", render=False).task.half_m == 0.0225


def test_the_wrist_camera_looks_along_the_fingers_from_pixmcs_place():
    env = envs.make("kuka_pick", render=False)
    env.reset(seed=0)
    hand, camera = env.data.body("hand"), env.data.camera("wrist")
    turn, view = hand.xmat.reshape(3, 3), camera.xmat.reshape(3, 3)
    np.testing.assert_allclose(turn.T @ (camera.xpos - hand.xpos), [0.05, 0, 0.02], atol=1e-9)
    np.testing.assert_allclose(turn.T @ view, np.array([[0, -1, 0], [-1, 0, 0], [0, 0, -1]]), atol=1e-6)
    assert env.model.camera("wrist").fovy[0] == pytest.approx(104.9, abs=0.05)


def test_the_hands_postures_are_inside_its_ranges_and_one_command_moves_between_them():
    robot = ROBOTS["kuka"]
    for posture in (robot.open_rad, robot.closed_rad):
        assert (robot.finger_low_rad <= np.array(posture)).all() and (np.array(posture) <= robot.finger_high_rad).all()
    env = envs.make("kuka_pick", render=False)
    env.reset(seed=0)
    np.testing.assert_allclose(env.data.ctrl[7:], robot.open_rad)
    seen = []
    for _ in range(14):
        env.step(np.array([0] * 7 + [-1], np.float32))
        seen.append(env.data.ctrl[8])
    assert np.all(np.diff(seen) >= 0) and seen[8] < robot.closed_rad[1]
    np.testing.assert_allclose(env.data.ctrl[7:], robot.closed_rad)


@pytest.mark.parametrize("name", NAMES)
def test_an_arm_at_rest_holds_its_posture_against_gravity(name):
    env = envs.make(name, render=False)
    env.reset(seed=0)
    before = env.data.qpos[: env.dof].copy()
    for _ in range(20):
        env.step(np.zeros(env.action_space.shape))
    assert np.abs(env.data.qpos[: env.dof] - before).max() < 1e-3
    assert env.model.body_gravcomp[env.model.body("link3").id] == 1 and env.model.opt.gravity[2] == -9.81


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wild", ["uniform", "extreme"])
def test_wild_actions_never_blow_the_physics_up(name, wild):
    """200 steps; tests/soak/physics.py runs 10,000."""
    env, rng = envs.make(name, render=False), np.random.default_rng(0)
    env.reset(seed=0)
    for step in range(200):
        if wild == "uniform":
            action = rng.uniform(-1, 1, env.action_space.shape)
        elif step % 10 == 0:
            action = rng.choice([-1.0, 1.0], env.action_space.shape)
        env.step(action)
        assert np.isfinite(env.data.qpos).all() and np.abs(env.data.qvel[: env.dof]).max() < 60
        assert min(env.data.contact.dist, default=0) > -0.03
    assert not env.data.warning.number.any()


@pytest.mark.parametrize("name", ["kuka_gripper_pick", "kuka_pick"])
def test_the_scripted_expert_picks_on_every_seed_of_a_sample(name):
    env, expert = envs.make(name, render=False), make_labeller("scripted")
    for seed in range(1000, 1006):
        env.reset(seed=seed)
        for _ in range(env.horizon):
            *_, terminated, truncated, info = env.step(expert.label(env))
            if terminated or truncated:
                break
        assert info["success"], seed

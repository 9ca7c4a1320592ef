"""Cabinet: PixMC's measures, reward and rule of success; the drawer slides and its props ride along."""

import mujoco
import numpy as np
import pytest

import envs
from envs.tasks.cabinet import Cabinet


@pytest.fixture
def env():
    env = envs.make("franka_cabinet_pixmc", render=False, privileged=True)
    env.reset(seed=0)
    return env


def test_the_handle_is_where_pixmcs_is_and_the_drawer_slides_as_far(env):
    cabinets, arm = [], env.model.joint("drawer")
    for seed in range(300):
        env.reset(seed=seed)
        cabinet = env.data.body("cabinet").xpos
        cabinets.append(cabinet.copy())
        np.testing.assert_allclose(env.task.handle(env.data) - cabinet, (0.0515 + 0.305, 0, 0.3172 + 0.01), atol=1e-9)
    low, high = np.min(cabinets, 0), np.max(cabinets, 0)
    assert (np.abs(low - (-0.025, -0.075, 0.40)) < 0.005).all() and (np.abs(high - (0.125, 0.075, 0.50)) < 0.005).all()
    assert arm.range.tolist() == [0, 0.4] and arm.damping[0] == 10
    assert "table" not in {env.model.geom(i).name for i in range(env.model.ngeom)}


def test_the_props_ride_in_the_drawer(env):
    props = [env.model.body(f"prop{i}").id for i in range(4)]
    density = [env.model.body_mass[p] / 0.08**3 for p in props]
    np.testing.assert_allclose(density, 400)
    before = env.data.xpos[props].copy()
    env.data.qpos[0] = env.data.ctrl[0] = -2.5  # the arm out of the way
    slot = env.model.joint("drawer").dofadr[0]
    for _ in range(480):
        env.data.qfrc_applied[slot] = 12.0
        mujoco.mj_step(env.model, env.data)
    moved = env.data.xpos[props] - before
    assert env.data.qpos[env.task.drawer] > 0.3
    assert (np.abs(env.data.xpos[props][:, 2] - before[:, 2]) < 0.01).all() and (moved[:, 0] > 0.2).all()


@pytest.mark.parametrize(
    "hand,weights,c,around_weight,pose_weight,opposed",
    [
        ("parallel", (0.06, 0.06), 0.016, 1.0, 3.0, (0, 1)),
        ("allegro", (0.04, 0.04, 0.04, 0.08), 0.04, 0.0, 0.0, (0, 3)),
    ],
)
def test_the_reward_is_the_published_formula(hand, weights, c, around_weight, pose_weight, opposed):
    task, handle, action = object.__new__(Cabinet.for_hand(hand)), np.array([0.4, 0, 0.8]), np.full(9, 0.5)
    offsets = np.zeros((len(weights), 3))
    offsets[:, 0], offsets[opposed[0], 2], offsets[opposed[1], 2] = 0.003, 0.02, -0.03
    for scale, leaves in ((1.0, 0), (1.5, 1)):  # the farther finger at 0.03, then at 0.045 m
        tips = handle + scale * offsets
        nearness = sum(w / (c + max(np.linalg.norm(o), 0.008)) for w, o in zip(weights, scale * offsets))
        for open_m, bonus in ((0.0, 0), (0.2, 1), (0.35, 2)):
            expected = (
                nearness
                + around_weight * 0.5
                + bonus
                + 6 * open_m
                + pose_weight * 0.5 * (1 - leaves) * open_m * 2
                - 0.01 * 9 * 0.25
            )
            assert task.reward(tips, handle, open_m, action) == pytest.approx(expected)
    above = handle + np.abs(offsets)
    assert task.reward(above, handle, 0.0, action) == pytest.approx(
        sum(w / (c + max(np.linalg.norm(o), 0.008)) for w, o in zip(weights, offsets)) - 0.0225
    )


def test_the_oracles_layout_is_the_published_one(env):
    obs, _ = env.reset(seed=3)
    (left, right), handle = env.task.fingertips(env.data), env.task.handle(env.data)
    wanted = [*left, *right, *handle, *(handle - left), *(handle - right), 0.4]
    np.testing.assert_allclose(obs["privileged"][18:], wanted, atol=1e-6)


def test_success_asks_for_the_drawer_and_for_both_fingers(env, monkeypatch):
    tips = np.array([[0.0, 0, 0.03], [0, 0, -0.03]])
    monkeypatch.setattr(env.task, "fingertips", lambda data: env.task.handle(data) + tips)

    def good(open_m, spread=1.0):
        tips[:, 2] = np.array([0.03, -0.03]) * spread
        env.data.qpos[env.task.drawer] = open_m
        mujoco.mj_forward(env.model, env.data)
        return bool(env.task.good(env.data))

    assert good(0.321) and not good(0.319) and not good(0.39, spread=1.5)
    env.task.needs_fingers = False  # the Allegro hand's rule
    assert good(0.39, spread=1.5)


def test_the_fingers_may_touch_the_handle_and_the_links_may_not(env):
    links = env.task.link_geom
    fingers = [g for g in range(env.model.ngeom) if env.model.body(env.model.geom_bodyid[g]).name.endswith("finger")]
    assert not links[fingers].any() and links.sum() > 7
    assert not env.step(np.zeros(9))[2]


def test_a_drawer_at_rest_stays_shut(env):
    for _ in range(60):
        env.step(np.zeros(9))
    assert abs(env.data.qpos[env.task.drawer]) < 1e-3

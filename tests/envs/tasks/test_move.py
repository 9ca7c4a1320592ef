"""Move: PixMC's goals, reward and rule of success."""

import mujoco
import numpy as np
import pytest

import envs
from envs.tasks.move import Move
from envs.tasks.pick import Pick

TABLE = 0.4


def test_goals_fill_pixmcs_box_and_the_cube_lies_where_picks_does():
    env, pick = envs.make("franka_move_pixmc", render=False), envs.make("franka_pick_pixmc", render=False)
    goals = []
    for seed in range(300):
        env.reset(seed=seed)
        goals.append(env.task.goal.at(env.data).copy())
    low, high = np.min(goals, 0), np.max(goals, 0)
    assert (np.abs(low - (0.4, -0.2, 0.6)) < 0.01).all() and (np.abs(high - (0.6, 0.2, 0.8)) < 0.01).all()
    env.reset(seed=1), pick.reset(seed=1)
    np.testing.assert_array_equal(env.data.body("object").xpos, pick.data.body("object").xpos)


@pytest.mark.parametrize(
    "hand,fingers,near,lifted,bonus,half",
    [
        ("parallel", (0.08, 0.08), 0.02, 0.015, 0.04, 0.0225),
        ("allegro", (0.04, 0.04, 0.04, 0.08), 0.03, 0.02, 0.06, 0.03),
    ],
)
def test_the_reward_is_the_published_formula(hand, fingers, near, lifted, bonus, half):
    task, action = object.__new__(Move.for_hand(hand)), np.full(9, 0.5)
    cube = np.array([0.5, 0, TABLE + half + lifted + 0.001])
    tips = cube + np.array([[0.0, 0.05, 0], [0, 0, 0.01], [0.1, 0, 0], [0, 0.2, 0]])[: len(fingers)]
    reach = sum(w / (0.04 + max(d, near)) for w, d in zip(fingers, (0.05, 0.01, 0.1, 0.2)))
    for far, bonuses in ((bonus - 0.001, 2.0), (bonus + 0.001, 0.0)):
        paid = task.reward(tips, cube, far, action)
        assert paid == pytest.approx(reach + 2.0 + 1.28 / (0.04 + far) + bonuses - 0.01 * 9 * 0.25)
    low = cube - (0, 0, 0.002)  # not lifted
    paid = task.reward(tips - (0, 0, 0.002), low, bonus + 0.1, np.zeros(9))
    assert paid == pytest.approx(reach)


def test_picks_reward_with_the_allegro_hand_is_the_published_formula():
    task = object.__new__(Pick.for_hand("allegro"))
    cube = np.array([0.5, 0, 0.75])
    tips = cube + np.array([[0.0, 0.05, 0], [0, 0, 0.01], [0.1, 0, 0], [0, 0.2, 0]])
    reach = 0.04 / 0.09 + 0.04 / 0.07 + 0.04 / 0.14 + 0.08 / 0.24
    assert task.reward(tips, cube, 0.05, np.zeros(23)) == pytest.approx(reach + 2 + 1.28 / 0.09 + 2)  # 0.05 ≤ 0.06
    assert task.reward(tips, cube - (0, 0, 0.02), 0.07, np.zeros(23)) < 2 + 2 + 1.28 / 0.11  # no bonus


def test_the_oracles_layout_is_the_published_one():
    env = envs.make("franka_move_pixmc", render=False, privileged=True)
    obs, _ = env.reset(seed=3)
    (left, right), cube, goal = env.task.fingertips(env.data), env.data.body("object").xpos, env.task.goal.at(env.data)
    wanted = [*left, *right, *cube, *goal, *(cube - left), *(cube - right), *(goal - cube)]
    np.testing.assert_allclose(obs["privileged"][18:], wanted, atol=1e-6)


@pytest.mark.parametrize("name,needed,ends", [("franka_move", 10, True), ("franka_move_pixmc", 1, False)])
def test_success_is_the_cube_at_the_goal(name, needed, ends):
    """At PixMC's protocol once, as in its code for the Franka; at ours for half a second."""
    env = envs.make(name, render=False)
    env.reset(seed=0)

    def hold(off_m):
        env.data.qpos[env.task.start : env.task.start + 3] = env.task.goal.at(env.data) + (off_m, 0, 0)
        env.data.qvel[-6:] = 0
        mujoco.mj_forward(env.model, env.data)
        return env.task.evaluate(env.data, np.zeros(env.action_space.shape))[1]

    assert not hold(0.041)
    assert [hold(0.039) for _ in range(needed)] == [False] * (needed - 1) + [True]
    assert env.protocol.ends_at_success == ends


def test_a_cube_that_falls_from_the_table_ends_a_pixmc_episode():
    env = envs.make("franka_move_pixmc", render=False)
    env.reset(seed=0)
    env.data.qpos[env.task.start : env.task.start + 3] = (0.0, 0, 0.3)
    assert env.step(np.zeros(9))[2]

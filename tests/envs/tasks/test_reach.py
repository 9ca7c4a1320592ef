"""Reach: PixMC's goals, reward and rule of success."""

import numpy as np
import pytest

import envs
from envs.tasks.reach import Reach


@pytest.mark.parametrize("name", ["franka_reach", "franka_reach_pixmc"])
def test_goals_fill_pixmcs_box_and_touch_nothing(name):
    env = envs.make(name, render=False)
    goals = []
    for seed in range(300):
        env.reset(seed=seed)
        goals.append(env.task.goal.at(env.data).copy())
    low, high = np.min(goals, 0), np.max(goals, 0)
    assert ((low - (0.35, -0.3, 0.5) >= 0) & (low - (0.35, -0.3, 0.5) < 0.02)).all()
    assert (((0.75, 0.3, 0.9) - high >= 0) & ((0.75, 0.3, 0.9) - high < 0.02)).all()
    geom = env.model.geom("goal")
    assert geom.size[0] == 0.04 and geom.contype[0] == geom.conaffinity[0] == 0


def test_the_reward_is_the_published_formula():
    task = object.__new__(Reach)
    assert task.reward(0.06, np.full(9, 0.5)) == pytest.approx(0.08 / 0.1 - 0.01 * 9 * 0.25)
    assert task.reward(0.04, np.zeros(9)) == pytest.approx(1.0 + 0.2)  # 0.4 times a bonus of 0.5
    assert object.__new__(Reach.for_hand("allegro")).reward(0.04, np.zeros(23)) == pytest.approx(1.2)


def test_what_reaches_is_the_middle_of_the_fingertips_and_the_oracle_sees_it_first():
    env = envs.make("franka_reach_pixmc", render=False, privileged=True)
    obs, _ = env.reset(seed=3)
    tips, goal = env.task.fingertips(env.data), env.task.goal.at(env.data)
    hand = tips.mean(axis=0)
    np.testing.assert_allclose(obs["privileged"][18:], [*hand, *goal, *(goal - hand)], atol=1e-6)


@pytest.mark.parametrize("name,ends", [("franka_reach", True), ("franka_reach_pixmc", False)])
def test_ten_steps_in_a_row_within_four_centimetres_succeed(name, ends):
    env = envs.make(name, render=False)
    env.reset(seed=0)
    still = np.zeros(env.action_space.shape)
    if not ends:
        still[7:] = 1  # the fingers open and stay so
    for step in range(1, 12):
        env.data.mocap_pos[env.task.goal.slot] = env.task.hand(env.data) + (0.02, 0.02, 0.02)
        _, _, terminated, _, info = env.step(still)
        assert info["success"] == (step >= 10) and terminated == (ends and step >= 10)
        if terminated:
            break

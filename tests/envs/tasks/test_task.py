"""Properties of all tasks: lengths, the numbers of each hand, successes in a row, looks."""

import mujoco
import numpy as np
import pytest

import envs
from envs.fingerprint import describe, fingerprint
from envs.tasks import TASKS
from envs.tasks.cabinet import Cabinet
from envs.tasks.move import Move
from envs.tasks.pick import Pick
from envs.tasks.pick_hidden import PickHidden
from envs.tasks.reach import Reach

NEW = [
    name for name in envs.names() if name.split("_")[-1] in ("reach", "move", "cabinet") and name.startswith("franka")
]


@pytest.mark.parametrize(
    "name", [f"{robot}_{task}" for robot in ("franka", "kuka") for task in ("reach", "move", "cabinet", "pick")]
)
def test_an_episode_takes_as_many_seconds_at_both_protocols(name):
    ours, pixmc = envs.make(name, render=False), envs.make(f"{name}_pixmc", render=False)
    assert ours.horizon / ours.control_hz == pytest.approx(pixmc.horizon / pixmc.control_hz, abs=0.06)


@pytest.mark.parametrize("name", [n for n in envs.names() if not n.endswith("_pixmc")])
def test_the_names_of_the_privileged_observation_add_up_to_it(name):
    env = envs.make(name, render=False, privileged=True)
    sizes = {"(dof)": env.dof, "(4 × 3)": 12, "(2 × 3)": 6, "(3)": 3, "(1)": 1}
    said = sum(next(size for text, size in sizes.items() if each.endswith(text)) for each in env.task.privileged_names)
    rotation = 6 if hasattr(env.task, "body") and env.protocol.random_yaw else 0  # the cube's yaw is random
    assert env.reset(seed=0)[0]["privileged"].shape == (said + rotation,)


def test_the_numbers_of_the_allegro_hand_are_pixmcs():
    reach, move, pick, cabinet = (task.for_hand("allegro") for task in (Reach, Move, Pick, Cabinet))
    assert reach.goal_m == (0.45, 0, 0.65) and reach.reaching == (0,)  # the index finger
    assert pick.half_m == move.half_m == 0.03 and pick.goal_tolerance_m == 0.1
    assert (move.goal_tolerance_m, move.pixmc_success_steps) == (0.0675, 10)
    assert (Move.goal_tolerance_m, Move.pixmc_success_steps) == (0.04, 1)
    assert not cabinet.needs_fingers and Cabinet.needs_fingers
    assert 'size="0.03 0.03 0.03"' in pick.mjcf() and "0.43" in pick.mjcf()


def test_a_hand_that_a_task_has_no_numbers_for_is_refused_with_those_that_it_has():
    assert Cabinet.knows_hand("allegro") and not PickHidden.knows_hand("allegro") and not Cabinet.knows_hand("hook")
    with pytest.raises(envs.EnvError, match="hand with task=cabinet: 'hook'. What exists: allegro, parallel"):
        Cabinet.for_hand("hook")


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.knows_hand("allegro")])
def test_the_grippers_numbers_are_the_classs_and_anothers_stand_in_the_fingerprint(task):
    assert task.for_hand("parallel") is task and not hasattr(task, "hand_numbers")
    other = task.for_hand("allegro")
    assert other is task.for_hand("allegro") and other.hand_numbers and issubclass(other, task)


def test_sets_recorded_before_there_were_other_tasks_still_know_their_environment():
    known = {
        "franka_pick": "69a4e067d2012d30eca11e171a7cbcbefa18eb6fe3cbde8a9dae7b30a757907a",
        # since 2026-11-26: harder contacts
        "franka_pick_pixmc": "0482281a023091be97dce4e1a4affb5c88a26f2fc159303010957b8c7cd74bf1",
        "franka_cube": "4825d6556eb57c3086b8219bcc38343352992e94e8d615bb29a161ca54514340",
    }
    assert {name: fingerprint(describe(envs.make(name, render=False))) for name in known} == known


@pytest.mark.parametrize("name", NEW)
def test_every_look_leaves_the_scene_where_it_is_and_changes_its_colours(name):
    plain = envs.make(name, privileged=True, image_size=64)
    there = plain.reset(seed=5)[0]
    for look in ({"shift": "colour"}, {"shift": "all"}, {"appearance": "random"}, {"appearance": "cluttered"}):
        obs = envs.make(name, privileged=True, image_size=64, **look).reset(seed=5)[0]
        np.testing.assert_array_equal(obs["privileged"], there["privileged"])
        assert (obs["rgb"] != there["rgb"]).mean() > 0.05, look


@pytest.mark.parametrize("name", NEW)
def test_a_scene_is_drawn_in_its_nominal_colours(name):
    env = envs.make(name)
    env.reset(seed=0)
    for geom, (colour, own) in env.task.painted.items():
        rgb = own or getattr(env.look, colour)
        np.testing.assert_allclose(env.model.geom(geom).rgba, (*rgb, 1), atol=1e-6)


def test_the_streak_of_good_steps_breaks_and_comes_back_with_the_state():
    env = envs.make("franka_reach", render=False)
    env.reset(seed=0)
    goal = env.data.mocap_pos[env.task.goal.slot]

    def step(there):
        goal[:] = env.task.hand(env.data) + (0 if there else 0.05, 0, 0)
        mujoco.mj_forward(env.model, env.data)
        return env.task.evaluate(env.data, np.zeros(8))[1]

    assert [step(True) for _ in range(10)] == [False] * 9 + [True]
    assert not step(False) and not any(step(True) for _ in range(9))
    env.task.restore(env.task.state())
    assert step(True)

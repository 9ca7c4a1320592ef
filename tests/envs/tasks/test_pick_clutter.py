"""The card names one object of three, in every frame, and nothing else does."""

from collections import Counter

import mujoco
import numpy as np
import pytest

import envs
from policies.experts import ScriptedPick

NAME = "franka_pick_clutter"


@pytest.fixture(scope="module")
def still():
    return envs.make(NAME, render=False)


def ids(env) -> np.ndarray:
    """(128, 128): which geom the wrist camera sees in each pixel, -1 for none."""
    with mujoco.Renderer(env.model, 128, 128) as renderer:
        renderer.enable_segmentation_rendering()
        renderer.update_scene(env.data, "wrist")
        return renderer.render()[..., 0]


def card_pixels(env) -> np.ndarray:
    return ids(env) == env.task.card


def test_the_target_is_drawn_uniformly_among_the_shapes_and_the_places(still):
    rng, count = np.random.default_rng(0), 1500
    shapes, ranks, hues = Counter(), [Counter(), Counter()], []
    for _ in range(count):
        still.task.place(still.data, rng)
        places = np.array([still.data.qpos[start : start + 2] for start in still.task.starts])
        apart = np.linalg.norm(places[:, None] - places, axis=-1)[np.triu_indices(3, 1)]
        assert apart.min() >= 0.12 and (np.abs(places - (0.5, 0)) <= (0.1, 0.2)).all()
        shapes[still.task.target] += 1
        for axis, rank in enumerate(ranks):
            rank[int((places[:, axis] < places[still.task.target, axis]).sum())] += 1
        hues.append(still.task.rgb[still.task.target].argmax())
    for seen in (shapes, *ranks, Counter(hues)):
        assert set(seen) == {0, 1, 2} and all(abs(n / count - 1 / 3) < 0.05 for n in seen.values()), seen


def test_the_colours_of_the_objects_are_far_apart(still):
    rng = np.random.default_rng(1)
    for _ in range(300):
        rgb = still.task._colours(rng)
        assert np.linalg.norm(rgb[:, None] - rgb, axis=-1)[np.triu_indices(3, 1)].min() > 0.4


@pytest.mark.parametrize("which, success", [("target", True), ("other", False)])
def test_only_the_target_in_the_air_is_a_success_and_another_object_ends_the_episode(still, which, success):
    still.reset(seed=2)
    lifted = still.task.target if which == "target" else (still.task.target + 1) % 3
    start = still.task.starts[lifted]
    for _ in range(still.task.success_steps):
        still.data.qpos[start : start + 3] = (0.5, 0, 0.8)
        mujoco.mj_forward(still.model, still.data)
        _, done, failed = still.task.evaluate(still.data, np.zeros(8))
        assert failed == (not success)
    assert done == success
    still.reset(seed=2)
    still.data.qpos[start + 2] += 0.2
    _, _, terminated, _, info = still.step(np.zeros(8))
    assert terminated == (not success) and not info["success"]


@pytest.mark.parametrize("options", [{}, {"appearance": "wide"}], ids=str)
def test_the_card_is_in_the_picture_at_every_step_and_has_the_colour_of_the_target(options):
    env, expert = envs.make(NAME, **options), ScriptedPick()
    env.reset(seed=1001)
    with mujoco.Renderer(env.model, 128, 128) as renderer:
        renderer.enable_segmentation_rendering()
        for _ in range(env.horizon):
            renderer.update_scene(env.data, "wrist")
            seen = renderer.render()[..., 0] == env.task.card
            assert 400 < seen.sum() < 1000
            rgba = env.model.geom_rgba
            for geom in np.flatnonzero(env.model.geom_bodyid == env.task.body):
                np.testing.assert_array_equal(rgba[geom], rgba[env.task.card])
            *_, terminated, _, info = env.step(expert.label(env))
            if terminated:
                break
    assert info["success"]


def test_a_grey_card_changes_the_card_and_nothing_else():
    plain, shift, look = (envs.make(NAME, **o) for o in ({}, {"shift": "grey_card"}, {"appearance": "grey_card"}))
    a, b, c = (env.reset(seed=3)[0]["rgb"] for env in (plain, shift, look))
    np.testing.assert_array_equal(b, c)
    changed, card = (a != b).any(-1), card_pixels(plain)
    assert (changed & ~card).sum() <= 0.15 * card.sum()  # the card's edge is within a pixel
    assert (changed & card).mean() > 0.9 * card.mean()
    assert np.ptp(b[card & changed].astype(int), axis=-1).max() <= 2
    mixed = envs.make(NAME, appearance="mixed_grey_card")
    mixed.reset(seed=4)
    np.testing.assert_array_equal(mixed.model.geom_rgba[mixed.task.card, :3], np.float32(0.5))


@pytest.mark.parametrize("options", [{"shift": "grey_card"}, {"appearance": "mixed_grey_card"}])
def test_a_task_without_a_card_refuses_to_make_it_grey(options):
    with pytest.raises(envs.EnvError, match="the task pick has no card"):
        envs.make("franka_pick", **options)


def test_labels_and_states_are_the_same_in_every_look():
    expert = ScriptedPick()
    looks = ({}, {"shift": "all"}, {"appearance": "wide"}, {"shift": "grey_card"}, {"appearance": "random"})
    worlds = [envs.make(NAME, privileged=True, render=False, **look) for look in looks]
    seen = [env.reset(seed=5)[0] for env in worlds]
    for _ in range(8):
        labels = [expert.label(env) for env in worlds]
        for obs, label in zip(seen, labels):
            np.testing.assert_array_equal(obs["privileged"], seen[0]["privileged"])
            np.testing.assert_array_equal(label, labels[0])
        seen = [env.step(labels[0])[0] for env in worlds]


def test_the_hand_touches_only_the_object_that_it_grasps(still):
    expert = ScriptedPick()
    for seed in range(1000, 1002):
        still.reset(seed=seed)
        for _ in range(still.horizon):
            *_, terminated, _, info = still.step(expert.label(still))
            touching = still.model.geom_bodyid[still.data.contact.geom]
            on_robot = still.model.body_rootid[touching] == still.model.body("base").id
            assert not set(touching[on_robot.any(1)].flatten()) & set(still.task.others)
            if terminated:
                break
        assert info["success"]


def test_only_the_franka_has_it_and_a_restored_state_has_its_target_and_colours():
    assert [name for name in envs.names() if "clutter" in name] == [NAME]
    a, b = envs.make(NAME), envs.make(NAME)
    first = a.reset(seed=6)[0]["rgb"]
    b.reset(seed=7)
    np.testing.assert_array_equal(b.restore(a.snapshot())["rgb"], first)
    assert b.task.target == a.task.target

"""The held-out family of looks changes what is seen and nothing else, and no training code can reach it."""

import ast
from pathlib import Path

import numpy as np
import pytest

import envs
from envs import held_out
from envs.appearance import ALSO, HELD_OUT, LOOKS, NOMINAL
from envs.looks import TRAINING

ROOT = Path(__file__).parents[2]


def test_only_the_environment_imports_the_held_out_looks():
    importers = set()
    for room in ("toto_robot", "envs", "policies", "demos", "deploy"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, (ast.Import, ast.ImportFrom)) and "held_out" in ast.unparse(node):
                    module = getattr(node, "module", "") or ""
                    if module.startswith("envs") or any(alias.name.startswith("envs.held_out") for alias in node.names):
                        importers.add(path.relative_to(ROOT).as_posix())
    assert importers == {"envs/robot_env.py"}


def test_no_look_of_training_has_the_name_of_a_held_out_one():
    assert not set(HELD_OUT) & {*LOOKS, *ALSO, *TRAINING}
    with pytest.raises(envs.EnvError, match="Unknown appearance 'photo'"):
        envs.make("franka_reach", appearance="photo")
    with pytest.raises(envs.EnvError, match="Unknown also 'photo'"):
        envs.make("franka_reach", also=("photo",))


def test_every_part_alone_is_drawn_by_its_name_and_held_out_has_at_least_one():
    has = {
        "photo": lambda look: look.look.table_texture is not None,
        "shadow": lambda look: look.second_lamp_m is not None,
        "blur": lambda look: look.jpeg is not None,
        "drift": lambda look: look.drift is not None,
        "cloth": lambda look: look.cloth is not None,
    }
    assert set(has) == set(held_out.PARTS)
    for seed in range(40):
        for name in held_out.PARTS:
            look = held_out.draw_look(name, np.random.default_rng(seed))
            assert [part for part, there in has.items() if there(look)] == [name]
        assert any(there(held_out.draw_look("held_out", np.random.default_rng(seed))) for there in has.values())


def test_the_look_changes_the_picture_and_not_the_physics():
    plain, other = envs.make("franka_pick"), envs.make("franka_pick", shift="held_out")
    (a, _), (b, _) = plain.reset(seed=3), other.reset(seed=3)
    assert np.array_equal(a["proprio"], b["proprio"]) and not np.array_equal(a["rgb"], b["rgb"])
    for _ in range(5):
        a, b = plain.step(np.full(8, 0.3))[0], other.step(np.full(8, 0.3))[0]
        assert np.array_equal(a["proprio"], b["proprio"])
    assert np.array_equal(plain.cube_in_hand_m, other.cube_in_hand_m)


def test_a_restored_state_is_drawn_the_same_again():
    env = envs.make("franka_pick", shift="held_out")
    env.reset(seed=8)
    first = env.step(np.zeros(8))[0]["rgb"]
    state = env.get_state()
    env.step(np.ones(8))
    assert np.array_equal(env.set_state(state)["rgb"], first)


def test_the_exposure_drifts_within_an_episode_and_blur_keeps_the_size():
    frame = np.full((16, 16, 3), 100, np.uint8)
    drifting = held_out.HeldOutLook(NOMINAL, drift=(0.2, 40.0, 0.0))
    assert held_out.seen(frame, drifting, 10).mean() > 115 > 85 > held_out.seen(frame, drifting, 30).mean()
    assert held_out.seen(frame, held_out.HeldOutLook(NOMINAL, blur_px=0.5, jpeg=40), 0).shape == frame.shape

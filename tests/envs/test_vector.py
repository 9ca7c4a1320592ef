"""VectorEnv: the same numbers as single environments, whatever the number of workers."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import envs
from policies.experts import ScriptedPick

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def vec():
    with envs.VectorEnv("franka_pick", 3, workers=2, privileged=True, labeller=ScriptedPick()) as v:
        yield v


def test_slots_equal_single_environments(vec):
    single = [envs.make("franka_pick", privileged=True) for _ in range(3)]
    obs, alone = vec.reset([4, 5, 6]), [e.reset(seed=s)[0] for e, s in zip(single, (4, 5, 6))]
    rng = np.random.default_rng(0)
    for _ in range(5):
        for i, one in enumerate(alone):
            for key in ("rgb", "proprio", "privileged"):
                np.testing.assert_array_equal(obs[key][i], one[key])
            np.testing.assert_array_equal(obs["expert"][i], ScriptedPick().label(single[i]))
        actions = rng.uniform(-1, 1, (3, 8)).astype(np.float32)
        obs, reward, *_ = vec.step(actions)
        results = [e.step(a) for e, a in zip(single, actions)]
        alone = [r[0] for r in results]
        np.testing.assert_array_equal(reward, [r[1] for r in results])


def test_slots_in_this_process_equal_those_of_workers(vec):
    with envs.VectorEnv("franka_pick", 3, workers=0, privileged=True, labeller=ScriptedPick()) as here:
        pairs = [(v.reset([4, 5, 6]), v.step(np.full((3, 8), 0.5, np.float32))) for v in (vec, here)]
        for ours, theirs in zip((pairs[0][0], pairs[0][1][0]), (pairs[1][0], pairs[1][1][0])):
            for key in ours:
                np.testing.assert_array_equal(ours[key], theirs[key])
        assert here.call(1, "data.time") == vec.call(1, "data.time") and here.render(0).shape == (256, 256, 3)
        again = here.set_state(vec.get_state())
        np.testing.assert_array_equal(again["expert"], pairs[0][1][0]["expert"])


@pytest.mark.parametrize(
    "name",
    [
        "franka_pick_clutter",
        "franka_pick_hidden",
        "franka_reach",
        "kuka_cabinet",
        "kuka_gripper_move",
        "kuka_pick_pixmc",
    ],
)
def test_results_do_not_depend_on_the_workers(name):
    """Every task and every robot once: two slots in one process and in two."""
    seen = []
    for workers in (1, 2):
        with envs.VectorEnv(name, 2, workers=workers, privileged=True, snapshots=True, image_size=32) as vec:
            obs, rng = vec.reset([4, 5]), np.random.default_rng(0)
            numbers = [obs]
            for _ in range(4):
                obs, reward, terminated, truncated, info = vec.step(rng.uniform(-1, 1, (2, vec.action_dim)))
                numbers.append({**obs, **info, "reward": reward, "terminated": terminated, "truncated": truncated})
            seen.append(numbers)
    for other in seen[1:]:
        for a, b in zip(seen[0], other):
            for key in a:
                np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_inactive_slots_stand_still(vec):
    vec.reset([1, 2, 3])
    before = vec.call(1, "data.time")
    *_, info = vec.step(np.ones((3, 8), np.float32), active=[True, False, True])
    assert vec.call(1, "data.time") == before
    assert info["steps"].tolist() == [1, 0, 1]


def test_resetting_one_slot_leaves_the_others(vec):
    vec.reset([1, 2, 3])
    obs, *_ = vec.step(np.zeros((3, 8), np.float32))
    again = vec.reset([9], indices=[1])
    np.testing.assert_array_equal(again["proprio"][[0, 2]], obs["proprio"][[0, 2]])
    assert (again["proprio"][1] != obs["proprio"][1]).any()


def test_saved_states_continue_bit_for_bit(vec):
    vec.reset([1, 2, 3])
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (10, 3, 8)).astype(np.float32)
    for a in actions[:5]:
        vec.step(a)
    states = vec.get_state()
    first = [vec.step(a)[0] for a in actions[5:]]
    vec.reset([7, 8, 9])
    vec.set_state(states)
    for a, was in zip(actions[5:], first):
        now = vec.step(a)[0]
        for key in was:
            np.testing.assert_array_equal(now[key], was[key])


def test_mistakes_are_said_and_workers_end():
    with pytest.raises(envs.EnvError, match="Unknown env 'franka_pik'. Did you mean 'franka_pick'. What exists: "):
        envs.VectorEnv("franka_pik", 1)
    v = envs.VectorEnv("franka_pick", 2, workers=2, render=False)
    processes = [worker.process for worker, _ in v._workers]
    with pytest.raises(envs.EnvError, match="one seed"):
        v.reset([1])
    with pytest.raises(envs.EnvError, match="takes actions"):
        v.step(np.zeros((2, 3)))
    v.close()
    v.close()
    assert not any(p.is_alive() for p in processes)


def test_snapshots_and_views_show_the_state_that_the_observation_shows():
    with envs.VectorEnv("franka_pick", 2, workers=1, snapshots=True, views=("side",), image_size=32) as vec:
        vec.reset([1, 2])
        obs, *_ = vec.step(np.full((2, 8), 0.5, np.float32))
    env = envs.make("franka_pick", image_size=32)
    for i in range(2):
        env.reset(seed=0)
        snapshot = {k: obs[k][i] for k in ("sim_state", "protocol_state", "task_state", "look_seed")}
        again = env.restore(snapshot | {"steps": 1, "success": False})
        np.testing.assert_array_equal(again["rgb"], obs["rgb"][i])
        np.testing.assert_array_equal(env.view("side", 32, 32), obs["rgb_side"][i])
        np.testing.assert_array_equal(env.snapshot()["sim_state"], obs["sim_state"][i])
    with pytest.raises(envs.EnvError, match="another model"):
        env.restore(snapshot | {"sim_state": np.zeros(3), "steps": 0, "success": False})


PROGRAM = """
import sys

import envs

sys.stderr.write("program\\n")


class Zeros:
    def label(self, env):
        import numpy

        sys.stderr.write(f"torch {'torch' in sys.modules}\\n")
        return numpy.zeros(8)


if __name__ == "__main__" or 'guarded' not in sys.argv:
    import torch

    from policies.experts import ScriptedPick

    labeller = Zeros() if "own" in sys.argv else ScriptedPick()
    vec = envs.VectorEnv("franka_cube", 1, workers=1, render=False, labeller=labeller)
    print(vec.reset([0])["expert"].shape)
    vec.close()
"""


@pytest.mark.parametrize("words, runs", [([], 1), (["own", "guarded"], 2)])
def test_workers_import_the_program_only_for_a_labeller_of_its_own(tmp_path, words, runs):
    """A program needs no `if __name__ == "__main__"`, and a worker needs no torch, without such a labeller."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "(1, 8)\n" and done.stderr.count("program\n") == runs
    assert "torch True" not in done.stderr

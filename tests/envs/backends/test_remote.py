"""Environments in a worker with its own Python: the same numbers, clear errors, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import envs
from envs.backends import messages
from envs.backends.remote import RemoteVectorEnv
from policies.scoring.rollout import evaluate

ROOT = Path(__file__).parents[3]
WORKER = Path(__file__).with_name("mujoco_worker.py")


def remote(*words, name="franka_pick", num_envs=2, **options):
    command = [
        "env",
        f"PYTHONPATH={ROOT}",
        "MUJOCO_GL=" + os.environ.get("MUJOCO_GL", "egl"),
        sys.executable,
        str(WORKER),
        *words,
    ]
    return RemoteVectorEnv(command, name, num_envs, **{"image_size": 32, "privileged": True} | options)


def gone(pid):
    """Whether the process is dead. A zombie counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture(scope="module")
def pair():
    with remote() as there, envs.VectorEnv("franka_pick", 2, workers=1, privileged=True, image_size=32) as here:
        yield there, here


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)
        assert a[key].dtype == b[key].dtype


def test_it_has_the_contract_of_a_vector_env(pair):
    there, here = pair
    for key in ("name", "num_envs", "action_dim", "proprio_dim", "privileged_dim", "control_hz", "horizon", "shift"):
        assert getattr(there, key) == getattr(here, key), key
    assert_same(there.reset([4, 5]), here.reset([4, 5]))
    for i, actions in enumerate(np.random.default_rng(0).uniform(-1, 1, (6, 2, 8)).astype(np.float32)):
        active = None if i % 2 else [True, False]
        (a, *x, xi), (b, *y, yi) = there.step(actions, active), here.step(actions, active)
        assert_same(a, b)
        assert_same(xi, yi)
        for u, v in zip(x, y):
            np.testing.assert_array_equal(u, v)
    assert_same(there.reset([9], [1]), here.reset([9], [1]))


def test_saved_states_continue_bit_for_bit(pair):
    vec, _ = pair
    vec.reset([1, 2])
    actions = np.random.default_rng(0).uniform(-1, 1, (6, 2, 8)).astype(np.float32)
    for a in actions[:3]:
        vec.step(a)
    states = vec.get_state()
    assert all(isinstance(state, bytes) for state in states)
    first = [vec.step(a)[0] for a in actions[3:]]
    vec.reset([7, 8])
    vec.set_state(states)
    for a, was in zip(actions[3:], first):
        assert_same(vec.step(a)[0], was)


def test_an_evaluation_in_a_worker_is_the_same_evaluation():
    act = lambda obs: np.tanh(obs["proprio"][:, :9]).astype(np.float32)
    options = dict(name="franka_reach_pixmc", render=False)
    with remote(**options) as there, envs.VectorEnv("franka_reach_pixmc", 2, workers=1, render=False) as here:
        assert evaluate(there, act, [1, 2, 3]) == evaluate(here, act, [1, 2, 3])


class Nudge:
    """An expert that needs nothing but the observation."""

    def act(self, privileged, proprio):
        return np.clip(privileged[:, -8:] + proprio[:, :8], -1, 1)

    def label(self, env):
        return self.act(env.privileged()[None], env.proprio()[None])[0]


@pytest.mark.parametrize("privileged", [False, True])
def test_an_expert_that_sees_only_the_observation_labels_on_this_side(privileged):
    options = dict(labeller=Nudge(), privileged=privileged, render=False, image_size=32)
    with remote(**options) as there, envs.make_vec("franka_pick", 2, backend="mujoco", workers=0, **options) as here:
        assert there.privileged_dim == here.privileged_dim == 40 * privileged
        a, b = there.reset([1, 2]), here.reset([1, 2])
        for _ in range(2):
            assert_same(a, b)
            a, b = there.step(a["expert"])[0], here.step(b["expert"])[0]


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda vec: vec.reset([1]), "one seed for each of the 2 slots, got 1"),
        (lambda vec: vec.reset([1], [2]), "slots from 0 to 1"),
        (lambda vec: vec.step(np.zeros((2, 3))), r"takes actions \(2, 8\), got \(2, 3\)"),
        (lambda vec: vec.step(np.full((2, 8), np.nan)), "NaN"),
        (lambda vec: vec.set_state([b"", b""]), "not from a worker"),
        (lambda vec: vec.set_state([messages.pack("state", {}, {"a": np.zeros(1)}), messages.pack("state")]), "differ"),
        (lambda vec: vec.render(0), "only its wrist camera"),
    ],
)
def test_a_users_mistake_is_found_on_this_side_and_the_worker_lives_on(pair, call, words):
    with pytest.raises(envs.EnvError, match=words):
        call(pair[0])
    pair[0].reset([1, 2])


def test_a_mistake_that_the_worker_finds_is_the_users():
    with pytest.raises(envs.EnvError, match="franka_pik.*there are.*franka_pick_pixmc"):
        remote(name="franka_pik")
    with pytest.raises(envs.EnvError, match="could not be started.*/no/such/python"):
        RemoteVectorEnv(["/no/such/python"], "franka_pick", 1)


@pytest.mark.parametrize(
    "what,error,words",
    [
        ("die", RuntimeError, r"died at step \(exit code -9\)\nThe end of what it printed:\nabout to die"),
        ("crash", RuntimeError, "ArithmeticError: a bug of the worker"),
        ("refuse", envs.EnvError, "this is not allowed; there are: other things"),
        ("print", RuntimeError, r"broke the protocol at step.*b'Impo'.*something else writes"),
        ("wrong shape", RuntimeError, "expected the arrays.*got.*proprio"),
        ("wrong answer", RuntimeError, "answered step with 'hello'"),
        ("huge", RuntimeError, "at most"),
        ("hang", RuntimeError, "no answer to step within 1 s"),
    ],
)
def test_a_worker_that_misbehaves_is_named_and_ended(what, error, words):
    vec = remote("--at", "step", "--do", what, render=False, timeout_s=60.0)
    pid = vec._process.pid
    vec.reset([1, 2])
    vec.timeout_s = 1.0 if what == "hang" else 60.0
    with pytest.raises(error, match="(?s)" + words):
        vec.step(np.zeros((2, 8)))
    assert gone(pid)
    with pytest.raises(RuntimeError, match="is gone"):
        vec.reset([1, 2])
    vec.close()
    vec.close()


def test_a_worker_that_was_killed_from_outside_is_said_with_its_exit_code():
    vec = remote(render=False)
    vec.reset([1, 2])
    os.kill(vec._process.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"exit code -9"):
        vec.step(np.zeros((2, 8)))


@pytest.mark.parametrize(
    "what,words", [("old", "version 1"), ("hang", "no answer to hello within 2 s"), ("die", "exit code -9")]
)
def test_a_worker_that_does_not_begin_well_is_not_kept(what, words):
    with pytest.raises(RuntimeError, match=words):
        remote("--at", "hello", "--do", what, start_s=2.0 if what == "hang" else 60.0)


def test_a_worker_of_another_version_refuses_and_says_both(monkeypatch):
    monkeypatch.setattr(messages, "VERSION", 2)
    with pytest.raises(envs.EnvError, match="version 1.*got hello toto-vector-env version 2"):
        remote()


def test_closing_ends_the_worker():
    vec = remote(render=False)
    pid = vec._process.pid
    vec.close()
    assert gone(pid)
    with pytest.raises(RuntimeError, match="closed"):
        vec.reset([1, 2])


PARENT = """
import sys, time
sys.path.insert(0, {here!r})
from test_remote import remote
vec = remote(render=False)
vec.reset([1, 2])
print(vec._process.pid, flush=True)
time.sleep(600)
"""


def test_a_worker_ends_when_its_parent_was_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(here=str(WORKER.parent))],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    pid = int(parent.stdout.readline())
    assert not gone(pid)
    parent.kill()
    parent.wait()
    for _ in range(200):
        if gone(pid):
            break
        time.sleep(0.05)
    assert gone(pid)

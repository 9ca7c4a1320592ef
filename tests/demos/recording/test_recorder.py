"""Recording: the same episodes whatever runs side by side and however often it was stopped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_set import attrs

from demos import DemoError, DemoSet, DemoWriter
from demos.recording.recorder import Plan, record, resumable
from demos.store import verify


class CountingVec:
    """N environments whose episodes last, and succeed, as their seed says; its observations tell seed and step."""

    action_dim, control_hz = 2, 20.0

    def __init__(self, num_envs, wins=lambda seed: seed % 3 != 0):
        self.num_envs, self.wins = num_envs, wins
        self.seed, self.t = np.zeros(num_envs, int), np.zeros(num_envs, int)

    def _obs(self):
        told = np.stack([self.seed, self.t], 1).astype(np.float32)
        return {
            "rgb": np.broadcast_to((self.seed % 256)[:, None, None, None], (self.num_envs, 8, 8, 3)).astype(np.uint8),
            "proprio": told,
            "sim_state": told.astype(np.float64),
            "protocol_state": told[:, :1].astype(np.float64),
            "task_state": told[:, 1:].astype(np.float64),
            "look_seed": self.seed.copy(),
        }

    def reset(self, seeds, indices=None):
        indices = np.arange(self.num_envs) if indices is None else np.asarray(indices)
        self.seed[indices], self.t[indices] = seeds, 0
        return self._obs()

    def step(self, actions, active):
        self.t += active
        over = self.t >= 3 + self.seed % 5
        success = over & np.array([self.wins(int(s)) for s in self.seed])
        return self._obs(), np.ones(self.num_envs), success, over & ~success, {"success": success}


def act(obs):
    return obs["proprio"] / 1000


def run(path, num_envs, episodes, keep="success", stop_after=None, **options):
    """Records. With `stop_after` the recording is killed after that many steps."""
    count = iter(range(10**6))

    def on_step(plan):
        if stop_after is not None and next(count) >= stop_after:
            raise KeyboardInterrupt

    with DemoWriter(path, attrs(), resume=True) as writer:
        plan = resumable(path, lambda index: Plan(episodes, keep, index))
        record(CountingVec(num_envs), act, writer, plan, seed=5, seed_of=lambda i: 100 + i, on_step=on_step, **options)
    return plan


def contents(path):
    """All arrays and numbers of each attempt."""
    demos = DemoSet(path)
    return {int(i): {k: v.tobytes() for k, v in demos.episode(n).items()} for n, i in enumerate(demos.meta("index"))}


@pytest.mark.parametrize("keep", ["success", "all"])
def test_the_set_does_not_depend_on_how_many_run_side_by_side_nor_on_interruptions(tmp_path, keep):
    run(tmp_path / "one", 1, 6, keep, noise_std=0.3)
    run(tmp_path / "four", 4, 6, keep, noise_std=0.3)
    for stop in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", 3, 6, keep, stop_after=stop, noise_std=0.3)
    run(tmp_path / "stopped", 2, 6, keep, noise_std=0.3)
    assert contents(tmp_path / "one") == contents(tmp_path / "four") == contents(tmp_path / "stopped")
    assert DemoSet(tmp_path / "one").episodes == 6 and verify(tmp_path / "four") == []
    assert run(tmp_path / "one", 2, 6, keep, noise_std=0.3).tried == 0, "a set that is full is left alone"


def test_only_successes_are_kept_and_no_attempt_is_made_that_is_not_needed(tmp_path):
    plan = run(tmp_path / "set", 8, 5)
    demos = DemoSet(tmp_path / "set")
    assert demos.meta("success").all() and demos.episodes == 5
    wins = [i for i in range(40) if (100 + i) % 3][:5]
    assert sorted(demos.meta("index")) == wins and plan.tried == wins[-1] + 1


@given(
    wins=st.lists(st.booleans(), min_size=30, max_size=30),
    slots=st.integers(1, 9),
    order=st.randoms(),
    episodes=st.integers(1, 8),
)
def test_the_attempts_are_the_shortest_list_with_enough_successes(wins, slots, order, episodes):
    wins = wins + [True] * episodes
    plan, running, tried = Plan(episodes, "success"), [], []
    while True:
        while len(running) < slots and (index := plan.start()) is not None:
            running.append(index)
            tried.append(index)
        if not running:
            break
        plan.end(wins[running.pop(order.randrange(len(running)))])
    needed = next(n for n in range(1, 99) if sum(wins[:n]) == episodes)
    assert sorted(tried) == list(range(needed)) and plan.kept == episodes


def test_each_step_holds_what_was_seen_before_it_and_what_came_of_it(tmp_path):
    run(tmp_path / "set", 2, 3)
    demos = DemoSet(tmp_path / "set")
    for i in range(3):
        data, seed = demos.episode(i), int(demos.meta("seed")[i])
        steps = np.arange(len(data["action"]))
        assert len(steps) == 3 + seed % 5 and seed == 100 + demos.meta("index")[i] == demos.meta("look_seed")[i]
        np.testing.assert_array_equal(data["sim_state"], np.stack([np.full(len(steps), seed), steps], 1))
        np.testing.assert_array_equal(data["action"], (data["proprio"] / 1000).astype(np.float32))
        np.testing.assert_array_equal(data["timestamp_s"], steps / 20)
        assert data["success"].tolist() == [False] * (len(steps) - 1) + [True]
        assert (data["rgb_wrist"] == seed).all()


def test_noise_moves_the_executed_action_only_and_leaves_the_gripper_alone(tmp_path):
    run(tmp_path / "set", 2, 6, noise_std=0.3, quiet_actions=[-1])
    demos = DemoSet(tmp_path / "set")
    data = [demos.episode(i) for i in range(6)]
    pushed = np.concatenate([d["action_applied"] - d["action"] for d in data])
    np.testing.assert_array_equal(
        np.concatenate([d["action"] for d in data]),
        np.concatenate([(d["proprio"] / 1000).astype(np.float32) for d in data]),
    )
    assert 0.15 < pushed[:, 0].std() < 0.45 and (pushed[:, 1] == 0).all()
    assert np.abs(np.concatenate([d["action_applied"] for d in data])).max() <= 1


def test_a_recording_that_never_succeeds_gives_up_and_says_so(tmp_path):
    with (
        DemoWriter(tmp_path / "set", attrs()) as writer,
        pytest.raises(DemoError, match="10 attempts and only 0 successes"),
    ):
        record(
            CountingVec(2, wins=lambda seed: False),
            act,
            writer,
            Plan(3, "success"),
            seed=0,
            seed_of=lambda i: i,
            give_up=lambda tried, kept: tried >= 10,
        )

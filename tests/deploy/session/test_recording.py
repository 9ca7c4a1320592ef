import subprocess

import numpy as np
import pytest

import envs
from demos import DemoSet
from demos.store import verify
from deploy.control.plan import Period
from deploy.processes.policy import Answer
from deploy.session import recording

ACTION = np.linspace(-1, 1, 8)


@pytest.fixture
def recorder(tmp_path):
    env = envs.make("franka_cube", render=False)
    made = recording.Recorder(tmp_path / "set", recording.attributes(env, {}, {"note": "a test"}))
    yield made
    made.close()


def told(recorder, episode, periods, silent=()):
    """Plays `periods` of an episode; those in `silent` had no action."""
    for i in range(periods):
        if i not in silent:
            answer = Answer(
                episode,
                i,
                ACTION * i / periods,
                captured_s=0.1 * i - 0.02,
                sequence=i,
                asked_s=0.1 * i,
                inference_s=0.01,
            )
            recorder.step(answer, np.full((16, 16, 3), i, np.uint8), np.full(18, i, np.float32))
        asked = -1 if i in silent else i
        recorder.period(
            Period(
                episode,
                i,
                asked,
                0.1 * i,
                "run",
                ACTION / 2,
                np.zeros(7),
                np.ones(7),
                0.08,
                "",
                int(i in silent),
                0.0,
                0.05,
                False,
            )
        )


def test_a_row_pairs_what_the_policy_said_with_the_period_that_applied_it(recorder, tmp_path):
    told(recorder, 0, 5)
    recorder.episode(0, seed=7, success=True)
    rows = DemoSet(tmp_path / "set").episode(0)
    np.testing.assert_allclose(rows["action"], [ACTION * i / 5 for i in range(5)], atol=1e-6)
    np.testing.assert_allclose(rows["action_applied"], np.tile(ACTION / 2, (5, 1)), atol=1e-6)
    np.testing.assert_allclose(rows["applied_s"] - rows["captured_s"], 0.02)
    assert rows["timestamp_s"][0] == 0 and rows["success"].tolist() == [False] * 4 + [True]
    assert not verify(tmp_path / "set")


def test_periods_without_an_action_have_no_row_and_are_counted(recorder, tmp_path):
    told(recorder, 0, 6, silent=(2, 3))
    recorder.episode(0, seed=1, success=False)
    there = DemoSet(tmp_path / "set")
    assert there.episode(0)["frame"].tolist() == [0, 1, 4, 5]
    assert there.meta("missed").tolist() == [2] and there.meta("late").tolist() == [2]


def test_an_episode_in_which_nothing_was_applied_leaves_none_behind_and_the_next_one_is_its_own(recorder, tmp_path):
    told(recorder, 0, 3, silent=(0, 1, 2))
    recorder.episode(0, seed=1, success=False)
    told(recorder, 1, 4)
    recorder.episode(1, seed=2, success=True)
    there = DemoSet(tmp_path / "set")
    assert there.episodes == 1 and len(there.episode(0)["action"]) == 4 and there.meta("seed").tolist() == [2]


def test_the_revision_is_the_commit_of_this_checkout():
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert recording.revision().rstrip("+") == (commit or "unknown")

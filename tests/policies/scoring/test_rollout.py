import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_world import HORIZON, ToyVec

from policies.policy import ExpertPolicy, RandomPolicy
from policies.scoring.rollout import evaluate, summarise
from policies.scoring.video import BORDER, FAILED, SIZE, SUCCEEDED, Recorder
from policies.seeds import evaluation_seeds


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 17))
def test_each_seed_is_run_once_and_scored_once_whatever_the_slots(slots, count):
    vec = ToyVec(slots)
    seeds = evaluation_seeds(5, count)
    counts = []
    episodes = evaluate(vec, ExpertPolicy().act, seeds, on_episode=counts.append)
    assert [e.seed for e in episodes] == seeds
    idle = max(0, slots - count)  # slots without a seed stand at the first one and are never stepped
    assert sorted(s for _, s in vec.log) == sorted(seeds + [seeds[0]] * idle)
    assert counts[-1] == count


def test_only_running_episodes_are_acted_on():
    asked, seeds = [], evaluation_seeds(7, 5)

    def act(obs):
        asked.append(len(obs["expert"]))
        return ExpertPolicy().act(obs)

    episodes = evaluate(ToyVec(4), act, seeds)
    assert sum(asked) == sum(e.steps for e in episodes)


def test_scores_do_not_depend_on_the_number_of_slots():
    seeds = evaluation_seeds(1, 13)
    one, many = (evaluate(ToyVec(n), ExpertPolicy().act, seeds) for n in (1, 5))
    assert one == many


def test_long_failures_count_as_much_as_short_successes():
    seeds = evaluation_seeds(2, 12)
    fails = set(seeds[::3])

    class Vec(ToyVec):
        def step(self, actions, active=None):
            running = {slot: seed for slot, seed in self.log}
            for slot, seed in running.items():
                if seed in fails:
                    actions[slot] = 0
            return super().step(actions, active)

    episodes = evaluate(Vec(4), ExpertPolicy().act, seeds)
    assert {e.seed for e in episodes if not e.success} == fails
    assert all(e.steps == HORIZON for e in episodes if e.seed in fails)
    summary = summarise(episodes)
    assert (summary["episodes"], summary["successes"], summary["success"]) == (12, 8, pytest.approx(8 / 12))


def test_the_expert_solves_the_toy_and_random_actions_do_not():
    seeds = evaluation_seeds(3, 20)
    assert summarise(evaluate(ToyVec(4), ExpertPolicy().act, seeds))["success"] == 1.0
    assert summarise(evaluate(ToyVec(4), RandomPolicy(4).act, seeds))["success"] < 0.2


def test_the_video_shows_the_first_eight_with_a_border_that_tells_success():
    recorder = Recorder()
    evaluate(ToyVec(3), ExpertPolicy().act, evaluation_seeds(4, 10), recorder)
    assert len(recorder.frames) == 8 and all(recorder.frames)
    video = recorder.video()
    tile_h, tile_w = SIZE + 2 * BORDER, 2 * SIZE + 2 * BORDER
    assert video.shape[1:] == (2 * tile_h, 4 * tile_w, 3) and video.dtype == np.uint8
    assert tuple(video[-1, 0, 0]) == SUCCEEDED and tuple(video[-1, tile_h, 3 * tile_w]) == SUCCEEDED
    failed = Recorder()
    evaluate(ToyVec(3), RandomPolicy(4).act, evaluation_seeds(4, 3), failed)
    assert tuple(failed.video()[-1, 0, 0]) == FAILED

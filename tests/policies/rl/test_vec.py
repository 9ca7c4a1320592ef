import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_world import HORIZON, ToyEncoder, ToyVec, expert

import envs
from policies.features.features import EncoderConfig, make_features
from policies.rl.vec import FlatVec
from policies.seeds import training_seed


def flat(n=3, encoder="privileged", vec=None, **options):
    vec = vec or ToyVec(n, labelled=False)
    features = make_features(EncoderConfig(encoder), privileged_dim=vec.privileged_dim, encoder=ToyEncoder())
    return FlatVec(vec, features, seed=0, **options)


def hold(vec):
    """What the toy's expert would do in every slot."""
    return np.stack([expert(s) for s in vec.vec.slots]).astype(np.float32)


def until_done(vec, act):
    vec.reset()
    for _ in range(HORIZON):
        obs, reward, done, infos = vec.step(act(vec))
        if done.any():
            return obs, reward, done, infos
    raise AssertionError("no episode ended")


class Seeded(gym.Wrapper):
    """Resets to the seeds of a run, and shows the privileged state only."""

    def __init__(self, env, first, step):
        super().__init__(env)
        self.observation_space = env.observation_space["privileged"]
        self.index, self.step_ = first, step

    def reset(self, **_):
        obs, info = self.env.reset(seed=training_seed(0, self.index))
        self.index += self.step_
        return obs["privileged"], info

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs["privileged"], reward, terminated, truncated, info


def test_steps_ends_and_infos_are_those_of_stable_baselines3s_own_vector_environment():
    def one():
        env = envs.make("franka_reach", privileged=True, render=False, image_size=8)
        return Monitor(Seeded(env, 0, 1))

    theirs = DummyVecEnv([one])
    vec = envs.VectorEnv("franka_reach", 1, workers=1, privileged=True, render=False, image_size=8)
    try:
        ours = flat(vec=vec)
        rng = np.random.default_rng(0)
        np.testing.assert_array_equal(ours.reset(), theirs.reset())
        ended = 0
        for _ in range(140):
            action = rng.uniform(-1, 1, (1, 8)).astype(np.float32)
            (a_obs, a_reward, a_done, (a_info,)), (b_obs, b_reward, b_done, (b_info,)) = (
                ours.step(action),
                theirs.step(action),
            )
            np.testing.assert_array_equal(a_obs, b_obs)
            np.testing.assert_allclose(a_reward, b_reward, rtol=1e-6)
            assert (a_done == b_done).all()
            if a_done[0]:
                ended += 1
                np.testing.assert_array_equal(a_info["terminal_observation"], b_info["terminal_observation"])
                assert a_info["TimeLimit.truncated"] == b_info["TimeLimit.truncated"] is True
                assert a_info["episode"]["l"] == b_info["episode"]["l"] == 66
                assert a_info["episode"]["r"] == pytest.approx(b_info["episode"]["r"], abs=1e-5)
                assert a_info["is_success"] is False
        assert ended == 2
    finally:
        vec.close()


def test_a_finished_episode_is_followed_by_the_next_training_seed_and_its_last_observation_is_kept():
    vec = flat(3, "toy")
    obs, _, done, infos = until_done(vec, lambda v: np.zeros((3, 4), np.float32))
    assert done.all() and vec.vec.log == [(i % 3, training_seed(0, i)) for i in range(6)]
    for i in range(3):
        assert infos[i]["TimeLimit.truncated"] and not infos[i]["is_success"] and infos[i]["episode"]["l"] == HORIZON
        assert not np.array_equal(infos[i]["terminal_observation"], obs[i])
        assert infos[i]["terminal_observation"].shape == vec.observation_space.shape == (16 * 3 + 5,)


def test_the_encoder_sees_each_frame_once():
    vec = flat(3, "toy")
    vec.reset()
    for _ in range(HORIZON):
        vec.step(np.zeros((3, 4), np.float32))
    assert vec.features.encoder.frames == 3 + 3 * HORIZON + 3  # at the start, of each step, after each end


@pytest.mark.parametrize(
    ("at_success", "factor", "goes_on"), [("stay", 10, False), ("end", 1, False), ("bootstrap", 1, True)]
)
def test_what_follows_a_success_is_what_the_config_says(at_success, factor, goes_on):
    plain = until_done(flat(1), hold)
    assert plain[3][0]["is_success"]
    _, reward, _, (info,) = until_done(flat(1, at_success=at_success, gamma=0.9), hold)
    assert reward[0] == pytest.approx(factor * plain[1][0]) and info["TimeLimit.truncated"] == goes_on
    assert info["episode"]["r"] == plain[3][0]["episode"]["r"]  # the reported reward stays the environment's


def test_a_failure_after_a_success_that_did_not_end_the_episode_is_worth_nothing_more():
    _, reward, _, (info,) = until_done(flat(1, at_success="stay", ends_at_success=False), hold)
    assert reward[0] == pytest.approx(until_done(flat(1), hold)[1][0]) and not info["TimeLimit.truncated"]


def test_time_that_is_up_can_count_as_the_end():
    _, _, _, infos = until_done(flat(1, at_timeout="end"), lambda v: np.zeros((1, 4), np.float32))
    assert not infos[0]["TimeLimit.truncated"]


def test_a_restored_state_goes_on_with_the_same_steps():
    vec, rng = flat(3), np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (2 * HORIZON, 3, 4)).astype(np.float32)
    vec.reset()
    for action in actions[: HORIZON - 5]:
        vec.step(action)
    state, ahead = vec.state(), [vec.step(action) for action in actions[HORIZON:]]
    other = flat(3)
    other.restore(state)
    other.reset()
    for (obs, reward, done, infos), action in zip(ahead, actions[HORIZON:]):
        again = other.step(action)
        assert np.array_equal(obs, again[0]) and np.array_equal(reward, again[1]) and np.array_equal(done, again[2])
        assert [i.get("episode") for i in infos] == [i.get("episode") for i in again[3]]

import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from toy_world import ToyEncoder, ToyVec

from policies.features.features import EncoderConfig, make_features
from policies.network.heads import HeadConfig
from policies.policy import Policy
from policies.rl.config import AlgoConfig, ExpertConfig, PpoConfig, SacConfig
from policies.rl.networks import MvpRollouts
from policies.rl.rounds import Session
from policies.scoring.rollout import EnvConfig


def session(encoder="toy", sac=False, **ppo):
    algo = AlgoConfig(
        total_steps=64,
        num_envs=2,
        lr=1e-3,
        ppo=None if sac else PpoConfig(n_steps=8, **ppo),
        sac=SacConfig() if sac else None,
    )
    cfg = ExpertConfig(
        env=EnvConfig("toy"), encoder=EncoderConfig(encoder), policy=HeadConfig(16, 8, [32, 16]), algo=algo
    )
    vec = ToyVec(2, labelled=False)
    features = make_features(cfg.encoder, privileged_dim=vec.privileged_dim, encoder=ToyEncoder())
    return Session(cfg, vec, features)


def scrambled(session):
    """Weights and statistics that are all different, so that a wrong copy shows."""
    generator = torch.Generator().manual_seed(0)
    for name, value in session.agent.policy.state_dict().items():
        if value.dtype.is_floating_point:
            value.copy_(torch.rand(value.shape, generator=generator) * 0.5 + (0.5 if "std" in name else -0.25))
    return session


@pytest.mark.parametrize("encoder", ["privileged", "toy", "none"])
@pytest.mark.parametrize("sac", [False, True])
def test_the_exported_policy_does_what_stable_baselines3_does_without_exploring(encoder, sac, tmp_path):
    s = scrambled(session(encoder, sac))
    flat, obs = s.flat.reset(), s.vec._obs()
    theirs, _ = s.agent.predict(flat, deterministic=True)
    policy = s.policy()
    np.testing.assert_allclose(policy.act(obs), theirs, atol=1e-6)
    again = Policy.load(policy.save(tmp_path / "policy"), encoder=ToyEncoder())
    assert np.array_equal(again.act(obs), policy.act(obs)) and again.notes["control_hz"] == 20.0
    assert np.abs(theirs).max() > 0.01


def test_mvps_networks_are_what_the_paper_says():
    policy = session("privileged", mvp_details=True).agent.policy
    sizes = lambda net: [tuple(p.shape) for n, p in net.named_parameters() if "weight" in n]
    assert sizes(policy.mlp_extractor.policy_net) == sizes(policy.mlp_extractor.value_net) == [(32, 2), (16, 32)]
    assert not list(policy.features_extractor.parameters())  # the state goes straight into the MLP
    pixels = session("toy", mvp_details=True).agent.policy
    assert sizes(pixels.features_extractor) == [(16, 48), (8, 5)] and sizes(pixels.mlp_extractor.policy_net)[0] == (
        32,
        24,
    )
    for net, gain in ((pixels.mlp_extractor.policy_net[2], 2**0.5), (pixels.action_net, 0.01), (pixels.value_net, 1.0)):
        singular = torch.linalg.svdvals(net.weight)
        torch.testing.assert_close(singular, torch.full_like(singular, gain))  # orthogonal


def test_mvps_standard_deviation_is_the_exponential_of_twice_the_parameter():
    policy = session("privileged", mvp_details=True, init_std=0.5).agent.policy
    obs = torch.zeros(1, 2)
    torch.testing.assert_close(policy.get_distribution(obs).distribution.stddev, torch.full((1, 4), 0.5))
    policy.log_std.data.fill_(-1.0)
    torch.testing.assert_close(policy.get_distribution(obs).distribution.stddev, torch.full((1, 4), -2.0).exp())


def test_mvps_minibatches_are_consecutive_steps_with_advantages_normalised_together():
    s = session("privileged", mvp_details=True)
    space = (s.flat.observation_space, s.flat.action_space)
    mine, theirs = (kind(4, *space, "cpu", n_envs=2) for kind in (MvpRollouts, RolloutBuffer))
    rng = np.random.default_rng(0)
    for step in range(4):
        row = (np.full((2, 2), step), rng.normal(size=(2, 4)), rng.normal(size=2), np.zeros(2))
        values = torch.from_numpy(rng.normal(size=2))
        for buffer in (mine, theirs):
            buffer.add(*row, values, values)
    for buffer in (mine, theirs):
        buffer.compute_returns_and_advantage(torch.zeros(2), np.zeros(2))
    np.testing.assert_array_equal(mine.returns, theirs.returns)
    raw = torch.from_numpy(theirs.advantages)
    np.testing.assert_allclose(mine.advantages, ((raw - raw.mean()) / raw.std()).numpy(), rtol=1e-4)
    batches = [batch.observations[:, 0].tolist() for batch in mine.get(4)]
    assert batches == [[0, 0, 1, 1], [2, 2, 3, 3]] == [batch.observations[:, 0].tolist() for batch in mine.get(4)]


def test_mvps_settings_reach_stable_baselines3():
    agent = session("privileged", mvp_details=True, clip=0.1, vf_coef=2.0, grad_clip=1.0, gae_lambda=0.95).agent
    assert agent.clip_range(1.0) == 0.1 and agent.clip_range_vf is None and agent.vf_coef == 2.0
    assert (agent.max_grad_norm, agent.gae_lambda, agent.n_epochs, agent.batch_size) == (1.0, 0.95, 10, 4)
    assert not agent.normalize_advantage and agent.policy.optimizer.defaults["eps"] == 1e-8

import math

import pytest

from policies.features.features import EncoderConfig
from policies.rl.config import AlgoConfig, ExpertConfig, PpoConfig, SacConfig
from policies.scoring.rollout import EnvConfig
from toto_robot import command
from toto_robot.ground.errors import UserError


def mvp(env, *more):
    return command.compose(ExpertConfig, "train_expert", ["algo=ppo_mvp", f"env={env}", *more])


def test_mvps_preset_has_the_published_numbers():
    cfg = mvp("franka_pick_pixmc")
    algo, ppo = cfg.algo, cfg.algo.ppo
    assert (ppo.n_steps, algo.num_envs, ppo.epochs, ppo.minibatches) == (32, 256, 10, 4)
    assert (ppo.clip, algo.gamma, ppo.gae_lambda, ppo.ent_coef, ppo.vf_coef, ppo.grad_clip) == (
        0.1,
        0.99,
        0.95,
        0,
        2.0,
        1.0,
    )
    assert (algo.lr_schedule, ppo.init_std, ppo.mvp_details) == ("cosine", 1.0, True)
    assert (cfg.policy.hidden, cfg.policy.activation) == ([256, 128, 64], "selu")
    assert (cfg.policy.feature_width, cfg.policy.proprio_width) == (128, 128)
    assert not algo.normalise and not algo.scale_rewards and algo.at_timeout == algo.at_success == "end"


@pytest.mark.parametrize(
    ("env", "state", "pixels", "steps"),
    [
        ("franka_reach", 1e-3, 1e-3, 4_096_000),
        ("franka_cabinet", 1e-3, 1e-3, 8_192_000),
        ("franka_pick", 1e-3, 1e-3, 16_384_000),
        ("franka_move", 1e-3, 1.5e-3, 16_384_000),
        ("kuka_reach", 5e-4, 1.5e-3, 4_096_000),
        ("kuka_cabinet", 5e-4, 5e-4, 8_192_000),
        ("kuka_pick", 1e-3, 5e-4, 16_384_000),
        ("kuka_move", 5e-4, 5e-4, 16_384_000),
    ],
)
def test_each_pixmc_environment_has_its_learning_rates_and_its_number_of_steps(env, state, pixels, steps):
    assert mvp(f"{env}_pixmc").settled() == (state, steps)
    assert mvp(f"{env}_pixmc", "encoder=toto_tiny").settled() == (pixels, steps)


def test_what_mvp_did_not_publish_must_be_given():
    for env, missing in (("franka_pick", "algo.lr and algo.total_steps"), ("franka_cube", "algo.lr")):
        with pytest.raises(UserError, match=missing):
            mvp(env).settled()
    assert mvp("franka_pick", "algo.lr=0.1", "algo.total_steps=5").settled() == (0.1, 5)


def test_the_cosine_begins_at_the_full_rate_and_has_one_value_an_iteration():
    rate = mvp("franka_reach_pixmc").schedule(500)  # asked after the i-th of 500 iterations was collected
    for i in (0, 1, 250, 499):
        assert rate(1 - (i + 1) / 500) == pytest.approx(1e-3 * 0.5 * (1 + math.cos(math.pi * i / 500)))


def test_every_schedule_starts_at_the_rate_and_ends_where_it_says():
    for name, last in (("constant", 1.0), ("linear", 0.1), ("cosine", 0.5 * (1 + math.cos(0.9 * math.pi)))):
        cfg = ExpertConfig(algo=AlgoConfig(lr=2.0, total_steps=10, lr_schedule=name, ppo=PpoConfig()))
        rate = cfg.schedule(10)
        assert rate(0.9) == 2.0 and rate(0.0) == pytest.approx(2 * last)


@pytest.mark.parametrize("preset", ["ppo", "ppo_long", "ppo_mvp", "sac"])
def test_every_preset_composes(preset):
    cfg = command.compose(ExpertConfig, "train_expert", [f"algo={preset}", "env=franka_reach_pixmc"])
    assert (cfg.algo.sac is not None) == (preset == "sac") and cfg.settled()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(algo=AlgoConfig()), "exactly one"),
        (dict(algo=AlgoConfig(ppo=PpoConfig(), sac=SacConfig())), "exactly one"),
        (dict(encoder=EncoderConfig("resnet")), "resnet"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(change, says):
    with pytest.raises(UserError, match=says):
        ExpertConfig(**{"env": EnvConfig("franka_reach"), "algo": AlgoConfig(ppo=PpoConfig())} | change)


@pytest.mark.parametrize(
    "change",
    [
        dict(lr_schedule="step"),
        dict(at_success="win"),
        dict(at_timeout="stay"),
        dict(gamma=1.0),
        dict(num_envs=0),
        dict(lr=0.0),
        dict(total_steps=0),
        dict(ppo=PpoConfig(minibatches=3)),
        dict(ppo=PpoConfig(epochs=0)),
    ],
)
def test_a_number_out_of_range_names_its_key(change):
    key = next(iter(change))
    with pytest.raises(UserError, match=f"algo.{key}"):
        AlgoConfig(**{"ppo": PpoConfig()} | change)

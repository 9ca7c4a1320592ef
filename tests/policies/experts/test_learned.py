import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

import envs
from policies.experts import LearnedExpert
from policies.experts.choose import make_labeller
from policies.features.features import EncoderConfig, PrivilegedFeatures
from policies.network.heads import HeadConfig
from policies.policy import Policy
from toto_robot.ground.errors import UserError

STATE = HeadConfig(0, 0, [32, 16], squash=True)
HEADS = {
    "mvp": HeadConfig(0, 0, [256, 128, 64]),
    "sac": STATE,
    "projected": HeadConfig(16, 8, [32], "relu"),
    "wide": HeadConfig(16, 8, [32, 16], "gelu", layer_norm=True),
    "silu": HeadConfig(16, 0, [32], "silu"),
}


def policy(head=STATE, env="franka_reach", dims=(27, 18, 8), binary=()):
    torch.manual_seed(0)
    made = Policy.create(PrivilegedFeatures(EncoderConfig("privileged"), dims[0]), env, dims[1], dims[2], head, binary)
    for name, value in made.net.state_dict().items():
        if value.dtype.is_floating_point:
            value.copy_(torch.randn(value.shape) * 0.2 + (0.8 if "std" in name else 0.0))
            value.abs_() if "std" in name else None
    return made


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("binary", [(), (-1,)])
def test_numpy_computes_what_torch_does(head, binary, tmp_path):
    trained = policy(HEADS[head], binary=binary)
    expert = LearnedExpert.load(trained.save(tmp_path / "policy"))
    rng = np.random.default_rng(0)
    obs = {
        "privileged": rng.normal(size=(50, 27)).astype(np.float32),
        "proprio": rng.normal(size=(50, 18)).astype(np.float32),
    }
    wanted = trained.act(obs)
    np.testing.assert_allclose(expert.act(obs["privileged"], obs["proprio"]), wanted, atol=2e-5)
    one = expert.act(obs["privileged"][3], obs["proprio"][3])
    np.testing.assert_allclose(one, wanted[3], atol=2e-5)
    assert one.dtype == np.float32 and 0.01 < np.abs(wanted).mean() < 1


def test_it_labels_in_the_simulators_processes_what_the_policy_would_do(tmp_path):
    trained = policy()
    trained.save("runs/reach/policy")
    with envs.VectorEnv(
        "franka_reach",
        2,
        workers=1,
        render=False,
        privileged=True,
        image_size=8,
        labeller=make_labeller("reach", "franka_reach"),
    ) as vec:
        obs = vec.reset([1, 2])
        for _ in range(3):
            np.testing.assert_allclose(obs["expert"], trained.act(obs), atol=2e-5)
            obs = vec.step(obs["expert"])[0]


def test_it_needs_no_privileged_observation_and_no_torch(tmp_path):
    policy().save("runs/reach/policy")
    (tmp_path / "expert").write_bytes(pickle.dumps(make_labeller("runs/reach")))
    code = """if True:
        import pickle, sys, envs
        env = envs.make("franka_reach", render=False, image_size=8)
        env.reset(seed=0)
        assert pickle.load(open("expert", "rb")).label(env).shape == (8,)
        assert not {"torch", "stable_baselines3", "safetensors"} & set(sys.modules)"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**__import__("os").environ, "PYTHONPATH": _root()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def _root():
    from pathlib import Path

    return str(Path(__file__).parents[3])


def test_a_policy_that_can_not_be_an_expert_is_refused_in_one_sentence(tmp_path):
    folder = policy().save("runs/reach/policy")
    with pytest.raises(UserError, match="trained in env=franka_reach.*train_expert env=franka_pick"):
        make_labeller("reach", "franka_pick")
    with pytest.raises(UserError, match="Unknown expert 'oracle'.*scripted.*runs/reach"):
        make_labeller("oracle")
    with pytest.raises(UserError, match="No policy at"):
        make_labeller(str(tmp_path))  # a folder without one
    about = yaml.safe_load((folder / "policy.yaml").read_text())
    (folder / "policy.yaml").write_text(yaml.safe_dump(about | {"encoder": {"name": "toto_tiny"}}))
    with pytest.raises(UserError, match="reads encoder=toto_tiny"):
        make_labeller("reach")
    (folder / "policy.yaml").write_text(yaml.safe_dump(about))
    (folder / "policy.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="policy.safetensors can't be read"):
        make_labeller("reach")


def test_another_environment_is_refused_where_it_labels_too():
    policy().save("runs/reach/policy")
    with pytest.raises(envs.EnvError, match="franka_reach.*franka_pick"):
        with envs.VectorEnv(
            "franka_pick", 1, workers=1, render=False, image_size=8, labeller=make_labeller("reach")
        ) as vec:
            vec.reset([0])

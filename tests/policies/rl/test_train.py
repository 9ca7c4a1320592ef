import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from toy_world import ToyEncoder, ToyEnv, ToyVec

from policies.features.features import EncoderConfig
from policies.fit.spec import spec_from_env
from policies.network.heads import HeadConfig
from policies.policy import load
from policies.rl.config import AlgoConfig, ExpertConfig, PpoConfig, SacConfig
from policies.rl.train import train
from toto_robot.ground.errors import UserError

SAC = SacConfig(buffer_size=200, learning_starts=40, batch_size=16, updates=1)


def config(sac=False, encoder="toy", **changes):
    """Four rounds that take about a second; SAC's buffer is smaller than what it sees."""
    algo = dict(total_steps=512, steps_per_round=128, num_envs=4, lr=1e-3, gamma=0.9)
    algo |= dict(sac=SAC) if sac else dict(ppo=PpoConfig(n_steps=16, epochs=2))
    return ExpertConfig(
        env=ToyEnv(),
        encoder=EncoderConfig(encoder),
        policy=HeadConfig(16, 8, [32, 16]),
        algo=AlgoConfig(**algo | changes.pop("algo", {})),
        **{"episodes": 0, "threads": 1} | changes,
    )


def toy(cfg):
    return ToyVec(cfg.algo.num_envs, labelled=False)


def weights(run):
    return load_file(Path("runs") / run / "policy" / "policy.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


class Stops(ToyVec):
    """Ctrl-C in the middle of a round."""

    def __init__(self, n, after):
        super().__init__(n, labelled=False)
        self.left = after

    def step(self, actions, active=None):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().step(actions, active)


@pytest.mark.parametrize("sac", [False, True])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(sac, capsys):
    whole = train(config(sac, run="whole"), toy, ToyEncoder())
    with pytest.raises(KeyboardInterrupt):
        train(
            config(sac, run="cut"), lambda cfg: Stops(4, after=75), ToyEncoder()
        )  # in the third round of 32 steps each
    assert "2 rounds are saved in runs/cut" in capsys.readouterr().err
    assert (Path("runs/cut/policy/policy.yaml")).exists()  # the newest round's
    cut = train(config(sac, run="cut", resume=True), toy, ToyEncoder())
    assert same(weights("whole"), weights("cut")) and whole.result["env_steps"] == cut.result["env_steps"] == 512
    rows = [
        [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()] for run in (whole, cut)
    ]
    for key in ("round", "env_steps", "loss", "student_success", "episode_reward", "lr"):
        assert [row[key] for row in rows[0]] == pytest.approx([row[key] for row in rows[1]], nan_ok=True), key
    assert not list(Path("runs").glob("*/checkpoints/*/data.safetensors"))


def test_another_seed_gives_another_policy():
    for seed in (0, 1):
        train(config(run=f"s{seed}", seed=seed, algo={"total_steps": 128}), toy, ToyEncoder())
    assert not same(weights("s0"), weights("s1"))


class Points(ToyVec):
    """The action shall be where the dot is; an episode has five steps."""

    def step(self, actions, active=None):
        dots = np.stack([s["dot"] for s in self.slots])
        for s in self.slots:
            s["t"] += 1
        steps = np.array([s["t"] for s in self.slots])
        info = {"success": np.zeros(len(steps), bool), "steps": steps}
        return self._obs(), -((actions[:, :2] - dots) ** 2).sum(1), np.zeros(len(steps), bool), steps >= 5, info


@pytest.mark.parametrize("sac", [False, True])
def test_reward_is_learned_from_frozen_features(sac):
    algo = dict(total_steps=12_000, steps_per_round=2000, num_envs=16, lr=3e-3, gamma=0.5, lr_schedule="constant")
    algo |= (
        dict(total_steps=6_000, sac=SacConfig(10_000, 500, 64, updates=2)) if sac else dict(ppo=PpoConfig(16, epochs=5))
    )
    train(config(sac, run="learns", algo=algo), lambda cfg: Points(16, labelled=False), ToyEncoder())
    rows = [json.loads(line) for line in Path("runs/learns/metrics.jsonl").read_text().splitlines()]
    first, last = rows[0]["episode_reward"], rows[-1]["episode_reward"]
    assert last > 0.3 * first, [
        row["episode_reward"] for row in rows
    ]  # errors: what is left is a third, noise included


def test_watching_leaves_the_run_as_it_would_have_been():
    train(config(run="blind"), toy, ToyEncoder())
    train(config(run="watched", algo=dict(eval_every=1, eval_episodes=5)), toy, ToyEncoder())
    assert same(weights("blind"), weights("watched"))
    rows = [json.loads(line) for line in Path("runs/watched/metrics.jsonl").read_text().splitlines()]
    assert all(0 <= row["eval_success"] <= 1 for row in rows)


def test_the_folder_is_that_of_other_runs_and_the_policy_loads():
    trained = train(config(run="full", episodes=3, encoder="privileged"), toy)
    for name in ("config.yaml", "metrics.jsonl", "learning_curve.png", "tb", "result.json", "rollouts.mp4"):
        assert (trained.folder / name).exists(), name
    about = yaml.safe_load((trained.folder / "policy/policy.yaml").read_text())
    assert about["encoder"]["name"] == "privileged" and about["notes"]["trained_by"] == "ppo"
    assert load("full").spec == spec_from_env(ToyVec, needs="privileged") and about["spec"]["state_of"] == "toy"
    obs = ToyVec(3, labelled=False)._obs()
    assert np.array_equal(load("full").act(obs), trained.policy.act(obs))
    assert trained.result["episodes"] == 3 and trained.result["env_steps"] == 512


def test_statistics_of_inputs_are_of_what_was_seen_unless_they_are_left_out():
    train(config(run="on", algo={"total_steps": 2048}), toy, ToyEncoder())
    train(config(run="off", algo={"total_steps": 2048, "normalise": False}), toy, ToyEncoder())
    on, off = weights("on"), weights("off")
    assert 1000 <= on["features.count"] <= 2048 and on["proprio.count"] == on["features.count"] == off["features.count"]
    assert (
        off["proprio.count"] == 0 and (off["proprio.std"] == 1).all()
    )  # features of an encoder are always standardised


def test_without_stable_baselines3_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(UserError, match=r"pip install 'toto_robot\[rl\]'"):
        train(config(), toy, ToyEncoder())
    assert not Path("runs").exists()


def test_missing_published_numbers_are_told_before_anything_starts():
    with pytest.raises(UserError, match="algo.lr"):
        train(config(algo={"lr": None}), lambda cfg: pytest.fail("an environment started"))


@pytest.mark.parametrize("sac", [False, True])
def test_an_agent_that_diverges_ends_in_one_sentence_and_keeps_its_last_good_round(sac):
    with pytest.raises(UserError, match="diverged: since [0-9,]+ steps .round"):
        train(config(sac, run="d", algo={"lr": 1e30}), toy, ToyEncoder())
    assert not Path("runs/d/policy").exists() or all(np.isfinite(v).all() for v in weights("d").values())

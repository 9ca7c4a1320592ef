import json
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import killed_at
from toy_demos import ToyDemos, small_bc, toy_vec
from toy_world import ToyEncoder, ToyVec, small_config, weights_hash

import policies
from policies.bookkeeping.run_folder import RunFolder
from policies.cloning import train as bc
from policies.cloning.cloner import OptimConfig
from policies.cloning.train import train
from policies.dagger import train as training
from policies.features.features import EncoderConfig
from policies.fit.spec import spec_from_env
from policies.student import decay_groups
from toto_robot.ground.errors import UserError


@pytest.mark.parametrize("transformer", [None, {}], ids=["mlp", "transformer"])
def test_a_run_resumed_at_any_checkpoint_ends_with_the_same_bits(transformer):
    demos = ToyDemos(6)
    options = dict(demos=demos, encoder=ToyEncoder())
    whole = train(small_bc(run="whole", transformer=transformer), toy_vec, **options)
    for at in (1, 3):
        with killed_at(bc.Cloner, "train", at):
            train(small_bc(run=f"cut{at}", transformer=transformer), toy_vec, **options)
        assert RunFolder(Path("runs") / f"cut{at}").rounds() == at
        again = train(small_bc(run=f"cut{at}", resume=True, transformer=transformer), toy_vec, **options)
        assert weights_hash(again.folder) == weights_hash(whole.folder)
        rows = [json.loads(line) for line in (again.folder / "metrics.jsonl").read_text().splitlines()]
        assert [r["round"] for r in rows] == [0, 1, 2, 3]


def test_a_set_that_changed_since_is_not_gone_on_with():
    with killed_at(bc.Cloner, "train", 2):
        train(small_bc(run="cut"), toy_vec, ToyEncoder(), demos=ToyDemos(4))
    with pytest.raises(UserError, match="begun on other demonstrations"):
        train(small_bc(run="cut", resume=True), toy_vec, ToyEncoder(), demos=ToyDemos(5))


@pytest.mark.parametrize("transformer", [None, {}], ids=["mlp", "transformer"])
def test_cloning_learns_the_toy_task(transformer):
    optim = {"epochs": 30 if transformer is None else 40, "grad_clip": 1.0}
    config = small_bc(run="r", episodes=40, transformer=transformer, optim=optim)
    trained = train(config, toy_vec, ToyEncoder(), demos=ToyDemos(60, noise=0.1))
    assert trained.result["success"] > 0.5
    keys = "env policy episodes successes success wilson95 mean_steps train_seconds demonstrations samples updates"
    assert list(trained.result) == [*keys.split(), "peak_memory_gb"]
    assert trained.result["demonstrations"] == 60
    names = {p.name for p in trained.folder.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "tb", "learning_curve.png", "rollouts.mp4", "policy"} <= names
    loaded = policies.load("r", encoder=ToyEncoder())
    assert (
        loaded.spec == spec_from_env(ToyVec, needs="rgb", transformer=config.policy.transformer) and loaded.env == "toy"
    )
    obs = ToyVec(3).reset([1, 2, 3])
    assert np.array_equal(loaded.act(obs), _fresh(trained.policy).act(obs))
    assert loaded.notes["demonstrations"] == 60


def _fresh(policy):
    policy.reset()
    return policy


def test_evaluating_while_training_does_not_change_the_policy():
    demos = ToyDemos(4)
    plain = train(small_bc(run="plain"), toy_vec, ToyEncoder(), demos=demos)
    watched = train(small_bc(run="watched", eval_every=2, eval_episodes=3), toy_vec, ToyEncoder(), demos=demos)
    assert weights_hash(plain.folder) == weights_hash(watched.folder)
    rows = [json.loads(line) for line in (watched.folder / "metrics.jsonl").read_text().splitlines()]
    assert [r["eval_success"] is not None for r in rows] == [False, True, False, True]


@pytest.mark.parametrize("transformer", [None, {}], ids=["mlp", "transformer"])
def test_small_parts_of_a_minibatch_add_up_to_its_gradient(transformer):
    demos, weights = ToyDemos(4), []
    for micro in (512, 5):
        optim = {"epochs": 1, "micro_batch": micro}
        policy = train(small_bc(transformer=transformer, optim=optim), toy_vec, ToyEncoder(), demos=demos).policy
        weights.append(torch.cat([p.flatten() for p in policy.net.head.parameters()]))
    assert torch.allclose(*weights, atol=2e-3) and not torch.equal(*weights)


def test_frames_train_a_network_of_the_policys_own(monkeypatch):
    monkeypatch.setattr("policies.features.features.PIXELS", 32)
    monkeypatch.setattr("policies.features.features.PixelFeatures.shape", (32, 32, 3))
    config = small_bc(run="r", encoder=EncoderConfig("resnet"), optim={"epochs": 1, "batch_size": 64}, episodes=2)
    assert config.augmenting.shift_px == bc.RESNET_SHIFT_PX
    trained = train(config, toy_vec, demos=ToyDemos(3))
    names = dict(trained.policy.net.head.named_parameters())
    assert "pool.stem.weight" in names
    loaded = policies.load("r")
    obs = ToyVec(2).reset([1, 2])
    assert np.array_equal(loaded.act(obs), trained.policy.act(obs))


def test_matrices_decay_and_norms_biases_tokens_and_positions_do_not():
    policy = train(small_bc(transformer={}, optim={"epochs": 1}), toy_vec, ToyEncoder(), demos=ToyDemos(2)).policy
    decayed, spared = ({name for name, _ in part} for part in decay_groups(policy.net.head.named_parameters()))
    assert all(n.endswith(".weight") and "norm" not in n for n in decayed)
    assert {"action_token", "position", "mode", "norm.weight", "out.bias"} <= spared


def test_a_set_that_the_environment_cannot_run_is_refused_unless_nothing_is_evaluated():
    for attrs, words in (
        ({"control_hz": 30.0}, "at 30 Hz and env=toy at 20 Hz"),
        ({"action": {"low": 0.0, "high": 1.0}}, "low end of action 0, x, is 0"),
    ):
        with pytest.raises(UserError, match=words):
            train(small_bc(run="r", episodes=2), toy_vec, ToyEncoder(), demos=ToyDemos(2, attrs=attrs))
        assert not Path("runs/r").exists()
        assert train(small_bc(), toy_vec, ToyEncoder(), demos=ToyDemos(2, attrs=attrs)).result["demonstrations"] == 2


def test_dagger_refuses_a_transformer_and_says_where_it_is_trained():
    config = small_config()
    config.policy = small_bc(transformer={}).policy
    with pytest.raises(UserError, match="train_bc"):
        training.train(config, toy_vec, ToyEncoder())


@pytest.mark.parametrize("bad", [{"lr": 0.0}, {"epochs": 0}, {"ema_decay": 1.0}])
def test_impossible_settings_are_a_users_error(bad):
    with pytest.raises(UserError, match="optim"):
        OptimConfig(**bad)


def test_another_robots_set_is_not_stamped_with_the_environment_of_the_evaluation():
    foreign = {"env": "their_lab", "robot": "G1", "interface": None, "proprio_names": list("abcde")}
    trained = train(small_bc(run="foreign"), toy_vec, ToyEncoder(), demos=ToyDemos(2, attrs=foreign))
    loaded = policies.load("foreign", encoder=ToyEncoder())
    assert (loaded.env, loaded.spec.robot, loaded.spec.proprio.names, trained.result["env"]) == (
        None,
        "g1",
        tuple("abcde"),
        "none",
    )
    assert (
        set(loaded.spec.action.meanings) == {"unknown"}
        and loaded.spec.cameras[0].width == ToyVec.interface.cameras[0].width
    )
    with pytest.raises(UserError, match="for the robot g1 and env=toy is point.*their_lab, which is not ours"):
        train(
            small_bc(episodes=2), pytest.fail, None, demos=ToyDemos(2, attrs=foreign)
        )  # before an encoder or an environment
    named = small_bc(run="named")
    named.data.robot = "widowx"
    spec = train(named, toy_vec, ToyEncoder(), demos=ToyDemos(2, attrs=foreign | {"robot": ""})).policy.spec
    assert spec.robot == "widowx"

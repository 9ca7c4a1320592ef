"""The whole arrow, small and real: video file → codes → store → Toto → frozen feature → DAgger → a scored policy."""

import json

import numpy as np
import pytest

import policies
import toto_robot
from policies.dagger.train import TrainConfig
from toto_robot import evaluate, pretrain, render, tokenize, train_dagger, train_dvae
from toto_robot.command import compose
from toto_robot.tokens.store.token_store import TokenStore


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("arrow")


@pytest.fixture(scope="module")
def model(work):
    """A model folder made from rendered video by the real commands' functions."""
    render.main(render.RenderConfig(out=str(work / "clips"), clips=4, frames=48, looks=["random", "nominal"]))
    assert len(list((work / "clips").glob("*.mp4"))) == 4
    scores = train_dvae.main(
        compose(
            train_dvae.TrainDVAEConfig,
            "train_dvae",
            [
                f"videos={work / 'clips'}",
                f"out={work / 'dvae'}",
                "steps=12",
                "batch=2",
                "vocab_size=64",
                "held_out=0.25",
            ],
        )
    )
    assert scores["codes_used"] > 1
    tokenize.main(
        compose(
            tokenize.TokenizeConfig,
            "tokenize",
            [f"source={work / 'clips'}", f"out={work / 'tokens'}", f"tokenizer={work / 'dvae'}", "workers=1"],
        )
    )
    assert TokenStore(work / "tokens")[0].shape == (16, 256)
    made = pretrain.main(
        compose(
            pretrain.PretrainConfig,
            "pretrain",
            [
                f"stores=[{work / 'tokens'}]",
                f"tokenizer={work / 'dvae'}",
                f"out={work / 'toto'}",
                "steps=3",
                "short_steps=2",
                "short_batch=2",
                "batch_rows=1",
                "layers=2",
                "width=64",
                "heads=2",
                "intermediate=64",
            ],
        )
    )
    return made["model"]


def test_the_encoder_keeps_its_contract(model):
    frames = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    for pooling, shape in (("mean", (3, 64)), ("grid", (3, 16, 64)), ("none", (3, 256, 64))):
        assert tuple(toto_robot.load_encoder(model, layer=1, pooling=pooling)(frames).shape) == shape


def test_dagger_trains_saves_and_is_scored(model, work, monkeypatch, capsys):
    monkeypatch.chdir(work)
    cfg = compose(
        TrainConfig,
        "train_dagger",
        [
            f"encoder.name={model}",
            "encoder.layer=1",
            "dagger.rounds=2",
            "dagger.num_envs=4",
            "dagger.first_round_steps=32",
            "dagger.steps_per_round=32",
            "learner.updates_per_round=4",
            "episodes=1",
            "env.workers=1",
            "encode_processes=1",
            "threads=1",
            "run=arrow",
        ],
    )
    result = train_dagger.main(cfg)
    run = work / "runs" / "arrow"
    for name in ("policy", "metrics.jsonl", "learning_curve.png", "rollouts.mp4", "rollouts.png", "config.yaml"):
        assert (run / name).exists(), name
    assert result["episodes"] == 1 and 0 <= result["success"] <= 1 and result["env_steps"] == 64
    policy = policies.load(run)
    obs = {"rgb": np.zeros((2, 128, 128, 3), np.uint8), "proprio": np.zeros((2, 18), np.float32)}
    actions = policy.act(obs)
    assert actions.shape == (2, 8) and (np.abs(actions) <= 1).all()
    again = evaluate.main(
        compose(
            evaluate.EvaluateConfig,
            "evaluate",
            [
                f"policy={run / 'policy'}",
                "env=franka_pick",
                "episodes=1",
                "seed=12345",
                "env.workers=1",
                "encode_processes=1",
            ],
            ("policy",),
        )
    )
    assert json.dumps(again)  # one JSON line
    assert (again["successes"], again["mean_steps"]) == (result["successes"], result["mean_steps"])

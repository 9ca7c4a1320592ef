import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import toy_world
from toy_world import ToyEncoder, ToyVec, small_config, toy_vec, weights_hash

import policies
from policies.bookkeeping.run_folder import RunFolder, resumable_run, start_run
from policies.dagger.train import train
from policies.fit.spec import spec_from_env
from policies.scoring.rollout import evaluate, summarise
from policies.seeds import EVALUATION, TRAINING, watching_seeds
from toto_robot.ground.errors import UserError


class Killed(BaseException):
    pass


def stop_in_round(round_):
    """Environments that raise in the middle of round `round_`, as a kill would stop them."""

    def make(cfg):
        vec = ToyVec(cfg.dagger.num_envs)
        steps_before = cfg.dagger.first_round_steps // 8 + (round_ - 1) * cfg.dagger.steps_per_round // 8
        step, count = vec.step, [0]

        def counted(actions, active=None):
            count[0] += 1
            if count[0] > steps_before + 3:
                raise Killed
            return step(actions, active)

        vec.step = counted
        return vec

    return make


def test_a_run_resumed_at_any_round_ends_with_the_same_bits_as_an_uninterrupted_one():
    whole = train(small_config(run="whole", dagger={"keep_data": True}), toy_vec, ToyEncoder())
    for round_ in (1, 3):
        name = f"cut{round_}"
        with pytest.raises(Killed):
            train(small_config(run=name, dagger={"keep_data": True}), stop_in_round(round_), ToyEncoder())
        assert RunFolder(Path("runs") / name).rounds() == round_
        again = train(small_config(run=name, resume=True, dagger={"keep_data": True}), toy_vec, ToyEncoder())
        assert weights_hash(again.folder) == weights_hash(whole.folder)
        for k in range(4):
            ours, theirs = _data_files(whole.folder, again.folder, k)
            assert ours.read_bytes() == theirs.read_bytes()
        rows = [json.loads(line) for line in (again.folder / "metrics.jsonl").read_text().splitlines()]
        assert [r["round"] for r in rows] == [0, 1, 2, 3]


def _data_files(a, b, round_):
    return [Path(f) / "checkpoints" / f"round_{round_:04d}" / "data.safetensors" for f in (a, b)]


def test_evaluating_while_training_does_not_change_the_policy():
    plain = train(small_config(run="plain"), toy_vec, ToyEncoder())
    config = small_config(run="watched", dagger={"eval_every": 2, "eval_episodes": 5})
    watched = train(config, toy_vec, ToyEncoder())
    assert weights_hash(plain.folder) == weights_hash(watched.folder)
    rows = [json.loads(line) for line in (watched.folder / "metrics.jsonl").read_text().splitlines()]
    assert [r["eval_success"] is not None for r in rows] == [True, False, True, True]


def test_a_process_killed_with_sigkill_resumes_to_the_same_bits():
    script = str(Path(toy_world.__file__))
    root = str(Path(__file__).parents[3])
    env = {**os.environ, "PYTHONPATH": root}
    process = subprocess.Popen([sys.executable, script, "killed", "start", "0.02"], env=env, stderr=subprocess.DEVNULL)
    run = RunFolder(Path("runs/killed"))
    deadline = time.time() + 600  # a busy machine takes long to load torch
    while run.rounds() < 2 and time.time() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    committed = run.rounds()
    assert 2 <= committed < 6 and not run.finished
    subprocess.run([sys.executable, script, "killed", "resume", "0"], env=env, check=True, stderr=subprocess.DEVNULL)
    assert run.finished and run.rounds() == 6
    whole = train(small_config(run="whole", dagger={"rounds": 6}), toy_vec, ToyEncoder())
    assert weights_hash("runs/killed") == weights_hash(whole.folder)


def test_resume_without_a_fitting_run_names_the_key_that_differs():
    with pytest.raises(UserError, match="no unfinished runs"):
        train(small_config(resume=True), toy_vec, ToyEncoder())
    with pytest.raises(Killed):
        train(small_config(run="a"), stop_in_round(1), ToyEncoder())
    with pytest.raises(UserError, match=r"a differs \(seed was 0 and is 3\)"):
        train(small_config(resume=True, seed=3), toy_vec, ToyEncoder())
    with pytest.raises(UserError, match="exists already"):
        train(small_config(run="a"), toy_vec, ToyEncoder())


def test_resume_takes_the_newest_unfinished_run_and_leaves_finished_ones():
    with pytest.raises(Killed):
        train(small_config(run="cut"), stop_in_round(2), ToyEncoder())
    train(small_config(run="done"), toy_vec, ToyEncoder())
    assert train(small_config(resume=True), toy_vec, ToyEncoder()).folder.name == "cut"
    with pytest.raises(UserError, match="no unfinished"):
        train(small_config(resume=True), toy_vec, ToyEncoder())


def test_a_run_that_is_still_alive_is_not_resumed():
    alive = start_run("alive", "toy", small_config())
    with pytest.raises(UserError, match="alive is still running"):
        resumable_run(None, small_config())
    assert alive.folder.exists()


def test_a_finished_run_has_everything_that_the_command_promises():
    vecs = []

    def make(cfg):
        vecs.append(toy_vec(cfg))
        return vecs[-1]

    trained = train(small_config(run="r", episodes=10), make, ToyEncoder())
    names = {p.name for p in trained.folder.iterdir()}
    wanted = {"config.yaml", "metrics.jsonl", "tb", "learning_curve.png", "rollouts.mp4", "policy", "checkpoints"}
    assert wanted <= names
    keys = "env policy episodes successes success wilson95 mean_steps train_seconds env_steps peak_memory_gb"
    keys += " expert_queries interventions expert_steps"
    assert set(trained.result) == set(keys.split())
    assert trained.result["env_steps"] == 128 + 3 * 64
    assert trained.result["peak_memory_gb"] > 0.01
    assert vecs[0].closed
    seeds = [s for _, s in vecs[0].log]
    assert sum(s in EVALUATION for s in seeds) == 10
    assert all(s in TRAINING or s in EVALUATION for s in seeds)
    assert not list(trained.folder.glob("checkpoints/*/data.safetensors"))
    loaded = policies.load("r", encoder=ToyEncoder())
    assert loaded.spec == spec_from_env(ToyVec, needs="rgb") and (trained.folder / "spec.yaml").exists()
    obs = toy_vec(small_config()).reset(list(range(8)))
    assert np.array_equal(loaded.act(obs), trained.policy.act(obs))


def test_each_frame_is_encoded_once():
    encoder = ToyEncoder()
    trained = train(small_config(run="r"), toy_vec, encoder)
    assert encoder.frames == trained.result["env_steps"]


def test_a_failed_start_leaves_no_run_behind():
    class Broken(ToyEncoder):
        @property
        def feature_shape(self):
            raise UserError("no such encoder")

    with pytest.raises(UserError):
        train(small_config(run="r"), toy_vec, Broken())
    assert not Path("runs/r").exists()


def test_dagger_beats_cloning_the_expert_where_errors_compound():
    def success(name, dagger, gate):
        shared = {"rounds": 6, "steps_per_round": 256, "first_round_steps": 256, "num_envs": 16}
        learner = {"updates_per_round": 100, "batch_size": 128, "lr": 3e-3}
        config = small_config(run=name, dagger=shared | dagger, gate=gate, learner=learner)
        policy = train(config, toy_vec, ToyEncoder()).policy
        return summarise(evaluate(ToyVec(20, labelled=False), policy.act, watching_seeds(9, 60)))["success"]

    cloned = success("bc", {"noise_std": 0.0}, {"schedule": "constant", "decay": 1.0})
    dagger = success("dagger", {}, {})
    assert cloned < 0.7 and dagger > 0.9


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_round(monkeypatch):
    from policies.dagger import learner

    losses = learner.Learner._losses

    def spoiled(self, data, indices):
        for loss in losses(self, data, indices):
            yield loss * (float("nan") if self.done == 25 else 1.0)

    monkeypatch.setattr(learner.Learner, "_losses", spoiled)
    with pytest.raises(UserError, match=r"since update 26 of \d+ \(round \d\) the loss is nan .*smaller learner.lr"):
        train(small_config(run="d"), toy_vec, ToyEncoder())
    run = RunFolder(Path("runs/d"))
    tensors, _ = run.state(run.rounds())
    assert not (run.folder / "policy").exists() and int(tensors["learner.done"]) <= 25
    assert all(value.isfinite().all() for value in tensors.values() if value.is_floating_point())

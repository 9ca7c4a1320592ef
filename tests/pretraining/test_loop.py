import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import toto_robot
from toto_robot.ground.errors import UserError
from toto_robot.models.flops import training_flops_per_token
from toto_robot.models.presets import preset
from toto_robot.pretraining import loop
from toto_robot.pretraining.checkpoint import checkpoints
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.pretraining.data import open_data
from toto_robot.pretraining.distributed import Group
from toto_robot.pretraining.logs import read_log
from toto_robot.pretraining.loop import pretrain
from toto_robot.pretraining.trainer import Trainer, batches_of_step


def weights(out):
    return load_file(Path(out) / "model" / "toto.safetensors")


def trainer(cfg, data):
    return Trainer(cfg, preset("tiny", data.vocab_size, **cfg.changes()), Group("cpu", "none"))


def state(run):
    (file,) = checkpoints(run / "resume")[-1].glob("*.safetensors")
    return load_file(file)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_learns_and_exports_an_encoder(config, tmp_path):
    result = pretrain(config(out=str(tmp_path / "run"), steps=60, short_steps=20))
    lines = read_log(tmp_path / "run" / "log.jsonl")
    assert lines[0]["loss"] > 2.5 and result["held_out"] < 1.0 and result["held_out_frames"] < 1.8
    encoder = toto_robot.load_encoder(tmp_path / "run" / "model")
    assert encoder.num_layers == 2 and encoder.layer == 1 and encoder.dim == 16
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(config, tmp_path, monkeypatch):
    pretrain(config(out=str(tmp_path / "whole")))
    real, calls = Trainer.step, []

    def dies_at_the_sixth_step(self, *args):
        calls.append(args[0])
        if len(calls) == 6:
            raise RuntimeError("power cut")
        return real(self, *args)

    monkeypatch.setattr(Trainer, "step", dies_at_the_sixth_step)
    with pytest.raises(RuntimeError):
        pretrain(config(out=str(tmp_path / "cut")))
    monkeypatch.undo()
    pretrain(config(out=str(tmp_path / "cut"), resume=True))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert same(*(state(tmp_path / run) for run in ("whole", "cut")))
    logs = [[(x["step"], x["loss"]) for x in read_log(tmp_path / run / "log.jsonl")] for run in ("whole", "cut")]
    assert logs[0] == logs[1]


@pytest.fixture
def start_command(fork_server, tmp_path):
    """start_command(settings, out, *more) starts the command in a process of its own."""

    def start(settings, out, *more):
        values = [f"{k}=[{','.join(v)}]" if isinstance(v, list) else f"{k}={v}" for k, v in settings.items()]
        return fork_server.start(tmp_path, "toto_robot.pretrain", *values, f"out={out}", *more)

    return start


def wait_for(condition, process, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_the_command_stopped_by_a_signal_and_resumed_equals_an_uninterrupted_run(
    settings, tmp_path, start_command, number, code
):
    settings |= {"steps": 80, "checkpoint_every": 5, "validate_every": 1000}
    process = start_command(settings, tmp_path / "cut")
    wait_for(lambda: checkpoints(tmp_path / "cut" / "resume"), process)
    os.kill(process.pid, number)
    process.communicate()
    assert process.returncode == code and not (tmp_path / "cut" / "model").exists()
    resumed = start_command(settings, tmp_path / "cut", "resume=true")
    printed, _ = resumed.communicate()
    assert resumed.returncode == 0
    whole = pretrain(PretrainConfig(**settings, out=str(tmp_path / "whole")))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert json.loads(printed.splitlines()[-1])["held_out"] == whole["held_out"]


def test_the_command_tells_a_mistake_in_one_sentence(settings, tmp_path, start_command):
    process = start_command({**settings, "model": "huge"}, tmp_path / "x")
    out, err = process.communicate()
    assert process.returncode == 2 and out == "" and "large, tiny" in err and "Traceback" not in err
    assert not (tmp_path / "x").exists()


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(config):
    cfg = config()
    data = open_data(cfg)
    made = trainer(cfg, data)
    with torch.no_grad():
        made.model.norm.weight[0] = torch.nan
    before = [p.clone() for p in made.model.parameters()]
    with pytest.raises(UserError, match="diverged: since step 1 the loss is nan"):
        made.step(0, data)
    assert all(torch.equal(a, b) or a.isnan().any() for a, b in zip(before, made.model.parameters()))


def test_the_size_of_the_micro_batch_does_not_change_the_step(config):
    results = []
    for tokens in (100, 100_000):
        cfg = config(micro_tokens=tokens, dtype="float32")
        data = open_data(cfg)
        values, count = trainer(cfg, data).step(5, data)
        results.append((values["loss"], values["grad_norm"], count))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


def test_short_rows_come_first_and_stay_beside_the_full_rows(config):
    cfg = config(stores=config().stores[:1], micro_tokens=600)
    data = open_data(cfg)

    def shapes(cfg, step):
        return [tuple(ids.shape) for ids in batches_of_step(cfg, step, data, Group("cpu", "none"))[0]]

    assert [shapes(cfg, step) for step in (2, 3)] == [[(4, 17)], [(2, 258), (2, 17)]]
    assert shapes(config(stores=cfg.stores, short_steps=0, micro_tokens=600), 3) == [(2, 258)]


def test_only_matrices_decay(config):
    cfg = config()
    for group in trainer(cfg, open_data(cfg)).optimizer.param_groups:
        assert {p.ndim >= 2 for p in group["params"]} == {group["weight_decay"] > 0}


def test_a_folder_with_a_run_is_not_overwritten_and_a_resume_needs_one(config, tmp_path):
    cfg = config(out=str(tmp_path / "run"), steps=3)
    pretrain(cfg)
    with pytest.raises(UserError, match="resume=true"):
        pretrain(cfg)
    with pytest.raises(UserError, match="nothing to resume"):
        pretrain(config(out=str(tmp_path / "new"), resume=True))


def test_resume_without_a_folder_finds_the_newest_unfinished_run_with_equal_settings(config, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "RUNS", tmp_path / "runs")
    with pytest.raises(UserError, match="no unfinished run"):
        pretrain(config(resume=True))
    monkeypatch.setattr(loop, "export", lambda *_: {})
    for name, seed in (("toto-a", 0), ("toto-b", 1)):
        pretrain(config(out=str(tmp_path / "runs" / name), seed=seed, steps=4))
    monkeypatch.undo()
    monkeypatch.setattr(loop, "RUNS", tmp_path / "runs")
    assert pretrain(config(seed=0, steps=4, resume=True))["model"] == str(tmp_path / "runs" / "toto-a" / "model")
    with pytest.raises(UserError, match="seed was 1 and is 5"):
        pretrain(config(seed=5, steps=4, resume=True))
    for name, text in (("toto-torn", "{"), ("toto-other", '{"format": "x"}'), ("toto-empty", None)):
        (tmp_path / "runs" / name / "resume" / "step-00000002").mkdir(parents=True)
        if text:
            (tmp_path / "runs" / name / "resume" / "step-00000002" / "run.json").write_text(text)
    assert pretrain(config(seed=1, steps=4, resume=True))["model"] == str(tmp_path / "runs" / "toto-b" / "model")


def test_replicas_add_up_to_one_model_and_share_its_weights(config):
    results = []
    for count in (1, 3):
        cfg = config(batch_rows=4, micro_tokens=1, threads=count)
        data = open_data(cfg)
        made = trainer(cfg, data)
        for step in (5, 6):
            values, _ = made.step(step, data)
        results.append((values["loss"], values["grad_norm"]))
        twins = made.replicas.models
        assert len(twins) == count
        assert all(
            a.data_ptr() == b.data_ptr() for twin in twins for a, b in zip(twin.parameters(), made.model.parameters())
        )
        made.close()
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


def test_each_source_has_its_held_out_loss_and_each_frame_its_own(config, make_store, tmp_path):
    stores = [str(make_store(3, seed=2)), str(make_store(3, seed=3))]
    cfg = config(out=str(tmp_path / "run"), steps=4, validation=stores)
    result = pretrain(cfg)
    names = [f"held_out/{Path(store).name}" for store in stores]
    assert result["held_out"] == pytest.approx(sum(result[name] for name in names) / 2, abs=1e-3)
    assert len(result["loss_by_frame"]) == 16
    assert sum(result["loss_by_frame"]) / 16 == pytest.approx(result["held_out"], abs=0.05)
    assert (tmp_path / "run" / "loss_by_frame.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_starts_from_a_model_folder_with_another_rope_base(config, tmp_path, settings):
    pretrain(config(out=str(tmp_path / "coarse")))
    shape = {name: None for name in ("width", "heads", "layers", "intermediate")}
    start = str(tmp_path / "coarse" / "model")
    cfg = config(**shape, init=start, rope_theta=50_000.0, lr=1e-12, short_steps=0, steps=1, out=str(tmp_path / "fine"))
    pretrain(cfg)
    before, after = weights(tmp_path / "coarse"), weights(tmp_path / "fine")
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    assert toto_robot.load_encoder(tmp_path / "fine" / "model").toto.config.rope_theta == 50_000.0
    with pytest.raises(UserError, match="width can't be set"):
        config(**{**shape, "width": 8}, init=start)


def test_runs_of_equal_flops_have_as_many_steps_as_they_pay_for(config):
    def steps(**changes):
        cfg = config(short_steps=0, steps=1, **changes)
        data = open_data(cfg)
        return loop.steps_of(cfg, loop.model_config(cfg, data), data, cfg.flops)[1], loop.model_config(cfg, data)

    few, small = steps(flops=1e10)
    more, wide = steps(flops=1e10, width=32)
    cost = [
        count * training_flops_per_token(shape, 16 * 17 + 1, causal=True)
        for count, shape in ((few, small), (more, wide))
    ]
    assert few > more > 1 and abs(cost[0] / cost[1] - 1) < 0.05
    with pytest.raises(UserError, match="without short_steps"):
        config(flops=1e10)


def test_a_share_of_the_flops_goes_into_short_rows_and_the_sum_stays(config, tmp_path):
    stores = config().stores[:1]
    cfg = config(stores=stores, steps=1, short_steps=0, flops=2e8, short_share=0.5, out=str(tmp_path / "run"))
    result, done = pretrain(cfg), yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    lines = read_log(tmp_path / "run" / "log.jsonl")
    assert 0 < done["short_steps"] < done["steps"] == result["steps"] and result["flops"] == pytest.approx(2e8, rel=0.1)
    after_short = max(line["flops"] for line in lines if line["step"] <= done["short_steps"])
    assert after_short == pytest.approx(1e8, rel=0.2)
    with pytest.raises(UserError, match="needs flops"):
        config(short_share=0.5)


def test_short_rows_and_full_ones_cost_what_they_are_and_a_resumed_run_counts_on(config, tmp_path):
    stores = config().stores[:1]  # videos: 257 tokens in a row, 17 in a short one
    cfg = config(stores=stores, steps=4, short_steps=2, checkpoint_every=2, out=str(tmp_path / "run"))
    result, shape = pretrain(cfg), loop.model_config(cfg, open_data(cfg))
    a_short, a_full = (training_flops_per_token(shape, length, causal=True) for length in (17, 16 * 17 + 1))
    short, full = 2 * 4 * 16, 2 * 2 * (257 + 16)  # tokens that are predicted
    assert result["tokens"] == short + full and result["flops"] == pytest.approx(short * a_short + full * a_full)
    shutil.rmtree(tmp_path / "run" / "resume" / "step-00000004")
    assert pretrain(replace(cfg, resume=True))["flops"] == result["flops"]
    logged = [line["flops"] for line in read_log(tmp_path / "run" / "log.jsonl")]
    assert logged[1::2] == pytest.approx([short * a_short, result["flops"]])


def test_a_start_that_knows_other_codes_or_nothing_is_refused(config, tmp_path):
    shape = {name: None for name in ("width", "heads", "layers", "intermediate")}
    with pytest.raises(UserError, match="knows 1028 ids, but the tokenizer of the stores needs 16"):
        pretrain(config(**shape, init="toto_tiny", out=str(tmp_path / "x")))
    with pytest.raises(UserError, match="no trained weights"):
        pretrain(config(**shape, init="toto_tiny_random", out=str(tmp_path / "y")))

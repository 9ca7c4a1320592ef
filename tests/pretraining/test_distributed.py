"""Two processes over gloo against one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from toto_robot.ground.errors import UserError
from toto_robot.pretraining.checkpoint import checkpoints
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.pretraining.distributed import Group
from toto_robot.pretraining.logs import read_log
from toto_robot.pretraining.loop import pretrain

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


def start(settings, out, *more):
    values = [f"{k}=[{','.join(v)}]" if isinstance(v, list) else f"{k}={v}" for k, v in settings.items()]
    command = [*TORCHRUN, "toto_robot.pretrain", *values, f"out={out}", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def losses(run):
    return torch.tensor([[line["step"], line["loss"]] for line in read_log(run / "log.jsonl")])


@pytest.fixture
def float_settings(settings):
    return settings | {"dtype": "float32", "validation_rows": 3}


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one(float_settings, tmp_path, strategy):
    process = start(float_settings, tmp_path / "two", f"parallel={strategy}")
    one = pretrain(PretrainConfig(**float_settings, out=str(tmp_path / "one")))
    two = finish(process)
    torch.testing.assert_close(losses(tmp_path / "two"), losses(tmp_path / "one"), atol=1e-5, rtol=0)
    assert two["held_out"] == pytest.approx(one["held_out"], abs=1e-4)
    assert two["loss_by_frame"] == pytest.approx(one["loss_by_frame"], abs=1e-4)
    weights = [load_file(tmp_path / run / "model" / "toto.safetensors") for run in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, atol=1e-4, rtol=0)


def test_a_run_of_two_that_is_killed_goes_on_as_one(float_settings, tmp_path):
    settings = float_settings | {"steps": 60, "validate_every": 1000}
    process = start(settings, tmp_path / "cut", "parallel=fsdp")
    end = time.monotonic() + 60
    while not checkpoints(tmp_path / "cut" / "resume"):
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    pretrain(PretrainConfig(**settings, out=str(tmp_path / "cut"), resume=True))
    pretrain(PretrainConfig(**settings, out=str(tmp_path / "whole")))
    torch.testing.assert_close(losses(tmp_path / "cut"), losses(tmp_path / "whole"), atol=1e-4, rtol=0)


def test_a_strategy_that_does_not_fit_the_number_of_processes_is_refused():
    with pytest.raises(UserError, match="torchrun --nproc-per-node"):
        Group("cpu", "fsdp")


def test_a_group_of_one_asks_nobody():
    group = Group("cpu", "auto")
    assert group.strategy == "none" and group.first and group.total(1.5, 2) == [1.5, 2] and group.tell("x") == "x"

import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toto_robot.ground.errors import UserError
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.pretraining import checkpoint
from toto_robot.pretraining.checkpoint import checkpoints, read_settings
from toto_robot.pretraining.distributed import Group

CONFIG = TotoConfig(vocab_size=9, width=8, layers=1, heads=1, intermediate=8)
SETTINGS = {"lr": 0.1, "stores": ["a"]}
ALONE = Group("cpu", "none")


def save_checkpoint(*args):
    return checkpoint.save_checkpoint(*args, ALONE)


def load_checkpoint(*args):
    return checkpoint.load_checkpoint(*args, ALONE)


def trained(steps=2, config=CONFIG):
    torch.manual_seed(0)
    model = Toto(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    model.loss(torch.tensor([[1, 5, 6, 7, 8]])).backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_restored_state_goes_on_bit_for_bit(tmp_path):
    model, optimizer = trained(3)
    path = checkpoint.save_checkpoint(tmp_path, 3, model, optimizer, SETTINGS, ALONE, tokens=12, flops=1.5e15)
    other, other_optimizer = trained(0)
    assert load_checkpoint(path, other, other_optimizer, SETTINGS) == (3, 12, 1.5e15)
    for _ in range(2):
        step(model, optimizer)
        step(other, other_optimizer)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))
    assert read_settings(path) == SETTINGS


def test_the_last_two_are_kept(tmp_path):
    model, optimizer = trained()
    for number in (1, 2, 10, 100):
        save_checkpoint(tmp_path, number, model, optimizer, SETTINGS)
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000010", "step-00000100"]
    assert not list(tmp_path.glob(".*"))


def test_other_settings_are_named(tmp_path):
    model, optimizer = trained()
    path = save_checkpoint(tmp_path, 1, model, optimizer, SETTINGS)
    with pytest.raises(UserError, match=r"lr was 0.1 and is 0.2"):
        load_checkpoint(path, model, optimizer, {**SETTINGS, "lr": 0.2})


def test_another_models_checkpoint_is_refused(tmp_path):
    path = save_checkpoint(
        tmp_path, 1, *trained(1, TotoConfig(vocab_size=9, width=4, layers=1, heads=1, intermediate=8)), SETTINGS
    )
    with pytest.raises(UserError, match="does not fit the model"):
        load_checkpoint(path, *trained(), SETTINGS)


def shard(path):
    return next(path.glob("*.safetensors"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 0.999), which=st.sampled_from([shard, lambda path: path / "run.json"]))
def test_a_checkpoint_cut_anywhere_gives_one_sentence_with_the_file_and_the_remedy(tmp_path, part, which):
    model, optimizer = trained(1)
    save_checkpoint(tmp_path, 1, model, optimizer, SETTINGS)
    path = save_checkpoint(tmp_path, 2, model, optimizer, SETTINGS)
    file = which(path)
    file.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
    with pytest.raises(UserError) as caught:
        load_checkpoint(path, model, optimizer, SETTINGS)
    assert str(path) in str(caught.value) and "Delete it to continue from step-00000001" in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_with_the_file_and_the_remedy(tmp_path, data):
    path = tmp_path / "step-00000001"
    path.mkdir(exist_ok=True)
    (path / "run.json").write_bytes(data)
    with pytest.raises(UserError, match="Delete it to start again"):
        load_checkpoint(path, *trained(), SETTINGS)


def test_a_shard_is_missing(tmp_path):
    path = save_checkpoint(tmp_path, 1, *trained(1), SETTINGS)
    shard(path).unlink()
    with pytest.raises(UserError, match="truncated: expected"):
        load_checkpoint(path, *trained(), SETTINGS)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_of_the_right_size_is_refused_and_not_run(tmp_path):
    path = save_checkpoint(tmp_path, 1, *trained(1), SETTINGS)
    file, size = shard(path), shard(path).stat().st_size
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")).ljust(size, b"."))
    with pytest.raises(UserError, match="is damaged"):
        load_checkpoint(path, *trained(), SETTINGS)
    assert not (tmp_path / "ran").exists()

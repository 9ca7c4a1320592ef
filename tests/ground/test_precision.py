import pytest
import torch

from toto_robot.ground import precision
from toto_robot.ground.errors import UserError
from toto_robot.ground.precision import choose_dtype


def test_auto_follows_the_processor(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    assert choose_dtype("auto", "cpu") == "bfloat16"
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    assert choose_dtype("auto", "cpu") == "float32"


def test_a_named_dtype_is_kept_whatever_the_processor():
    assert [choose_dtype(name, "cpu") for name in precision.DTYPES] == ["float32", "bfloat16"]


def test_without_a_gpu_there_is_no_bfloat16_on_one():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert not precision.has_bfloat16("cuda")


def test_another_name_lists_what_exists():
    with pytest.raises(UserError, match="auto, bfloat16, float32"):
        choose_dtype("float16", "cpu")

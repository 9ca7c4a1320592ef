import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from toto_robot.ground.errors import UserError
from toto_robot.ground.tensors import check_numbers, tensor_shapes
from toto_robot.models.toto import TotoConfig


def test_the_header_tells_every_shape(tmp_path):
    tensors = {
        "a": np.zeros((2, 3), np.float32),
        "b": np.zeros(4, np.float64),
        "c": np.zeros((), np.uint8),
        "d": np.zeros((0, 3), np.float16),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"by": "us"})
    assert tensor_shapes(tmp_path / "x.safetensors") == {name: t.shape for name, t in tensors.items()}


def file_of(header: dict, data: bytes, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        file_of({}, b"", 2**60),
        file_of({"a": entry([2], 0, 8)}, b"1234"),
        file_of({"a": entry([2], 0, 4)}, b"1234"),
        file_of({"a": entry([10**12, 10**12], 0, 4)}, b"1234"),
        file_of({"a": entry([-1], 0, 4)}, b"1234"),
        file_of({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"1234"),
        file_of({"a": 3}, b""),
        file_of({"a": entry([1], 4, 8)}, b"12345678"),
        (10_000).to_bytes(8, "little") + b"[" * 10_000,
    ],
)
def test_a_header_that_does_not_account_for_the_file_is_refused(content, tmp_path):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UserError, match="can't be read as weights"):
        tensor_shapes(tmp_path / "x")


def test_a_fifo_and_a_device_are_no_weights(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        with pytest.raises(UserError, match="not a regular file"):
            tensor_shapes(path)


def test_a_description_of_more_than_the_weights_hold_is_refused_before_a_network_is_made():
    config, shapes = (
        TotoConfig(vocab_size=8196, width=192, heads=3, layers=6, intermediate=512),
        {f"t{i}": (1000, 100) for i in range(8)},
    )
    check_numbers(config, shapes, "x")
    with pytest.raises(UserError, match="layers=6 is more than its weights hold"):
        check_numbers(config, {"t": (1000, 1000)}, "x")
    with pytest.raises(UserError, match="vocab_size=8,196"):
        check_numbers(config, {f"t{i}": (10,) for i in range(8)}, "x")

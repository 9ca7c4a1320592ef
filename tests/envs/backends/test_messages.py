"""The messages of the vector-environment protocol: a message survives the way, and other bytes are refused."""

import ast
import json
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from envs.backends import isaacgym_worker, messages
from envs.backends.messages import MAGIC, PREFIX, Closed, MessageError

ARRAYS = st.dictionaries(
    st.text(max_size=8),
    st.sampled_from(messages.DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    max_size=4,
)
FIELDS = st.dictionaries(
    st.text(max_size=8).filter(lambda k: k not in ("type", "arrays")),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    max_size=4,
)


def over_a_socket(data: bytes):
    """The result of `receive` for these bytes, followed by the end of the stream."""
    here, there = socket.socketpair()
    with here, there:
        writer = threading.Thread(target=lambda: (here.sendall(data), here.shutdown(socket.SHUT_WR)))
        writer.start()
        try:
            return messages.receive(there, 5.0)
        finally:
            there.close()
            writer.join()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=10), FIELDS, ARRAYS)
def test_a_message_comes_back_as_it_was(kind, fields, arrays):
    data = messages.pack(kind, fields, arrays)
    for got_kind, got_fields, got in (messages.unpack(data), over_a_socket(data)):
        assert (got_kind, got_fields) == (kind, fields) and list(got) == list(arrays)
        for name, array in arrays.items():
            assert got[name].dtype == array.dtype and got[name].shape == array.shape
            assert got[name].tobytes() == array.tobytes()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_random_bytes_are_a_message_error(data):
    with pytest.raises(MessageError):
        messages.unpack(data)
    with pytest.raises((MessageError, Closed)):
        over_a_socket(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_message_with_a_changed_byte_is_a_message_or_a_message_error_and_never_another_error(data):
    whole = bytearray(
        messages.pack("step", {"a": 1}, {"x": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.array([True, False])})
    )
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    try:
        kind, fields, arrays = messages.unpack(bytes(whole))
    except MessageError:
        return
    assert sum(a.nbytes for a in arrays.values()) <= 26


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 200))
def test_a_message_that_is_cut_off_says_so(at):
    whole = messages.pack("step", {}, {"x": np.arange(30, dtype="<i8")})
    cut = whole[: at % len(whole)]
    with pytest.raises(MessageError):
        messages.unpack(cut)
    with pytest.raises(Closed, match="between two messages" if not cut else "inside a message"):
        over_a_socket(cut)


def header(**changed):
    return {"type": "step", "arrays": [["x", "<f4", [2]]]} | changed


@pytest.mark.parametrize(
    "text,payload,words",
    [
        (b"\xff\xfe", b"", "not valid JSON"),
        (b"[" * 100_000, b"", "not valid JSON"),
        (b"[]", b"", "that is an object"),
        (json.dumps(header(type=3)).encode(), b"x" * 8, "that is an object"),
        (json.dumps(header(arrays={})).encode(), b"", "that is an object"),
        (json.dumps(header(arrays=[["x", "|O", [1]]])).encode(), b"x" * 8, r"\|u1"),
        (json.dumps(header(arrays=[["x", ["<f4"], [1]]])).encode(), b"x" * 8, r"\|u1"),
        (json.dumps(header(arrays=[["x", "<f4", [-1]]])).encode(), b"", "shape"),
        (json.dumps(header(arrays=[["x", "<f4", [True]]])).encode(), b"x" * 4, "shape"),
        (json.dumps(header(arrays=[["x", "<f4", [1.0]]])).encode(), b"x" * 4, "shape"),
        (json.dumps(header(arrays=[["x", "<f4", [1] * 9]])).encode(), b"x" * 4, "shape"),
        (json.dumps(header(arrays=[["x", "<f4", [2**30] * 8]])).encode(), b"x" * 8, "bytes"),
        (json.dumps(header()).encode(), b"x" * 7, "8 bytes, the payload has 7"),
        (json.dumps(header(arrays=[["x", "|u1", [1]]] * 2)).encode(), b"xx", "one name"),
    ],
)
def test_a_hostile_header_is_refused_before_anything_is_made_of_it(text, payload, words):
    with pytest.raises(MessageError, match=words):
        messages.unpack(PREFIX.pack(MAGIC, len(text), len(payload)) + text + payload)


@pytest.mark.parametrize("sizes", [(2**20 + 1, 0), (2, 2**30 + 1), (2**32 - 1, 2**64 - 1)])
def test_a_size_beyond_the_limit_is_refused_before_memory_is_taken(sizes):
    with pytest.raises(MessageError, match="at most"):
        messages.unpack(PREFIX.pack(MAGIC, *sizes))


def test_only_plain_arrays_are_packed():
    for array in (np.array([object()]), np.array(["text"]), np.zeros(2, "<c8"), np.zeros(2, ">f4")):
        with pytest.raises(MessageError, match="dtype"):
            messages.pack("x", {}, {"a": array})


def test_a_bool_of_another_bit_pattern_is_true():
    whole = bytearray(messages.pack("x", {}, {"b": np.array([True, False])}))
    whole[-2] = 7
    got = messages.unpack(bytes(whole))[2]["b"]
    assert got.tolist() == [True, False] and got.tobytes() == b"\x01\x00"


def test_silence_is_a_timeout_even_when_bytes_trickle_in():
    here, there = socket.socketpair()
    with here, there:
        here.sendall(messages.pack("x")[:10])
        with pytest.raises(TimeoutError):
            messages.receive(there, 0.05)


@pytest.mark.parametrize("module", [messages, isaacgym_worker])
def test_a_workers_files_are_python_3_8_and_import_only_the_standard_library_numpy_and_isaac_gym(module):
    tree = ast.parse(Path(module.__file__).read_text(), feature_version=(3, 8))
    found = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    found |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert found <= {
        "argparse",
        "contextlib",
        "importlib",
        "io",
        "json",
        "math",
        "os",
        "signal",
        "socket",
        "struct",
        "sys",
        "time",
        "traceback",
        "numpy",
        "isaacgym",
        "torch",
        "envs",
    }
    text = Path(module.__file__).read_text()
    assert "removeprefix" not in text and "pickle" not in text.replace("unpickled", "")

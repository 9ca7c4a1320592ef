"""Foreign files: their tensors, or one sentence; never any code."""

import io
import os
import pickle
import pickletools
import struct
import sys
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from toto_robot.ground.errors import UserError
from toto_robot.tokens.foreign import unpickle
from toto_robot.tokens.foreign.unpickle import Made, read_pickle
from toto_robot.tokens.foreign.weights import read_weights

pytestmark = pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
FAST = dict(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def state():
    """Names and tensors as tokenizers have them: a transposed view, a half-precision one, and part of a storage."""
    draw = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(5, 3, generator=draw).t(),
        "a.bias": torch.randn(3, generator=draw).half(),
        "b": torch.randn(4, 6, generator=draw)[1:3, ::2],
        "loss.x": torch.randn(2, generator=draw),
    }


@pytest.fixture(scope="module")
def files(state, tmp_path_factory):
    """The same state in every format."""
    folder = tmp_path_factory.mktemp("files")
    torch.save(state, folder / "zip.pt")
    torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "x.safetensors")
    torch.save(
        {"state_dict": state, "epoch": 3, "callbacks": {print: pytest.UsageError("x")}}, folder / "lightning.ckpt"
    )
    return {path.name: path for path in folder.iterdir()}


def same(found, state):
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert found[name].dtype == torch.float32 and torch.equal(found[name], tensor.float())


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pt", "x.safetensors", "lightning.ckpt"])
def test_every_format_gives_the_same_tensors_in_float32(files, state, name):
    same(read_weights(files[name]), state)
    assert read_weights(files[name], wanted=lambda n: n == "b").keys() == {"b"}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_pickled_module_gives_its_state_dict(small_dvae, openai_module, tmp_path, half, legacy):
    module = openai_module(small_dvae, half)
    torch.save(module, tmp_path / "m.pkl", _use_new_zipfile_serialization=not legacy)
    for name in [n for n in sys.modules if n.startswith("dall_e")]:
        del sys.modules[name]
    same(read_weights(tmp_path / "m.pkl"), module.state_dict())
    assert not [n for n in sys.modules if n.startswith("dall_e")]


# ------------------------------------------------------------------------------------------ bombs


class Bomb:
    """Its pickle asks for a shell command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def written_by_hand(path):
    """Pickles that would run a command through each opcode that calls or imports something."""
    line = f"touch {path}"
    yield "global", b"\x80\x02cos\nsystem\n(U" + bytes([len(line)]) + line.encode() + b"tR."
    yield "inst", b"\x80\x02(S'" + line.encode() + b"'\nios\nsystem\n."
    yield "obj", b"\x80\x02(cos\nsystem\nS'" + line.encode() + b"'\no."
    yield "newobj", b"\x80\x02cos\nsystem\n(S'" + line.encode() + b"'\nt\x81."
    yield "stack_global", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(line)]) + line.encode() + b"\x85R."
    yield "build", b"\x80\x02cbuiltins\nprint\n}(U\x01xcos\nsystem\nub."
    yield "text", b"cos\nsystem\n(S'" + line.encode() + b"'\ntR."
    yield "extension", b"\x80\x02\x82\x01."


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("where", ["root", "value", "key", "module"])
def test_a_bomb_is_refused_by_name_and_not_run(tmp_path, openai_module, small_dvae, where, legacy):
    flag = tmp_path / "ran"
    root = {
        "root": Bomb(flag),
        "value": {"a": torch.ones(2), "b": Bomb(flag)},
        "key": {("a", Bomb(flag)): torch.ones(2)},
        "module": openai_module(small_dvae, "encoder"),
    }[where]
    if where == "module":
        root.note = Bomb(flag)
    torch.save(root, tmp_path / "bomb.pkl", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match=f"bomb.pkl refers to {os.system.__module__}.system") as caught:
        read_weights(tmp_path / "bomb.pkl")
    assert "\n" not in str(caught.value) and not flag.exists()


def test_a_bomb_beside_the_state_dict_of_a_checkpoint_stays_inert(tmp_path, state):
    flag = tmp_path / "ran"
    torch.save({"hyper_parameters": Bomb(flag), "state_dict": {**state, "bomb": Bomb(flag)}}, tmp_path / "x.ckpt")
    same(read_weights(tmp_path / "x.ckpt"), state)
    assert not flag.exists()


def test_no_opcode_runs_anything(tmp_path):
    for name, data in written_by_hand(tmp_path / "ran"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError):
            read_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(AttributeError):
        read_pickle(io.BytesIO(b"\x80\x02\x82\x01."))
    for _, data in list(written_by_hand(tmp_path / "ran"))[:5]:
        made, names = read_pickle(io.BytesIO(data))
        assert isinstance(made, Made) and names == {"os.system"}
    assert not (tmp_path / "ran").exists()


def test_the_bombs_are_real(tmp_path):
    for name, data in written_by_hand(tmp_path / "ran"):
        if name in ("global", "inst", "obj", "stack_global", "text"):
            pickle.loads(data)
            (tmp_path / "ran").unlink()


# ------------------------------------------------------------------------------------------ other files


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>404</html>", "web page"),
        (b"<html>", "web page"),
        (b"--2021-03-01 10:00:00--  https://cdn.example/encoder.pkl\nResolving", "text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\x1f\x8b\x08" + bytes(20), "archive"),
        (bytes(range(200)), "no known format"),
        (pickle.dumps([1, 2]), "not one of PyTorch's"),
        (pickle.dumps(Bomb("x")), r"refers to \w+\.system, but not one of PyTorch's"),
        (b"PK\x03\x04" + bytes(50), "truncated"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, content, says):
    (tmp_path / "encoder.pkl").write_bytes(content)
    with pytest.raises(UserError, match=f"encoder.pkl.*{says}") as caught:
        read_weights(tmp_path / "encoder.pkl")
    assert "\n" not in str(caught.value)


def test_archives_of_other_things_say_what_they_hold(tmp_path):
    with zipfile.ZipFile(tmp_path / "vq-f8.zip", "w") as archive:
        archive.writestr("model.ckpt", "x")
    with pytest.raises(UserError, match="it holds model.ckpt. Unpack"):
        read_weights(tmp_path / "vq-f8.zip")
    with zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c/data.pkl", pickle.dumps({}))
    with pytest.raises(UserError, match="compressed"):
        read_weights(tmp_path / "c.pt")
    with pytest.raises(UserError, match="can't be read"):
        read_weights(tmp_path / "missing.pt")
    torch.save({"epoch": 3}, tmp_path / "e.pt")
    with pytest.raises(UserError, match="holds no weights"):
        read_weights(tmp_path / "e.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "l.pt")
    with pytest.raises(UserError, match="refers to torch.nn.modules.linear.Linear"):
        read_weights(tmp_path / "l.pt")


def legacy_file(size, stride=(1,), offset=0, copies=1, numel=4, floats=4):
    """A legacy file whose state dict holds `copies` tensors of that shape over one storage of `numel` floats (said)."""

    class P(pickle.Pickler):
        def persistent_id(self, x):
            return ("storage", torch.FloatStorage, "0", "cpu", numel, None) if x == "S" else None

    class T:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, ("S", offset, size, stride, False, {})

    out = io.BytesIO()
    for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(x, out, protocol=2)
    P(out, protocol=2).dump({str(i): T() for i in range(copies)})
    pickle.dump(["0"], out, protocol=2)
    return out.getvalue() + struct.pack("<q", numel) + torch.arange(floats).float().numpy().tobytes()


@pytest.mark.parametrize(
    "shape, fits",
    [
        (dict(size=(4,)), True),
        (dict(size=(2, 2), stride=(1, 2)), True),
        (dict(size=(0, 9), stride=(1, 1)), True),
        (dict(size=(5,)), False),
        (dict(size=(2,), offset=3), False),
        (dict(size=(2,), stride=(9,)), False),
        (dict(size=(10**12,), stride=(0,)), False),
        (dict(size=(-1,)), False),
        (dict(size=(2,), offset=-1), False),
        (dict(size=(2, 2)), False),
        (dict(size=("2",)), False),
        (dict(size=(4,), numel=10**15), False),
        (dict(size=(500,), numel=500, floats=500), True),
        (dict(size=(500,), numel=500, floats=500, copies=9), True),
        (dict(size=[4]), False),
        (dict(size=(4,), stride=[1]), False),
        (dict(size=(1,) * 65, stride=(1,) * 65), False),
        (dict(size=(2**62, 0), stride=(1, 1)), False),
    ],
)
def test_a_tensor_lies_inside_its_storage(tmp_path, shape, fits):
    (tmp_path / "x.pt").write_bytes(legacy_file(**shape))
    if fits:
        assert read_weights(tmp_path / "x.pt")["0"].shape == shape["size"]
    else:
        with pytest.raises(UserError, match="truncated or damaged"):
            read_weights(tmp_path / "x.pt")


def test_modules_that_contain_each_other_end(tmp_path):
    conv = b"cdall_e.utils\nConv2d\n)\x81q\x00}(X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_modules}"
    conv += b"X\x01\x00\x00\x00mh\x00sub."
    head = b"".join(pickle.dumps(x, protocol=2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    (tmp_path / "x.pt").write_bytes(head + b"\x80\x02" + conv + pickle.dumps([], protocol=2))
    with pytest.raises(UserError, match="contain each other"):
        read_weights(tmp_path / "x.pt")


def test_many_tensors_of_one_storage_are_read_once_and_keep_only_their_own_numbers(tmp_path, monkeypatch):
    flat, reads = torch.arange(1000.0), []
    torch.save(
        {str(i): flat[i * 10 : i * 10 + 10].view(2, 5) for i in range(80)} | {"tied": flat[:10].view(2, 5)},
        tmp_path / "x.pt",
    )
    real = zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda self, name: reads.append(name) or real(self, name))
    found = read_weights(tmp_path / "x.pt")
    assert sum("/data/" in name for name in reads) == 1
    assert torch.equal(found["79"], flat[790:800].view(2, 5)) and torch.equal(found["tied"], found["0"])
    assert all(t.untyped_storage().nbytes() == 40 for t in found.values())


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


ZERO = text("0")


def tensor(key=ZERO, numel=b"K\x01", size=b"K\x01\x85", stride=b"K\x01\x85"):
    """Opcodes of a tensor; each argument is given as opcodes."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + key + text("cpu") + numel + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + size + stride + b"\x89}tR"


DOUBLED = (
    text("l" * 10) + b"q\x000" + b"".join(bytes([104, i, 104, i, 0x86, 113, i + 1, 48]) for i in range(30)) + b"h\x1e"
)
HUGE = b"\x8b" + struct.pack("<i", 20_000) + b"\x7f" * 20_000
BOMBS = {
    "a key of two to the thirty letters": tensor(key=DOUBLED),
    "a shape of five thousand huge numbers": tensor(size=b"(" + HUGE + b"q\x50" + b"h\x50" * 5000 + b"t"),
    "a tuple 200,000 deep as a key": tensor(key=b")" + b"\x85" * 200_000),
    "a list of itself as a shape": tensor(size=b"]q\x01h\x01a", stride=b"h\x01"),
    "a negative number of elements": tensor(numel=b"J\xfb\xff\xff\xff"),
    "bytes of 2^62": b"\x8e" + struct.pack("<Q", 2**62) + b"x",
    "a text that is joined to itself": text("a" * 10_000) + b"q\x01" + b"h\x01h\x01\x930" * 1000 + b"h\x01",
    "an index of a thousand digits": b"Np" + b"9" * 1000 + b"\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_value_out_of_proportion_is_refused(tmp_path, bomb):
    pickled = b"\x80\x04}" + text("w") + BOMBS[bomb] + b"s."
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/data/0", bytes(4))
    head = b"".join(pickle.dumps(x, protocol=2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    (tmp_path / "x.pkl").write_bytes(head + pickled + pickle.dumps(["0"]) + struct.pack("<q", 1) + bytes(4))
    for name in ("x.pt", "x.pkl"):
        with pytest.raises(UserError, match=f"{name} is truncated or damaged"):
            read_weights(tmp_path / name)


def test_a_pickle_of_too_many_opcodes_is_refused(monkeypatch):
    monkeypatch.setattr(unpickle, "MOST_OPCODES", 100)
    assert read_pickle(io.BytesIO(b"\x80\x02" + b"N0" * 40 + b"N."))[0] is None
    with pytest.raises(ValueError, match="more than 100 operations"):
        read_pickle(io.BytesIO(b"\x80\x02" + b"N0" * 50 + b"N."))


def test_a_storage_has_the_size_that_its_pickle_says(tmp_path):
    for numbers, fits in ((4, True), (8, False), (0, False)):
        with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
            archive.writestr("a/data.pkl", b"\x80\x02}" + text("w") + tensor() + b"s.")
            archive.writestr("a/data/0", bytes(numbers))
        if fits:
            assert read_weights(tmp_path / "x.pt")["w"].shape == (1,)
        else:
            with pytest.raises(UserError, match="another size"):
                read_weights(tmp_path / "x.pt")


def test_a_device_and_a_pipe_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "x.pt")
    for path in (tmp_path / "x.pt", "/dev/zero", tmp_path):
        with pytest.raises(UserError, match="not a regular file"):
            read_weights(path)


# ------------------------------------------------------------------------------------------ fuzz

WORDS = [o.code.encode("latin-1") for o in pickletools.opcodes] + [b"cos\nsystem\n", b"X\x01\x00\x00\x00a", b"K\x01"]


def reads_or_refuses(path, whole, state, checked):
    """UserError, or tensors: the same ones where the format has checksums (`checked`) or nothing was changed."""
    path.write_bytes(whole)
    try:
        found = read_weights(path)
    except UserError as error:
        assert "\n" not in str(error)
        return
    if checked:
        same(found, state)
    else:
        assert all(t.dtype == torch.float32 for t in found.values())


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pt", "x.safetensors", "lightning.ckpt"])
@settings(max_examples=40, **FAST)
@given(part=st.floats(0, 0.9999))
def test_a_truncated_file_is_refused(files, tmp_path, name, part):
    whole = files[name].read_bytes()
    (tmp_path / name).write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(UserError, match=name):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pt", "x.safetensors", "lightning.ckpt"])
@settings(max_examples=150, **FAST)
@given(data=st.data())
def test_flipped_bytes_give_an_error_or_tensors(files, state, tmp_path, name, data):
    whole = bytearray(files[name].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    reads_or_refuses(tmp_path / name, bytes(whole), state, checked=name in ("zip.pt", "lightning.ckpt"))


@settings(max_examples=150, **FAST)
@given(body=st.lists(st.sampled_from(WORDS) | st.binary(max_size=6), max_size=30))
def test_any_pickle_is_refused(tmp_path, body):
    head = b"".join(pickle.dumps(x, protocol=2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    (tmp_path / "x.pt").write_bytes(head + b"\x80\x02" + b"".join(body) + b"." + pickle.dumps([], protocol=2))
    with pytest.raises(UserError):
        read_weights(tmp_path / "x.pt")

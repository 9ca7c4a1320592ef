"""Read the weights in a foreign file and run none of it: PyTorch's zip and legacy formats, Lightning, safetensors.

It reads a state dict; the one under `state_dict` of a Lightning checkpoint, or under `model` of MAE's, whose other
parts are ignored; or the parameters of a pickled module of the DALL·E package. A file that refers to a name outside
`ALLOWED` is refused. Only a checkpoint may have other names (callbacks, hyperparameters), which stay inert.

Every size in the file is checked against the file's own size before memory is taken for it. `torch.load` with
`weights_only=True` is no replacement (recipes/LOG.md): it compares no checksum, and a pickle that is nested deeply ends
the process.
"""

import io
import math
import reprlib
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor

from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import check_regular
from toto_robot.ground.tensors import tensor_shapes
from toto_robot.tokens.foreign.unpickle import LONGEST_NAME, Made, Name, TensorAt, read_pickle

STORAGES = {
    f"torch.{name}Storage": dtype
    for name, dtype in (
        ("Float", torch.float32),
        ("Half", torch.float16),
        ("BFloat16", torch.bfloat16),
        ("Double", torch.float64),
        ("Long", torch.int64),
        ("Int", torch.int32),
        ("Short", torch.int16),
        ("Char", torch.int8),
        ("Byte", torch.uint8),
        ("Bool", torch.bool),
    )
}
MODULES = frozenset(
    [
        "dall_e.encoder.Encoder",
        "dall_e.encoder.EncoderBlock",
        "dall_e.decoder.Decoder",
        "dall_e.decoder.DecoderBlock",
        "dall_e.utils.Conv2d",
        "torch.nn.modules.container.Sequential",
        "torch.nn.modules.activation.ReLU",
        "torch.nn.modules.pooling.MaxPool2d",
        "torch.nn.modules.upsampling.Upsample",
        "torch.nn.modules.linear.Identity",
    ]
)
ALLOWED = (
    MODULES
    | STORAGES.keys()
    | frozenset(
        [
            "collections.OrderedDict",
            "torch._utils._rebuild_tensor_v2",
            "torch._utils._rebuild_parameter",
            "torch.device",
            "builtins.set",
            "__builtin__.set",
        ]
    )
)
LEGACY_MAGIC, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
NESTED = ("state_dict", "model")
"""Keys under which checkpoints keep their state dict: Lightning, then MAE and MVP."""
MOST_PICKLE = 1 << 26
"""Most bytes of the pickles in a file, without the numbers: 64 MiB. Checkpoints have 10 kB to 1 MB."""
MOST_TENSORS = 1 << 16
DEPTH = 8  # modules inside modules: DALL·E's go 6 deep
SUFFIXES = (".pkl", ".pt", ".pth", ".bin", ".ckpt", ".safetensors")
"""Suffixes of weight files. The format is recognised by the content."""


@dataclass(frozen=True)
class Storage:
    """A storage as a file's pickle names it."""

    type: str
    key: str
    numel: int


def read_weights(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Tensor]:
    """Name → tensor in float32, for every weight in the file whose name is `wanted`.

    Raises UserError, which says what else the file is.
    """
    path = Path(path)
    check_regular(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
            kind = sniff(head)
            file.seek(0)
            if kind == "safetensors":
                found = _safetensors(path, wanted)
            else:
                found = _torch_zip(file, wanted) if kind == "zip" else _torch_legacy(file, wanted)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    except Refused as error:
        said = " ".join(str(error).split())[:400]  # it quotes the file
        raise UserError(f"{path} {said}; expected weights from PyTorch, Lightning or safetensors") from error
    except UserError:
        raise
    except Exception as error:  # a damaged file can make a reader raise anything, MemoryError too
        raise UserError(f"{path} is truncated or damaged ({reason(error)}); download it again") from error
    if not found:
        raise UserError(f"{path} holds no weights that are wanted here; expected a state dict")
    return found


def reason(error: Exception) -> str:
    """An exception's type and the beginning of what it says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:240]}"


class Refused(ValueError):
    """The reason why a file is not read. It follows the file's name in a sentence."""


def sniff(head: bytes) -> str:
    """zip, legacy or safetensors, from the first bytes of a file. Raises Refused, which says what else they are."""
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head[:1] == b"\x80":
        return "legacy"
    if head[8:9] == b"{":
        return "safetensors"
    if not head:
        raise Refused("is empty")
    if head.lstrip().startswith(b"<"):
        raise Refused("is a web page, not weights: the download did not give the file")
    if head.startswith(b"version https://git-lfs"):
        raise Refused("is a Git LFS pointer, not the file itself: run `git lfs pull`")
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        raise Refused(f"is text (a log?), not weights: it begins {head[:40].decode('utf-8', 'replace')!r}")
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        raise Refused("is an archive: unpack it, and give the file inside")
    raise Refused("is in no known format")


# ------------------------------------------------------------------------------------------ formats


def _safetensors(path: Path, wanted: Callable) -> dict[str, Tensor]:
    tensor_shapes(path)  # refuses a header that doesn't account for every byte
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys() if wanted(name)}  # noqa: SIM118 (it is no dict)


def _torch_zip(file: BinaryIO, wanted: Callable) -> dict[str, Tensor]:
    if not zipfile.is_zipfile(file):
        raise ValueError("its end is missing")
    with zipfile.ZipFile(file) as archive:
        roots = [n.removesuffix("data.pkl") for n in archive.namelist() if n == "data.pkl" or n.endswith("/data.pkl")]
        if len(roots) != 1:
            raise Refused(
                f"is an archive without PyTorch's data.pkl; it holds {', '.join(archive.namelist()[:5])}. "
                "Unpack it, and give the file inside"
            )
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise Refused("is compressed, which PyTorch's files are not: unpack it, and give the file inside")
        order = roots[0] + "byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise Refused("was written on a big-endian machine: load and save it with PyTorch on a little-endian one")
        if archive.getinfo(roots[0] + "data.pkl").file_size > MOST_PICKLE:
            raise Refused(f"has a data.pkl of more than {MOST_PICKLE:,} bytes")
        root, names = read_pickle(io.BytesIO(archive.read(roots[0] + "data.pkl")), _persistent)

        def read(storage: Storage) -> bytes:
            name = f"{roots[0]}data/{storage.key}"
            if archive.getinfo(name).file_size != _storage_bytes(storage):
                raise ValueError(f"storage {storage.key} has another size than its pickle says")
            return archive.read(name)

        return _tensors(root, names, wanted, read, _size(file))


def _torch_legacy(file: BinaryIO, wanted: Callable) -> dict[str, Tensor]:
    pickles, end = io.BytesIO(file.read(MOST_PICKLE)), _size(file)
    magic, names = read_pickle(pickles, _persistent)
    if magic != LEGACY_MAGIC:
        refers = f" that refers to {', '.join(sorted(names)[:3])}" if names else ""
        raise Refused(f"is a pickle{refers}, but not one of PyTorch's")
    (version, _), (system, _) = read_pickle(pickles), read_pickle(pickles)
    if version != LEGACY_VERSION or not system["little_endian"]:
        said = f"version {reprlib.repr(version)}, {reprlib.repr(system)}"
        raise Refused(f"has a format of PyTorch that is not known ({said})")
    storages: dict[str, Storage] = {}

    def persistent(saved: Any) -> Any:
        found = _persistent(saved)
        return storages.setdefault(found.key, found) if isinstance(found, Storage) else found

    root, names = read_pickle(pickles, persistent)
    keys, _ = read_pickle(pickles)
    places: dict[str, tuple[int, int]] = {}
    file.seek(pickles.tell())
    # Behind the pickles follows for each storage the number of its elements, then its bytes.
    for key in keys:
        if not isinstance(key, str):  # the hash of a foreign object may not end
            raise ValueError("a storage without a name")
        storage = storages[key]
        (numel,) = struct.unpack("<q", file.read(8))
        start, size = file.tell(), numel * _dtype(storage).itemsize
        if numel != storage.numel or start + size > end:
            raise ValueError(f"storage {key} should have {storage.numel} elements")
        places[key] = (start, size)
        file.seek(start + size)

    def read(storage: Storage) -> bytes:
        start, size = places[storage.key]
        file.seek(start)
        return file.read(size)

    return _tensors(root, names, wanted, read, end)


def _size(file: BinaryIO) -> int:
    """Number of bytes of an open file. Its position stays."""
    here = file.tell()
    size = file.seek(0, 2)
    file.seek(here)
    return size


def _persistent(saved: Any) -> Storage | Name:
    """The object of a persistent id of PyTorch: ('storage', type, key, device, elements, …) or ('module', class, …)."""
    if saved[0] == "module":
        return saved[1]
    if saved[0] != "storage" or (len(saved) > 5 and saved[5] is not None):
        raise ValueError("an unknown kind of persistent id")
    _, kind, key, _, numel = saved[:5]
    if not isinstance(key, str) or len(key) > 100 or type(numel) is not int or not 0 <= numel < 1 << 48:
        raise ValueError("a storage of impossible name or size")
    return Storage(kind.path, key, numel)


# ------------------------------------------------------------------------------------------ from the pickle to tensors


def _tensors(
    root: Any, names: set[str], wanted: Callable, read: Callable[[Storage], bytes], most: int
) -> dict[str, Tensor]:
    """The wanted tensors of an unpickled `root`. `read` gives the bytes of a storage; together they have at most `most`
    bytes, as many as the file."""
    inside = next((key for key in NESTED if isinstance(root, dict) and isinstance(root.get(key), dict)), None)
    checkpoint = inside is not None
    if not checkpoint and (foreign := sorted(names - ALLOWED)):
        raise Refused(f"refers to {', '.join(foreign[:3])}, which weights don't need (nothing of it was run)")
    named = root[inside].items() if checkpoint else root.items() if isinstance(root, dict) else _module(root)
    places = {name: place for name, place in named if isinstance(place, TensorAt) and wanted(name)}
    if len(places) > MOST_TENSORS:
        raise ValueError(f"more than {MOST_TENSORS:,} tensors")
    # The names of each part of each storage: many parts may lie in one storage, and a part may have many names.
    parts: dict[Storage, dict[tuple, list[str]]] = {}
    for name, place in places.items():
        numel = _numel(place)  # first: it checks that the shape can be hashed
        part = (numel, place.offset, place.size, place.stride)
        parts.setdefault(place.storage, {}).setdefault(part, []).append(name)
    taken = sum(part[0] * _dtype(storage).itemsize for storage, cut in parts.items() for part in cut)
    if max(taken, sum(map(_storage_bytes, parts))) > most:
        raise ValueError("its tensors overlap")
    found: dict[str, Tensor] = {}
    for storage, cut in parts.items():
        whole = torch.frombuffer(bytearray(read(storage)), dtype=_dtype(storage)) if storage.numel else torch.empty(0)
        if len(whole) < storage.numel:
            raise ValueError(f"storage {storage.key} is too short")
        for (numel, offset, size, stride), names_of_part in cut.items():
            tensor = torch.empty(size)
            if numel:  # a copy, so that a part does not keep its whole storage
                tensor.copy_(whole.as_strided(size, stride, offset))
            found |= dict.fromkeys(names_of_part, tensor)
    return {name: found[name] for name in places}


def _module(root: Any) -> Iterator[tuple[str, TensorAt]]:
    """Parameters of a pickled module under their state-dict names, each module once."""
    waiting: list[tuple[str, Any, int]] = [("", root, 0)]
    seen: set[int] = set()
    count = 0
    while waiting:
        prefix, module, depth = waiting.pop()
        if not isinstance(module, Made) or module.name not in MODULES:
            raise Refused("holds neither a state dict nor a module of the DALL·E package")
        if id(module) in seen or depth > DEPTH:
            raise ValueError("its modules contain each other")
        seen.add(id(module))
        count += len(module.state["_parameters"]) + len(module.state["_modules"])
        if count > MOST_TENSORS or len(prefix) > LONGEST_NAME:
            raise ValueError(f"more than {MOST_TENSORS:,} parameters and modules")
        for name, value in module.state["_parameters"].items():
            yield prefix + name, value
        waiting += [(f"{prefix}{name}.", inner, depth + 1) for name, inner in module.state["_modules"].items()]


def _dtype(storage: Storage) -> torch.dtype:
    if storage.type not in STORAGES:
        raise Refused(f"holds numbers of the type {storage.type}, which is not known")
    return STORAGES[storage.type]


def _storage_bytes(storage: Storage) -> int:
    return storage.numel * _dtype(storage).itemsize


def _numel(place: TensorAt) -> int:
    """Number of elements of a tensor. Raises ValueError if it does not lie inside its storage."""
    numbers = (place.offset, *place.size, *place.stride)
    fits = all(type(n) is int and 0 <= n < 1 << 48 for n in numbers)
    if len(place.size) != len(place.stride) or not fits or not isinstance(place.storage, Storage):
        raise ValueError("a tensor of impossible shape")
    numel = math.prod(place.size)
    last = place.offset + sum((n - 1) * step for n, step in zip(place.size, place.stride))
    if numel and (last >= place.storage.numel or numel > place.storage.numel):
        raise ValueError("a tensor that reaches beyond its storage")
    return numel

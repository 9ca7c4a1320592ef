"""Read the weights in a foreign file and run none of it: PyTorch's zip and legacy formats, Lightning, safetensors.

It reads a state dict; the one under `state_dict` of a Lightning checkpoint, or under `model` of MAE's, whose other
parts are ignored; or the parameters of a pickled module of the DALL·E package. A file that refers to a name outside
`ALLOWED` is refused. Only a checkpoint may have other names (callbacks, hyperparameters), which stay inert.
"""

import math
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
from toto_robot.tokens.foreign.unpickle import Made, Name, TensorAt, read_pickle

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
        with archive.open(roots[0] + "data.pkl") as stream:
            root, names = read_pickle(stream, _persistent)
        return _tensors(root, names, wanted, lambda storage: archive.read(f"{roots[0]}data/{storage.key}"), _size(file))


def _torch_legacy(file: BinaryIO, wanted: Callable) -> dict[str, Tensor]:
    magic, names = read_pickle(file, _persistent)
    if magic != LEGACY_MAGIC:
        refers = f" that refers to {', '.join(sorted(names)[:3])}" if names else ""
        raise Refused(f"is a pickle{refers}, but not one of PyTorch's")
    (version, _), (system, _) = read_pickle(file), read_pickle(file)
    if version != LEGACY_VERSION or not system["little_endian"]:
        raise Refused(f"has a format of PyTorch that is not known (version {version}, {system})")
    storages: dict[str, Storage] = {}

    def persistent(saved: Any) -> Any:
        found = _persistent(saved)
        return storages.setdefault(found.key, found) if isinstance(found, Storage) else found

    root, names = read_pickle(file, persistent)
    keys, _ = read_pickle(file)
    end, places = _size(file), {}
    # Behind the pickles follows for each storage the number of its elements, then its bytes.
    for key in keys:
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
    return Storage(saved[1].path, str(saved[2]), int(saved[4]))


# ------------------------------------------------------------------------------------------ from the pickle to tensors


def _tensors(
    root: Any, names: set[str], wanted: Callable, read: Callable[[Storage], bytes], most: int
) -> dict[str, Tensor]:
    """The wanted tensors of an unpickled `root`. `read` gives the bytes of a storage; together they have at most `most`
    bytes."""
    inside = next((key for key in NESTED if isinstance(root, dict) and isinstance(root.get(key), dict)), None)
    checkpoint = inside is not None
    if not checkpoint and (foreign := sorted(names - ALLOWED)):
        raise Refused(f"refers to {', '.join(foreign[:3])}, which weights don't need (nothing of it was run)")
    named = root[inside].items() if checkpoint else root.items() if isinstance(root, dict) else _module(root)
    places = {name: place for name, place in named if isinstance(place, TensorAt) and wanted(name)}
    if sum(_bytes(place) for place in places.values()) > most:
        raise ValueError("its tensors overlap")
    return {name: _tensor(place, read(place.storage)) for name, place in places.items()}


def _module(root: Any) -> Iterator[tuple[str, TensorAt]]:
    """Parameters of a pickled module under their state-dict names, each module once."""
    waiting, seen = [("", root, 0)], set()
    while waiting:
        prefix, module, depth = waiting.pop()
        if not isinstance(module, Made) or module.name not in MODULES:
            raise Refused("holds neither a state dict nor a module of the DALL·E package")
        if id(module) in seen or depth > DEPTH:
            raise ValueError("its modules contain each other")
        seen.add(id(module))
        for name, value in module.state["_parameters"].items():
            yield prefix + name, value
        waiting += [(f"{prefix}{name}.", inner, depth + 1) for name, inner in module.state["_modules"].items()]


def _dtype(storage: Storage) -> torch.dtype:
    if storage.type not in STORAGES:
        raise Refused(f"holds numbers of the type {storage.type}, which is not known")
    return STORAGES[storage.type]


def _bytes(place: TensorAt) -> int:
    """Number of bytes of a tensor. Raises ValueError if it does not lie inside its storage."""
    numbers = (place.offset, *place.size, *place.stride)
    if len(place.size) != len(place.stride) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise ValueError("a tensor of impossible shape")
    numel = math.prod(place.size)
    last = place.offset + sum((n - 1) * step for n, step in zip(place.size, place.stride))
    if numel and (last >= place.storage.numel or numel > place.storage.numel):
        raise ValueError("a tensor that reaches beyond its storage")
    return numel * _dtype(place.storage).itemsize


def _tensor(place: TensorAt, data: bytes) -> Tensor:
    dtype = _dtype(place.storage)
    if len(data) < place.storage.numel * dtype.itemsize:
        raise ValueError(f"storage {place.storage.key} is too short")
    if not math.prod(place.size):
        return torch.empty(place.size)
    flat = torch.frombuffer(bytearray(data), dtype=dtype)
    return flat.as_strided(place.size, place.stride, place.offset).float().contiguous()

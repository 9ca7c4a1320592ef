"""Valid files of every format that the project reads, ways to damage them, and what a reader makes of the result.

`Readers` lives in a process of its own, with a limit on its memory. tests/test_mutations.py and tests/soak/mutations.py
use it.
"""

import hashlib
import json
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent / "demos")]

MOST_MB = 1500
"""Memory that a reader may take for a damaged file of a few kilobytes."""
EXTREMES = (b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 8, b"\x00" * 7 + b"\x40")
"""Numbers that declare too much: -1, 2^31 - 1, 2^62 and so on, in both orders of bytes."""


# ------------------------------------------------------------------------------------------ damage

Operation = tuple[int, float, float, int]
"""(kind, place from 0 to 1, length from 0 to 1, value)."""


def damaged(data: bytes, operations: list[Operation]) -> bytes:
    """`data` after each operation: bits flipped, numbers made huge, spans cut, doubled, zeroed, filled or moved."""
    for kind, place, length, value in operations:
        at = int(place * len(data))
        count = 1 + int(length**3 * min(len(data), 4096))
        if kind == 0:
            data = data[:at] + bytes([(data[at] if at < len(data) else 0) ^ (1 << value % 8)]) + data[at + 1 :]
        elif kind == 1:
            extreme = EXTREMES[value % len(EXTREMES)]
            extreme = extreme[::-1] if value % 2 else extreme
            data = data[:at] + extreme + data[at + len(extreme) :]
        elif kind == 2:
            data = data[:at] + data[at + count :]
        elif kind == 3:
            data = data[:at] + data[at : at + count] * (2 + value % 3) + data[at + count :]
        elif kind == 4:
            data = data[:at] + bytes([value % 256]) * count + data[at + count :]
        elif kind == 5:
            data = data[:at] + np.random.default_rng(value).bytes(count) + data[at + count :]
        elif kind == 6:
            data = data[:at]
        elif kind == 7:  # a digit, as in JSON and YAML
            digits = [i for i, byte in enumerate(data) if 48 <= byte < 58] if len(data) < 50_000 else []
            if digits:
                i = digits[value % len(digits)]
                data = data[:i] + (b"9" * (1 + value % 25) if value % 3 else b"-") + data[i + 1 :]
    return data


KINDS = 8


# ------------------------------------------------------------------------------------------ valid files


def _imported(**more):
    from foreign_sets import episode, make

    rng = np.random.default_rng(0)
    return make([episode(rng, 6, smooth=True, cameras={"wrist": (16, 16)}, **more) for _ in range(3)])


def _written(kind: str, suffix: str = "", **options) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        from demos.formats import foreign_set
        from demos.formats.source import Options

        path = folder / f"set{suffix}"
        foreign_set.module_of(kind).write(_imported(), path, Options(**options))
        return path

    return write


def _rlds(folder: Path) -> Path:
    import io

    from foreign_sets import write_rpt
    from PIL import Image

    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, "PNG")
    demo = {"q": rng.normal(size=(5, 7)), "grip": np.arange(5) % 2, "task": "pick", "image": [buffer.getvalue()] * 5}
    return write_rpt(folder / "rpt", [demo | {"size": (8, 8)}] * 2)


def _example(folder: Path) -> Path:
    """One message of a TFRecord, whose checksum is right whatever lies in it."""
    from demos.formats.tfrecord import read_records

    record = next(iter(read_records(_rlds(folder) / "rpt_dataset-train.tfrecord-00000-of-00001")))
    shutil.rmtree(folder / "rpt")
    (folder / "example").write_bytes(record)
    return folder / "example"


def _pickle(folder: Path) -> Path:
    """The pickle of a zip of weights, whose checksum is right whatever lies in it."""
    import zipfile

    with zipfile.ZipFile(_weights("zip.pt")(folder)) as archive:
        (folder / "data.pkl").write_bytes(archive.read("zip/data.pkl"))
    (folder / "zip.pt").unlink()
    return folder / "data.pkl"


def _weights(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import torch
        from safetensors.torch import save_file

        torch.manual_seed(0)
        state = {"a.weight": torch.randn(8, 6), "a.bias": torch.randn(3).half(), "b": torch.randn(4, 6)[1:3, ::2]}
        if name == "legacy.pt":
            torch.save(state, folder / name, _use_new_zipfile_serialization=False)
        elif name == "zip.pt":
            torch.save({"state_dict": state, "epoch": 3}, folder / name)
        else:
            save_file({key: value.contiguous() for key, value in state.items()}, folder / name)
        return folder / name

    return write


def _picture(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        from PIL import Image

        y, x = np.mgrid[:40, :48]
        Image.fromarray(np.stack([x * 5, y * 6, x + y], 2).astype(np.uint8)).save(folder / name)
        return folder / name

    return write


def _video(folder: Path) -> Path:
    from toto_robot.video.decode import write_video

    y, x = np.mgrid[:32, :32]
    frames = np.stack([np.stack([x * 7, y * 7, (x + y + 9 * t) % 255], 2) for t in range(12)]).astype(np.uint8)
    return write_video(folder / "film.mp4", frames, fps=10)


def _store(folder: Path) -> Path:
    from toto_robot.tokens.store.token_store import write_index, write_shard

    codes = np.random.default_rng(0).integers(0, 12, (4, 16, 16)).astype(np.uint16)
    rows = [{"source": "a.mp4", "kind": "video", "first_s": 0.0, "last_s": 2.0}] * len(codes)
    described = {"frames": 16, "tokens_per_frame": 16, "vocab_size": 12, "tokenizer": "0" * 64}
    write_shard(folder / "store", "0", codes, rows, [])
    write_index(folder / "store", described, ["0"])
    return folder / "store"


def _model(folder: Path) -> Path:
    import torch

    from toto_robot.features.folder import save_model
    from toto_robot.models.toto import Toto, TotoConfig
    from toto_robot.tokens.dvae import DVAE, DVAEConfig

    torch.manual_seed(0)
    dvae = DVAE(DVAEConfig(vocab_size=12, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1))
    toto = Toto(TotoConfig(vocab_size=16, width=16, heads=2, layers=1, intermediate=16))
    save_model(folder / "model", toto, dvae, layer=1, pooling="mean", image_size=32)
    return folder / "model"


def _yaml(folder: Path) -> Path:
    shutil.copy(Path(__file__).parents[1] / "policies/weights/bc_cube/policy.yaml", folder / "policy.yaml")
    return folder / "policy.yaml"


# ------------------------------------------------------------------------------------------ readers


def _read_set(path: Path) -> object:
    from demos.formats import foreign_set
    from demos.formats.source import Options

    source = foreign_set.read_checked(path, foreign_set.detect(path), Options(hz=20.0))
    return [(sorted(episode.items()), sorted(meta)) for episode, meta in source.episodes()]


def _read_weights(path: Path) -> object:
    from toto_robot.tokens.foreign import read_weights

    return sorted((name, tensor.numpy()) for name, tensor in read_weights(path).items())


def _read_pickle(path: Path) -> object:
    import zipfile

    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(Path(folder, "x.pt"), "w") as archive:
            archive.writestr("zip/data.pkl", path.read_bytes())
            for i, size in enumerate((192, 6, 96)):
                archive.writestr(f"zip/data/{i}", bytes(size))
        return _read_weights(Path(folder, "x.pt"))


def _read_example(path: Path) -> object:
    from demos.formats.tfrecord import write_records

    with tempfile.TemporaryDirectory() as folder:
        write_records(Path(folder, "x.tfrecord"), [path.read_bytes()])
        return _read_set(Path(folder, "x.tfrecord"))


def _read_picture(path: Path) -> object:
    from toto_robot.video.decode import read_image

    return read_image(path, 32)


def _read_video(path: Path) -> object:
    from toto_robot.video.decode import read_frames

    return read_frames(path, 32)


def _read_store(path: Path) -> object:
    from toto_robot.tokens.store.token_store import TokenStore

    store = TokenStore(path)
    store.verify()
    return [(store[i], store.row(i)["source"]) for i in range(len(store))]


def _read_model(path: Path) -> object:
    from toto_robot.features.folder import load_toto, read_folder
    from toto_robot.tokens.tokenizer import load_tokenizer

    folder = read_folder(path)
    state = load_toto(folder).state_dict() | load_tokenizer(path).state_dict()
    return [(name, tensor.numpy()) for name, tensor in sorted(state.items())]


def _read_yaml(path: Path) -> object:
    from policies.fit.folder import read_about

    return repr(read_about(path.parent))


FORMATS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "weights, zip": (_weights("zip.pt"), _read_weights),
    "weights, pickle in a zip": (_pickle, _read_pickle),
    "weights, legacy": (_weights("legacy.pt"), _read_weights),
    "weights, safetensors": (_weights("x.safetensors"), _read_weights),
    "HDF5 (robomimic)": (_written("robomimic", ".hdf5"), _read_set),
    "zarr 2 (Diffusion Policy)": (_written("diffusion_policy", ".zarr"), _read_set),
    "zarr 3 (our store)": (_written("zarr", ".zarr"), _read_set),
    "Parquet and PNG (LeRobot)": (_written("lerobot"), _read_set),
    "TFRecord (RLDS)": (_rlds, _read_set),
    "tf.train.Example": (_example, _read_example),
    "picture, PNG": (_picture("x.png"), _read_picture),
    "picture, JPEG": (_picture("x.jpg"), _read_picture),
    "video, mp4": (_video, _read_video),
    "token store": (_store, _read_store),
    "model folder": (_model, _read_model),
    "YAML (policy.yaml)": (_yaml, _read_yaml),
    "Parquet and mp4 (LeRobot)": (_written("lerobot", images="h264"), _read_set),
}


def _digest(value: object) -> str:
    digest = hashlib.sha256()

    def add(part: object) -> None:
        if isinstance(part, (list, tuple)):
            for inner in part:
                add(inner)
        elif isinstance(part, np.ndarray):
            digest.update(str((part.dtype, part.shape)).encode() + np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part).encode())

    add(value)
    return digest.hexdigest()


class Readers:
    """Reads damaged copies of a valid set. `folder` holds the valid sets and the copy."""

    def __init__(self, folder: str):
        import torch

        torch.set_num_threads(1)
        self.folder = Path(folder)
        self.right: dict[str, str] = {}

    def outcome(self, name: str, operations: list[Operation], file: float) -> dict:
        """What reading a damaged copy gives: right, other (it loads as something else), refused, or a fault.

        `file` from 0 to 1 chooses the file that is damaged. `mb` is the most memory that the process has taken.
        """
        from toto_robot.ground.errors import UserError

        write, read = FORMATS[name]
        valid = self.folder / "valid" / str(list(FORMATS).index(name))
        if name not in self.right:
            if not valid.exists():
                valid.mkdir(parents=True)
                write(valid)
            self.right[name] = _digest(read(next(iter(valid.iterdir()))))
            held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_DATA, (held + MOST_MB * 2**20, resource.RLIM_INFINITY))
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(valid, copy)
        files = sorted(p for p in copy.rglob("*") if p.is_file() and p.stat().st_size)
        target = files[int(file * len(files))]
        target.write_bytes(damaged(target.read_bytes(), operations))
        kind, said = "", ""
        try:
            kind = "right" if _digest(read(next(iter(copy.iterdir())))) == self.right[name] else "other"
        except UserError as error:
            kind, said = "refused", str(error)
        except BaseException as error:
            kind, said = "fault", f"{type(error).__name__}: {error}"
        if kind == "refused" and "\n" in said:
            kind = "fault"
        mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"kind": kind, "said": said[:300], "file": str(target.relative_to(copy)), "mb": round(mb)}


def drawn(seed: object) -> tuple[list[Operation], float]:
    """Operations and the choice of the file, drawn from a seed."""
    rng = np.random.default_rng(list(hashlib.sha256(json.dumps(seed).encode()).digest()[:8]))
    operations = [
        (int(rng.integers(KINDS)), float(rng.random()), float(rng.random()), int(rng.integers(2**31)))
        for _ in range(int(rng.integers(1, 4)))
    ]
    return operations, float(rng.random())

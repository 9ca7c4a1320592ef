"""The token store: rows of codes on disk, read by memory map.

STORE/
  store.json                the index: the tokenizer, how the rows were cut, the shards, a fingerprint; the source, the
                            number of rows of each kind, how many clips have black or frozen frames or cuts, and each
                            file that was left out with the reason
  shards/NAME/codes.u16     raw little-endian uint16 (rows, F, S)
  shards/NAME/patches.u8    instead of it, for a continuous tokenizer: uint8 (rows, F, S, values)
  shards/NAME/rows.json     for each row: source, kind, first and last time in seconds, flaws of its clip
A shard folder appears whole (by a rename) or not at all, so a folder that exists is complete. The store holds plain
codes. Ids (code + 4) and the start and end tokens are added when a model trains on the rows.
"""

import hashlib
import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np

from toto_robot.ground.atomic import atomic_folder, atomic_write_text
from toto_robot.ground.errors import UserError
from toto_robot.ground.foreign import check_inside, read_json
from toto_robot.ground.strict import check
from toto_robot.tokens.special import KINDS

FORMAT = 1
KEYS = {"fingerprint": str, "frames": int, "tokens_per_frame": int, "vocab_size": int, "tokenizer": str}
KEYS |= {"left_out": list, "shards": list}
"""What an index has, beside its format."""
SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
MOST_INDEX = 1 << 31
"""Most bytes of an index, which names every file that was left out."""
INDEX, CODES, PATCHES, ROWS = "store.json", "codes.u16", "patches.u8", "rows.json"


def write_shard(
    store: Path,
    name: str,
    codes: np.ndarray,
    rows: list[dict],
    left_out: list[dict],
    clips: dict[str, int] | None = None,
) -> None:
    """Write one finished shard: codes uint16 (R, F, S), or patches uint8 (R, F, S, values), the descriptions of the R
    rows, and the sources that were left out. `clips` counts the clips with each flaw, and those left out for one."""
    if (codes.dtype.name, codes.ndim) not in (("uint16", 3), ("uint8", 4)) or len(codes) != len(rows):
        raise ValueError(
            f"expected uint16 (R, F, S) or uint8 (R, F, S, values) and R rows, "
            f"got {codes.dtype} {codes.shape} and {len(rows)}"
        )
    with atomic_folder(Path(store) / "shards" / name) as folder:
        data = np.ascontiguousarray(codes, dtype=codes.dtype.newbyteorder("<")).tobytes()
        (folder / (CODES if codes.ndim == 3 else PATCHES)).write_bytes(data)
        (folder / ROWS).write_text(
            json.dumps(
                {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "shape": list(codes.shape),
                    "rows": rows,
                    "left_out": left_out,
                    **({"clips": clips} if clips else {}),
                }
            )
        )


def has_shard(store: Path, name: str) -> bool:
    """Whether the shard is finished."""
    return (Path(store) / "shards" / name / ROWS).is_file()


def read_shard_rows(store: Path, name: str) -> dict:
    """What `write_shard` wrote beside the codes. Raises UserError where the shard isn't finished, or is damaged."""
    path = Path(store) / "shards" / name / ROWS
    try:
        found = read_json(path, MOST_INDEX)
        if not all(isinstance(row, dict) and {"source", "kind"} <= row.keys() for row in found["rows"]):
            raise KeyError("a row without a source or a kind")
        return found
    except (UserError, KeyError, TypeError) as error:
        if not path.exists():
            raise UserError(f"{path} is missing; delete the folder {path.parent} and build again") from error
        raise UserError(f"{path} is damaged ({error}); delete the folder {path.parent} and build again") from error


def write_index(store: Path, described: dict, names: list[str], source: dict | None = None) -> dict:
    """Write store.json for the named finished shards, without the empty ones. Returns its content.

    `source` describes the origin of the rows. A mixture's default proportions depend on its `kind`. The number of rows
    of each kind is added to it. The source is not part of the fingerprint, which depends on the rows and on how they
    were cut.
    """
    shards: list[dict] = []
    left_out: list[dict] = []
    counts = dict.fromkeys(KINDS, 0)
    clips: Counter[str] = Counter()
    for name in names:
        found = read_shard_rows(store, name)
        left_out += found["left_out"]
        clips.update(found.get("clips", {}))
        kinds = {row["kind"] for row in found["rows"]}
        for kind in kinds:
            counts[kind] += sum(row["kind"] == kind for row in found["rows"])
        if kinds:
            alike = {"kind": kinds.pop()} if len(kinds) == 1 else {}
            shards.append({"name": name, "rows": found["shape"][0], "sha256": found["sha256"], **alike})
    identity = {"format": FORMAT, **described, "shards": [s["sha256"] for s in shards]}
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    index = {
        "format": FORMAT,
        **described,
        "rows": sum(s["rows"] for s in shards),
        "fingerprint": fingerprint,
        "source": {**(source or {}), "rows": counts},
        "shards": shards,
        "left_out": left_out,
        "clips": dict(clips),
    }
    atomic_write_text(Path(store) / INDEX, json.dumps(index, indent=1))
    return index


def read_index(store: Path) -> dict:
    """The content of store.json. Raises UserError if there is none, or if it is damaged or has another format."""
    path = Path(store) / INDEX
    if not path.exists():
        raise UserError(
            f"There is no token store in {store} ({INDEX} is missing). "
            "Make one with `python -m toto_robot.tokenize VIDEOS STORE`."
        )
    check_inside(store)
    try:
        index = read_json(path, MOST_INDEX)
        if index["format"] != FORMAT:
            raise UserError(f"it has store format {index['format']}, and this version reads {FORMAT}")
        for key, kind in KEYS.items():
            check(kind, index[key], key)
        for shard in index["shards"]:
            name = check(str, shard["name"], "a shard's name")
            if not SHARD_NAME.fullmatch(name):  # a name is no path
                raise UserError(f"expected a shard's name of letters, digits and -, got {name[:60]!r}")
            check(int, shard["rows"], f"rows of {name}"), check(str, shard["sha256"], f"sha256 of {name}")
        return index
    except (KeyError, TypeError, AttributeError, UserError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}). Build the store again.") from error


def damaged_shards(store: Path) -> list[dict]:
    """Read every byte and compare it with the index. Returns name and reason for each shard that differs."""
    index, damaged = read_index(store), []
    name, dtype, row = _layout(index)
    for shard in index["shards"]:
        folder = Path(store) / "shards" / shard["name"]
        try:
            data = (folder / name).read_bytes()
            described = read_json(folder / ROWS, MOST_INDEX)
            codes, wanted = (
                np.frombuffer(data, dtype, count=len(data) // dtype.itemsize),
                _size((shard["rows"], *row), dtype),
            )
            if len(data) != wanted:
                reason = f"{name}: expected {wanted} bytes, found {len(data)}"
            elif hashlib.sha256(data).hexdigest() != shard["sha256"]:
                reason = f"{name}: sha256 differs"
            elif name == CODES and codes.size and int(codes.max()) >= index["vocab_size"]:
                reason = f"holds code {int(codes.max())}, and its tokenizer has {index['vocab_size']}"
            elif len(described["rows"]) != shard["rows"] or described["sha256"] != shard["sha256"]:
                reason = f"{ROWS} describes other rows"
            else:
                continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"can't be read ({type(error).__name__}: {error})"
        damaged.append({"shard": shard["name"], "reason": reason})
    return damaged


def _layout(index: dict) -> tuple[str, np.dtype, tuple[int, ...]]:
    """File name, type, and shape of a row of the store with this index."""
    row = index["frames"], index["tokens_per_frame"]
    if index.get("continuous"):
        return PATCHES, np.dtype("u1"), (*row, index["vocab_size"])
    return CODES, np.dtype("<u2"), row


def _size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return dtype.itemsize * math.prod(shape)


class TokenStore:
    """The rows of a finished store. `store[i]` is uint16 (F, S), or patches uint8 (F, S, values), from the memory
    map."""

    def __init__(self, path: str | Path):
        self.path, index = Path(path), read_index(Path(path))
        self.fingerprint: str = index["fingerprint"]
        self.frames, self.tokens_per_frame = index["frames"], index["tokens_per_frame"]
        self.vocab_size, self.tokenizer = index["vocab_size"], index["tokenizer"]
        self.continuous: bool = index.get("continuous", False)
        self._layout = _layout(index)
        self.left_out: list[dict] = index["left_out"]
        self.source: dict = index.get("source", {})  # older stores have none
        self._shards = index["shards"]
        self._maps = [self._open(shard) for shard in self._shards]
        self._ends = np.cumsum([shard["rows"] for shard in self._shards], dtype=np.int64)
        self._rows: dict[int, list[dict]] = {}
        self._kinds: np.ndarray | None = None

    def _open(self, shard: dict) -> np.ndarray:
        name, dtype, row = self._layout
        path, shape = self.path / "shards" / shard["name"] / name, (shard["rows"], *row)
        found = path.stat().st_size if path.is_file() else 0
        if found != _size(shape, dtype):
            raise UserError(
                f"{path}: expected {_size(shape, dtype)} bytes, found {found}. "
                f"Delete the folder {path.parent} and run the same tokenize command again."
            )
        return np.memmap(path, dtype=dtype, mode="r", shape=shape)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def _locate(self, i: int) -> tuple[int, int]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"row {i} of a store of {len(self)} rows")
        i = int(i) % len(self)
        shard = int(np.searchsorted(self._ends, i, side="right"))
        return shard, i - (int(self._ends[shard - 1]) if shard else 0)

    def __getitem__(self, i: int) -> np.ndarray:
        shard, row = self._locate(i)
        return np.asarray(self._maps[shard][row])

    def row(self, i: int) -> dict:
        """The origin of row i: source, kind, first_s, last_s."""
        shard, row = self._locate(i)
        return self._shard_rows(shard)[row]

    def _shard_rows(self, shard: int) -> list[dict]:
        if shard not in self._rows:
            self._rows[shard] = read_shard_rows(self.path, self._shards[shard]["name"])["rows"]
        return self._rows[shard]

    @property
    def kinds(self) -> np.ndarray:
        """uint8 (rows,): 0 for a video clip, 1 for sixteen images."""
        if self._kinds is None:
            self._kinds = np.concatenate(
                [
                    np.zeros(0, np.uint8),
                    *(
                        np.full(shard["rows"], KINDS.index(shard["kind"]), np.uint8)
                        if "kind" in shard
                        else np.array([KINDS.index(row["kind"]) for row in self._shard_rows(s)], np.uint8)
                        for s, shard in enumerate(self._shards)
                    ),
                ]
            )
        return self._kinds

    def kind(self, i: int) -> int:
        """0 if row i is a video clip, 1 if it is sixteen images."""
        return int(self.kinds[int(i)])

    def verify(self) -> None:
        """Read every byte and compare it with the index. Raises UserError naming each damaged shard."""
        if damaged := damaged_shards(self.path):
            raise UserError(damage_report(self.path, damaged))


def damage_report(store: Path, damaged: list[dict]) -> str:
    """One sentence that names each damaged shard and says how to repair the store."""
    said = "; ".join(f"{d['shard']} ({d['reason']})" for d in damaged)
    return (
        f"{len(damaged)} damaged in {store}: {said}; delete these folders from {Path(store) / 'shards'} and run "
        "the same tokenize command again"
    )

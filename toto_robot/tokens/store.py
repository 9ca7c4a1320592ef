"""The token store: rows of codes on disk, read by memory map.

STORE/
  store.json                one index: what tokenizer, how the rows were cut, the shards, a fingerprint
  shards/NAME/codes.u16     raw little-endian uint16 (rows, F, S)
  shards/NAME/rows.json     for each row: source, kind, first and last time in seconds
A shard folder appears whole (a rename) or not at all, so its presence is its completion marker.
Codes are stored bare; ids (code + 4) and start and end tokens are put on when rows are trained on.
"""
import hashlib
import json
from pathlib import Path

import numpy as np

from toto_robot.atomic import atomic_folder, atomic_write_text
from toto_robot.errors import UserError
from toto_robot.tokens.special import KINDS

FORMAT = 1
INDEX, CODES, ROWS = "store.json", "codes.u16", "rows.json"


def write_shard(store: Path, name: str, codes: np.ndarray, rows: list[dict], left_out: list[dict]) -> None:
    """Write one finished shard: codes uint16 (R, F, S), R row descriptions, and the sources left out."""
    if codes.dtype != np.uint16 or codes.ndim != 3 or len(codes) != len(rows):
        raise ValueError(f"expected uint16 (R, F, S) and R rows, got {codes.dtype} {codes.shape} and {len(rows)}")
    with atomic_folder(Path(store) / "shards" / name) as folder:
        data = np.ascontiguousarray(codes, dtype="<u2").tobytes()
        (folder / CODES).write_bytes(data)
        (folder / ROWS).write_text(json.dumps({
            "sha256": hashlib.sha256(data).hexdigest(), "shape": list(codes.shape), "rows": rows, "left_out": left_out}))


def read_shard_rows(store: Path, name: str) -> dict | None:
    """What `write_shard` wrote beside the codes, or None where the shard isn't finished."""
    path = Path(store) / "shards" / name / ROWS
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged ({error}); delete the folder {path.parent} and build again") from error


def write_index(store: Path, described: dict, names: list[str]) -> str:
    """Write store.json over the named finished shards (empty ones dropped); returns the fingerprint."""
    shards, left_out = [], []
    for name in names:
        found = read_shard_rows(store, name)
        left_out += found["left_out"]
        if found["shape"][0]:
            shards.append({"name": name, "rows": found["shape"][0], "sha256": found["sha256"]})
    identity = {"format": FORMAT, **described, "shards": [s["sha256"] for s in shards]}
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    index = {"format": FORMAT, **described, "rows": sum(s["rows"] for s in shards),
             "fingerprint": fingerprint, "shards": shards, "left_out": left_out}
    atomic_write_text(Path(store) / INDEX, json.dumps(index, indent=1))
    return fingerprint


class TokenStore:
    """Rows of a finished store. `store[i]` is uint16 (F, S), read straight from the memory map."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            index = json.loads((self.path / INDEX).read_text())
            version = index["format"]
            if version != FORMAT:
                raise UserError(f"{self.path} has store format {version}, this version reads {FORMAT}; build it again")
            self.fingerprint: str = index["fingerprint"]
            self.frames, self.tokens_per_frame = index["frames"], index["tokens_per_frame"]
            self.vocab_size, self.tokenizer = index["vocab_size"], index["tokenizer"]
            self.left_out: list[dict] = index["left_out"]
            self._shards = index["shards"]
        except FileNotFoundError:
            raise UserError(f"no token store in {self.path} ({INDEX} is missing); "
                            "make one with `python -m toto_robot.tokenize VIDEOS STORE`") from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, NotADirectoryError) as error:
            raise UserError(f"{self.path / INDEX} is damaged ({type(error).__name__}: {error}); build the store again") from error
        self._maps = [self._open(shard) for shard in self._shards]
        self._ends = np.cumsum([shard["rows"] for shard in self._shards], dtype=np.int64)
        self._rows: dict[int, list[dict]] = {}
        self._kinds: np.ndarray | None = None

    def _open(self, shard: dict) -> np.ndarray:
        path = self.path / "shards" / shard["name"] / CODES
        shape = (shard["rows"], self.frames, self.tokens_per_frame)
        found = path.stat().st_size if path.is_file() else 0
        if found != 2 * int(np.prod(shape)):
            raise UserError(f"{path}: expected {2 * int(np.prod(shape))} bytes, found {found}; "
                            f"delete the folder {path.parent} and run the same tokenize command again")
        return np.memmap(path, dtype="<u2", mode="r", shape=shape)

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
        """Where row i comes from: source, kind, first_s, last_s."""
        shard, row = self._locate(i)
        return self._shard_rows(shard)[row]

    def _shard_rows(self, shard: int) -> list[dict]:
        if shard not in self._rows:
            self._rows[shard] = read_shard_rows(self.path, self._shards[shard]["name"])["rows"]
        return self._rows[shard]

    @property
    def kinds(self) -> np.ndarray:
        """uint8 (rows,): 0 a video clip, 1 sixteen images."""
        if self._kinds is None:
            self._kinds = np.array([KINDS.index(row["kind"]) for s in range(len(self._shards))
                                    for row in self._shard_rows(s)], dtype=np.uint8)
        return self._kinds

    def kind(self, i: int) -> int:
        """0 where row i is a video clip, 1 where it is sixteen images."""
        return int(self.kinds[int(i)])

    def verify(self) -> None:
        """Read every byte and compare with the index; UserError names the first damaged shard."""
        for shard, codes in zip(self._shards, self._maps):
            if hashlib.sha256(codes.tobytes()).hexdigest() != shard["sha256"]:
                folder = self.path / "shards" / shard["name"]
                raise UserError(f"{folder} is damaged (sha256 differs); delete it and run the same tokenize command again")
            if codes.size and int(codes.max()) >= self.vocab_size:
                raise UserError(f"{self.path} holds code {int(codes.max())}, and its tokenizer has {self.vocab_size}")

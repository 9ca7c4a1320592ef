"""Rows a second read from the token store, beside zarr and WebDataset that hold the same rows.

    python -m benchmarks.store [seconds=3] [rows=20000]

Rows of 16 × 256 codes (8 kB), drawn uniformly from 8192, so no packing needs fewer than 13 of 16 bits. `random`: one
row after another in a shuffled order, as a mixture deals them. `in order`: from first to last. All readers of an order
take turns, round by round. The floor is the rate of the machine: a copy of the same rows out of one array in the same
order. zarr: format 3, sharded, a row is an inner chunk, with its default compression (zstd) and uncompressed.
WebDataset: a row is a .npy in tars of 1,000, which can be read only in order (it shuffles a buffer).
"""

import io
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.alternation import Measure, Rounds, alternate, joined, repeated
from toto_robot.tokens.store.mixture import Mixture
from toto_robot.tokens.store.token_store import TokenStore, write_index, write_shard

SHARD_ROWS = 1000
FRAMES, TOKENS, VOCAB = 16, 256, 8192
BATCH = 32
CALL_ROWS = 20
FLOOR = "memory (the floor)"


def rows_of(read: Callable[[int], object], order: np.ndarray, units: int = 1) -> Measure:
    """Seconds for a row (or for one of `units` in a call) of `read(row)` over `order`, again and again."""
    at = 0

    def some() -> None:
        nonlocal at
        for row in order[at : at + CALL_ROWS]:
            read(int(row))
        at = (at + CALL_ROWS) % (len(order) - CALL_ROWS)

    return repeated(some, CALL_ROWS * units)


def make_store(folder: Path, codes: np.ndarray) -> TokenStore:
    names = [f"{i:05d}-000000000000" for i in range(len(codes) // SHARD_ROWS)]
    row = {"source": "x", "kind": "video", "first_s": 0.0, "last_s": 2.0}
    for i, name in enumerate(names):
        write_shard(folder, name, codes[i * SHARD_ROWS : (i + 1) * SHARD_ROWS], [row] * SHARD_ROWS, [])
    write_index(folder, {"frames": FRAMES, "tokens_per_frame": TOKENS, "vocab_size": VOCAB, "tokenizer": "none"}, names)
    return TokenStore(folder)


def make_zarr(folder: Path, codes: np.ndarray, compressed: bool):
    import zarr

    array = zarr.create_array(
        str(folder),
        shape=codes.shape,
        dtype="uint16",
        chunks=(1, FRAMES, TOKENS),
        shards=(SHARD_ROWS, FRAMES, TOKENS),
        compressors="auto" if compressed else None,
    )
    array[:] = codes
    return array


def make_tars(folder: Path, codes: np.ndarray) -> list[str]:
    folder.mkdir()
    for shard in range(len(codes) // SHARD_ROWS):
        with tarfile.open(folder / f"{shard:06d}.tar", "w") as tar:
            for i in range(shard * SHARD_ROWS, (shard + 1) * SHARD_ROWS):
                buffer = io.BytesIO()
                np.save(buffer, codes[i])
                info = tarfile.TarInfo(f"{i:08d}.npy")
                info.size = buffer.tell()
                tar.addfile(info, io.BytesIO(buffer.getvalue()))
    return [str(p) for p in sorted(folder.glob("*.tar"))]


def webdataset_rows(tars: list[str], shuffle: int) -> Iterator[np.ndarray]:
    """Rows without end, decoded as `np.load(allow_pickle=False)` does."""
    import webdataset

    while True:
        data = webdataset.WebDataset(tars, shardshuffle=100 if shuffle else False, empty_check=False)
        for sample in data.shuffle(shuffle) if shuffle else data:
            yield np.load(io.BytesIO(sample["npy"]), allow_pickle=False)


def measure(folder: Path, count: int, seconds: float) -> tuple[list[dict], list[Rounds], list[str]]:
    """Rows of the table, the rounds that they come from, and the names of what is not installed."""
    codes = np.random.default_rng(0).integers(0, VOCAB, (count, FRAMES, TOKENS), dtype=np.uint16)
    orders = {"random": np.random.default_rng(1).permutation(count), "in order": np.arange(count)}
    readers: dict[str, Callable[[int], object]] = {FLOOR: lambda i: codes[i].copy()}
    sizes, absent = {FLOOR: 0}, []
    store = make_store(folder / "store", codes)
    readers["token store"], sizes["token store"] = lambda i: store[i].copy(), on_disk(folder / "store")
    try:
        for compressed, said in ((True, "zstd"), (False, "uncompressed")):
            array = make_zarr(folder / f"{said}.zarr", codes, compressed)
            readers[f"zarr, {said}"] = lambda i, array=array: array[i]
            sizes[f"zarr, {said}"] = on_disk(folder / f"{said}.zarr")
    except ImportError:
        absent.append("zarr")
    tars = []
    try:
        import webdataset  # noqa: F401

        tars = make_tars(folder / "tars", codes)
        sizes["WebDataset"] = on_disk(folder / "tars")
    except ImportError:
        absent.append("webdataset")
    mixture = Mixture([store] * 4, [2, 1, 1, 6])
    mixed = f"token store, 4 mixed 2:1:1:6, int64 batches of {BATCH}"
    sizes[mixed] = sizes["token store"]
    table, all_rounds = [], []
    for name, order in orders.items():
        things = {what: rows_of(read, order) for what, read in readers.items()}
        if name == "random":
            things[mixed] = rows_of(lambda i: mixture.batch(i, BATCH), orders["in order"], BATCH)
        if tars:
            stream = webdataset_rows(tars, 1000 if name == "random" else 0)
            things["WebDataset"] = rows_of(lambda i, stream=stream: next(stream), order)
        rounds = alternate(things, seconds)
        all_rounds.append(rounds)
        for what in things:
            table.append(
                {
                    "read from": what,
                    "order": "buffer of 1,000 shuffled" if what == "WebDataset" and name == "random" else name,
                    "rows/s": round(rounds.rate(what)),
                    "M tokens/s": round(rounds.rate(what) * FRAMES * TOKENS / 1e6, 1),
                    "share of the floor": rounds.ratio(what, FLOOR).share(),
                    "MB on disk": round(sizes[what] / 1e6),
                }
            )
            print(table[-1], file=sys.stderr, flush=True)
    return table, all_rounds, absent


def on_disk(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def main(seconds: float, rows: int) -> None:
    if rows < SHARD_ROWS or rows % SHARD_ROWS:
        machine.wrong(f"rows={rows}: expected a multiple of {SHARD_ROWS}.")
    with tempfile.TemporaryDirectory() as folder:
        table, all_rounds, absent = measure(Path(folder), rows, seconds)
    notes = f"{rows} rows, medians of rounds, one process, files in the page cache. Shares are of the same order."
    if absent:
        notes += f" Not installed, so not compared: {', '.join(absent)} (pip install {' '.join(absent)})."
    facts = machine.facts("numpy", "torch", "zarr", "webdataset")
    machine.report("store", "Reading rows of tokens", table, facts, notes + joined(*all_rounds))


if __name__ == "__main__":
    main(**machine.arguments("store", seconds=3.0, rows=20000))

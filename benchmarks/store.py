"""Rows a second read from the token store, beside zarr and WebDataset holding the same rows, in the same run.

    python -m benchmarks.store [seconds=3] [rows=20000]

Rows of 16 × 256 codes (8 kB) drawn uniformly from 8192, which nothing packs below 13 of 16 bits. `random`: one row
after another in a shuffled order, as a mixture deals them; `in order`: from first to last. The floor is what memory
allows: copying the same rows out of one array in the same order. zarr: format 3, sharded, one row an inner chunk, as
it comes (zstd) and uncompressed. WebDataset: one .npy a row in tars of 1,000, which can only be read in order (it
shuffles a buffer).
"""

import io
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import machine
from toto_robot.tokens.store.mixture import Mixture
from toto_robot.tokens.store.token_store import TokenStore, write_index, write_shard

SHARD_ROWS = 1000
FRAMES, TOKENS, VOCAB = 16, 256, 8192
BATCH = 32


def rate(read: Callable[[int], object], order: np.ndarray, seconds: float) -> float:
    """Rows a second of `read(row)` over `order`, repeated: the median of five windows, after a warm-up."""
    for row in order[:50]:
        read(int(row))
    rates, at = [], 0
    for _ in range(5):
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds / 5:
            for row in order[at : at + 20]:
                read(int(row))
            count += len(order[at : at + 20])
            at = at + 20 if at + 20 < len(order) else 0
        rates.append(count / (time.perf_counter() - start))
    return float(np.median(rates))


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


def measure(folder: Path, count: int, seconds: float) -> tuple[list[dict], list[str]]:
    """Rows of the table, and the names of what isn't installed."""
    codes = np.random.default_rng(0).integers(0, VOCAB, (count, FRAMES, TOKENS), dtype=np.uint16)
    in_order = np.arange(count)
    shuffled = np.random.default_rng(1).permutation(count)
    table, absent = [], []

    def add(what: str, order: str, rows_s: float, size: int) -> None:
        floor = rows_s if "floor" in what else next((r for r in table if r["order"] == order), table[0])["rows/s"]
        table.append(
            {
                "read from": what,
                "order": order,
                "rows/s": round(rows_s),
                "M tokens/s": round(rows_s * FRAMES * TOKENS / 1e6, 1),
                "share of the floor": f"{rows_s / floor:.1%}",
                "MB on disk": round(size / 1e6),
            }
        )
        print(table[-1], file=sys.stderr, flush=True)

    for order, name in ((shuffled, "random"), (in_order, "in order")):
        add("memory (the floor)", name, rate(lambda i: codes[i].copy(), order, seconds), 0)
    store = make_store(folder / "store", codes)
    for order, name in ((shuffled, "random"), (in_order, "in order")):
        add("token store", name, rate(lambda i: store[i].copy(), order, seconds), on_disk(folder / "store"))
    mixture = Mixture([store] * 4, [2, 1, 1, 6])
    batches = rate(lambda i: mixture.batch(i, BATCH), in_order, seconds)
    add(f"token store, 4 mixed 2:1:1:6, int64 batches of {BATCH}", "random", BATCH * batches, on_disk(folder / "store"))
    try:
        for compressed, said in ((True, "zstd"), (False, "uncompressed")):
            array = make_zarr(folder / f"{said}.zarr", codes, compressed)
            for order, name in ((shuffled, "random"), (in_order, "in order")):
                add(f"zarr, {said}", name, rate(lambda i: array[i], order, seconds), on_disk(folder / f"{said}.zarr"))
    except ImportError:
        absent.append("zarr")
    try:
        import webdataset  # noqa: F401

        tars = make_tars(folder / "tars", codes)
        for shuffle, said in ((1000, "buffer of 1,000 shuffled"), (0, "in order")):
            stream = webdataset_rows(tars, shuffle)
            add("WebDataset", said, rate(lambda i: next(stream), in_order, seconds), on_disk(folder / "tars"))
    except ImportError:
        absent.append("webdataset")
    return table, absent


def on_disk(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def main(seconds: float, rows: int) -> None:
    if rows < SHARD_ROWS or rows % SHARD_ROWS:
        sys.exit(f"rows: expected a multiple of {SHARD_ROWS}, got {rows}")
    with tempfile.TemporaryDirectory() as folder:
        table, absent = measure(Path(folder), rows, seconds)
    notes = (
        f"{rows} rows; median of five windows each, one process, files in the page cache. Shares are of the copy "
        "rate of the same order (a shuffled buffer: of random)."
    )
    if absent:
        notes += f" Not installed, so not compared: {', '.join(absent)} (pip install {' '.join(absent)})."
    facts = machine.facts("numpy", "torch", "zarr", "webdataset")
    path = machine.save("store", "Reading rows of tokens", table, facts, notes)
    print(machine.table(table), notes, f"written to {path}", sep="\n")


if __name__ == "__main__":
    main(**machine.arguments("store", seconds=3.0, rows=20000))

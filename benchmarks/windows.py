"""Random 16-step windows a second from demonstrations: ours, and the same data as MP4 in LeRobot's layout and as HDF5.

    python -m benchmarks.windows [frames=100000] [seconds=5] [processes=2] [folder=PATH]

Data: 32 episodes of franka_cube by its expert, 128 px wrist camera, repeated with other brightness, a shift of a few
pixels and noisy numbers until there are `frames` steps; every set holds the same ones. Writing 100,000 takes half an
hour: in `folder` they are kept for the next time. `disk` readers run in `processes` processes, one thread each, on
files in the page cache: our store by DemoSet.slice; MP4 by PyAV, opened, sought and decoded for each window as lerobot
0.4.4 does; HDF5 in robomimic's layout. `memory` is what train_bc reads: policies.Demonstrations, 64 windows at once.
Before it is timed, each reader's windows are compared with the frames that were written.
Wanted on two cores: 2,000 windows/s of numbers or cached features, 500/s of RGB.
"""

import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet
import torch

import envs
from benchmarks import machine
from benchmarks.store import on_disk
from demos import DemoSet, DemoWriter
from demos.formats import lerobot_parquet, lerobot_v3, native, robomimic_hdf5
from demos.formats.source import Options, indexed
from demos.formats.video import psnr_db, read_span
from demos.recording.recorder import attributes_of
from policies.cloning.demonstrations import Demonstrations
from policies.experts.choose import make_labeller
from policies.features.cache import FeatureCache

ORIGINALS, STEPS, BATCH, SIDE = 32, 16, 64, 128
HZ = 10
FEATURE = (16, 192)
"""toto_tiny's 4×4 grid, as float16."""
WRITTEN = "written"
LEAST_DB = 25
"""MP4 pictures nearer than this to the frames they were made of are the right ones."""
Window = Callable[[int, int], tuple[np.ndarray, ...]]


# ------------------------------------------------------------------------------------------ data


def recorded(count: int) -> list[dict[str, np.ndarray]]:
    """Episodes of the expert in franka_cube."""
    env, expert, episodes = envs.make("franka_cube", image_size=SIDE), make_labeller("scripted"), []
    for seed in range(count):
        obs, rows, done = env.reset(seed=seed)[0], [], False
        while not done:
            action = np.asarray(expert.label(env), np.float32)
            rows.append({"rgb_wrist": obs["rgb"], "proprio": obs["proprio"], "action": action})
            obs, _, ended, late, _ = env.step(action)
            done = ended or late
        episodes.append({key: np.stack([row[key] for row in rows]) for key in rows[0]})
    return episodes


def repeated(originals: list[dict], frames: int) -> Iterator[dict[str, np.ndarray]]:
    """The originals again and again, each time a little different, until there are `frames` steps."""
    steps = at = 0
    while steps < frames:
        rng, episode = np.random.default_rng(at), originals[at % len(originals)]
        rgb = np.roll(episode["rgb_wrist"], rng.integers(-6, 7, 2), (1, 2)).astype(np.int16) + rng.integers(-12, 13)
        made = {
            key: episode[key] + rng.normal(0, 0.01, episode[key].shape).astype(np.float32)
            for key in ("proprio", "action")
        }
        made["rgb_wrist"] = np.clip(rgb, 0, 255).astype(np.uint8)
        made = {key: value[: frames - steps] for key, value in made.items()}
        steps, at = steps + len(made["action"]), at + 1
        yield made


def write_all(folder: Path, frames: int) -> None:
    """The same episodes in every layout, and the frames themselves; says on stderr how long each took."""
    originals = recorded(ORIGINALS)
    attrs = attributes_of("franka_cube", {"image_size": SIDE}, ("wrist",), {})
    attrs["proprio_names"] = indexed("proprio", originals[0]["proprio"].shape[1])  # one data set of HDF5

    def store():
        with DemoWriter(folder / "store", attrs) as writer, open(folder / "raw", "wb") as raw:
            for episode in repeated(originals, frames):
                writer.append(episode)
                raw.write(episode["rgb_wrist"].tobytes())

    def plain_hdf5():
        with h5py.File(folder / "gzip.hdf5") as packed, h5py.File(folder / "plain.hdf5", "w") as plain:
            for demo in packed["data"].values():
                for name in ("obs/wrist_image", "obs/proprio", "actions"):
                    plain[f"{demo.name}/{name}"] = demo[name][()]

    def export(module, path: str, images: str = "png"):
        module.write(native.read(folder / "store", Options()), folder / path, Options(images=images))

    for name, job in {
        "our store": store,
        "AV1": partial(export, lerobot_v3, "av1", "av1"),
        "H.264": partial(export, lerobot_v3, "h264", "h264"),
        "HDF5, gzip": partial(export, robomimic_hdf5, "gzip.hdf5"),
        "HDF5": plain_hdf5,
    }.items():
        start = time.perf_counter()
        job()
        print(f"{name} written in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------ readers


def open_store(path: Path) -> tuple[Window, Window]:
    demos = DemoSet(path)
    get = lambda key, i, start: demos.slice(key, i, start, start + STEPS)
    return (
        lambda i, start: (get("rgb_wrist", i, start),),
        lambda i, start: (get("proprio", i, start), get("action", i, start)),
    )


def open_lerobot(path: Path) -> tuple[Window, Window]:
    """Pictures from the video, numbers from its table in memory."""
    rows = pyarrow.parquet.read_table(path / lerobot_parquet.EPISODES_PATH).to_pylist()
    names = ["observation.state", "action"]
    table = pyarrow.parquet.read_table(sorted((path / "data").glob("*/*.parquet")), columns=names).combine_chunks()
    video, at = "observation.images.wrist", lerobot_parquet.VIDEO_PATH

    def rgb(i: int, start: int):
        part = {name: rows[i][f"videos/{video}/{name}"] for name in ("chunk_index", "file_index", "from_timestamp")}
        return (read_span(path / at.format(video_key=video, **part), part["from_timestamp"] + start / HZ, HZ, STEPS),)

    def numbers(i: int, start: int):
        some = table.slice(rows[i]["dataset_from_index"] + start, STEPS)
        return tuple(lerobot_parquet.numbers(some[name]) for name in names)

    return rgb, numbers


def open_hdf5(path: Path) -> tuple[Window, Window]:
    data = h5py.File(path)["data"]
    get = lambda key, i, start: data[f"demo_{i}/{key}"][start : start + STEPS]
    return (
        lambda i, start: (get("obs/wrist_image", i, start),),
        lambda i, start: (get("obs/proprio", i, start), get("actions", i, start)),
    )


def open_raw(path: Path) -> tuple[Window, None]:
    """The floor: bytes that nothing packs, copied out of the page cache."""
    frames = np.memmap(path, np.uint8, "r").reshape(-1, SIDE, SIDE, 3)
    starts = DemoSet(path.parent / "store")
    starts = np.cumsum(starts.lengths) - starts.lengths
    return (lambda i, start: (frames[starts[i] + start : starts[i] + start + STEPS].copy(),)), None


READERS = {
    "raw frames (the floor)": ("raw", open_raw),
    "our store": ("store", open_store),
    "LeRobot MP4, AV1": ("av1", open_lerobot),
    "LeRobot MP4, H.264": ("h264", open_lerobot),
    "HDF5": ("plain.hdf5", open_hdf5),
    "HDF5, gzip": ("gzip.hdf5", open_hdf5),
}


def places(lengths: np.ndarray, seed: int) -> Iterator[tuple[int, int]]:
    """(episode, first step) of random windows without end, each as likely as any other."""
    many, rng = np.maximum(lengths - STEPS + 1, 0), np.random.default_rng(seed)
    ends = np.cumsum(many)
    while True:
        at = int(rng.integers(ends[-1]))
        i = int(np.searchsorted(ends, at, side="right"))
        yield i, at - int(ends[i] - many[i])


def check(folder: Path, name: str) -> None:
    """Ends unless the reader's windows are those that were written."""
    raw, store = open_raw(folder / "raw")[0], open_store(folder / "store")[1]
    window, numbers = READERS[name][1](folder / READERS[name][0])
    for _, (i, start) in zip(range(20), places(DemoSet(folder / "store").lengths, 7)):
        (want,), (got,) = raw(i, start), window(i, start)
        near = psnr_db(got, want) > LEAST_DB if "MP4" in name else np.array_equal(got, want)
        if got.shape != want.shape or not near:
            sys.exit(f"{name}: the window at step {start} of episode {i} is not the one that was written")
        if numbers and not all(map(np.array_equal, numbers(i, start), store(i, start))):
            sys.exit(f"{name}: the numbers at step {start} of episode {i} are not those that were written")


# ------------------------------------------------------------------------------------------ timing


def work(folder: Path, name: str, kind: int, seconds: float, started, seed: int) -> tuple[int, float, float]:
    """One process: (windows, seconds, seconds of processor)."""
    torch.set_num_threads(1)
    window = READERS[name][1](folder / READERS[name][0])[kind]
    where = places(DemoSet(folder / "store").lengths, seed)
    for _ in range(10):
        window(*next(where))
    started.wait()
    return timed(lambda: window(*next(where)), seconds)


def timed(step: Callable[[], object], seconds: float) -> tuple[int, float, float]:
    """Calls `step` for `seconds`: (calls, seconds, seconds of processor)."""
    count, start, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        step()
        count += 1
    return count, time.perf_counter() - start, time.process_time() - used


def on_processes(folder: Path, name: str, kind: int, seconds: float, processes: int) -> tuple[float, float]:
    """(windows a second of all processes, ms of processor a window)."""
    context = multiprocessing.get_context("spawn")  # zarr's threads don't survive a fork
    with context.Manager() as manager, context.Pool(processes) as pool:
        job = partial(work, folder, name, kind, seconds, manager.Barrier(processes))
        done = pool.map(job, range(processes), chunksize=1)
    return sum(n / wall for n, wall, _ in done), 1000 * sum(used for *_, used in done) / sum(n for n, *_ in done)


def in_memory(folder: Path) -> dict[str, tuple[Demonstrations, float]]:
    """What train_bc holds, and its bytes on disk: features from the cache, and frames for a network of its own."""
    demos, cache = DemoSet(folder / "store"), FeatureCache(folder / "cache", "benchmark")
    small = [demos.episode(i, ("proprio", "action")) for i in range(demos.episodes)]
    proprio, action = (torch.from_numpy(np.concatenate([e[key] for e in small])) for key in ("proprio", "action"))
    lengths = [int(n) for n in demos.lengths]
    made = lambda n: torch.randn(n, *FEATURE).half()
    features = torch.cat(
        [cache.get(str(i), (n, *FEATURE), torch.float16, partial(made, n)) for i, n in enumerate(lengths)]
    )
    frames = torch.from_numpy(np.fromfile(folder / "raw", np.uint8).reshape(-1, SIDE, SIDE, 3))
    return {
        "cached features": (Demonstrations(features, proprio, action, action, lengths), on_disk(folder / "cache")),
        "RGB": (Demonstrations(frames, proprio, action, action, lengths), 0.0),
    }


def one_batch(demos: Demonstrations, draw: torch.Generator) -> None:
    """Windows as the trainer of a transformer draws them: 16 steps of context, the next 16 actions."""
    steps = torch.randint(len(demos), (BATCH,), generator=draw)
    demos.windows(steps, torch.zeros_like(steps), STEPS, STEPS)


def warm(path: Path) -> None:
    """Into the page cache, whole."""
    for file in (path,) if path.is_file() else filter(Path.is_file, path.rglob("*")):
        with open(file, "rb", buffering=0) as bytes_:
            while bytes_.read(1 << 24):
                pass


def measure(folder: Path, frames: int, seconds: float, processes: int) -> list[dict]:
    """Rows of the table."""
    if not (folder / WRITTEN).exists():
        write_all(folder, frames)
        (folder / WRITTEN).touch()
    table: list[dict] = []

    def add(what: str, data: str, rate: float, ms: float, size: float) -> None:
        floor = table[0]["windows/s"] if table else rate
        table.append(
            {
                "read from": what,
                "data": data,
                "windows/s": round(rate, 1),
                "ms of processor a window": round(ms, 3),
                "share of the floor": f"{rate / floor:.1%}" if data == "RGB" else "",
                "MB on disk": round(size / 1e6, 1) if size else "",
            }
        )
        print(table[-1], file=sys.stderr, flush=True)

    for name, (file, opened) in READERS.items():
        check(folder, name)
        path = folder / file
        warm(path)
        for kind, data in enumerate(("RGB", "proprio and action")):
            if kind == 0 or opened is not open_raw:
                rate, ms = on_processes(folder, name, kind, seconds, processes)
                add(
                    f"disk: {name}",
                    data,
                    rate,
                    ms,
                    0 if kind else on_disk(path) if path.is_dir() else path.stat().st_size,
                )
    torch.set_num_threads(processes)
    for data, (demos, size) in in_memory(folder).items():
        batch = partial(one_batch, demos, torch.Generator().manual_seed(0))
        batch()
        count, wall, used = timed(batch, seconds)
        add("memory: train_bc", data, BATCH * count / wall, 1000 * used / (BATCH * count), size)
    return table


def main(frames: int, seconds: float, processes: int, folder: str) -> None:
    if frames < 10 * STEPS or processes < 1 or seconds <= 0:
        sys.exit(
            f"expected frames >= {10 * STEPS}, processes >= 1 and seconds > 0, got {frames}, {processes} and {seconds}"
        )
    place = Path(folder, str(frames)) if folder else Path(tempfile.mkdtemp(prefix="windows-"))
    if folder and place.exists() and not (place / WRITTEN).exists():
        shutil.rmtree(place)  # half-written
    place.mkdir(parents=True, exist_ok=True)
    try:
        table = measure(place, frames, seconds, processes)
    finally:
        if not folder:
            shutil.rmtree(place)
    window_mb = STEPS * SIDE * SIDE * 3 / 1e6
    copied = table[0]["windows/s"] * window_mb / 1000
    notes = (
        f"{frames} steps: {ORIGINALS} rendered episodes repeated with small changes, so they compress better than "
        f"a real camera's. {processes} processes, files in the page cache. An RGB window is {window_mb:.2f} MB; the floor "
        f"copies {copied:.1f} GB/s of them out of the page cache. Sizes are of whole sets."
    )
    facts = machine.facts("numpy", "torch", "zarr", "av", "h5py")
    path = machine.save("windows", "Random windows of demonstrations", table, facts, notes)
    print(machine.table(table), notes, f"written to {path}", sep="\n")


if __name__ == "__main__":
    main(**machine.arguments("windows", frames=100000, seconds=5.0, processes=2, folder=""))

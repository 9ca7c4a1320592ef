"""Random windows of 16 steps a second from demonstrations: our store, MP4 in LeRobot's layout, and HDF5.

    python -m benchmarks.windows [frames=100000] [seconds=5] [processes=2] [folder=PATH]

Data: 32 episodes of franka_cube by its expert, 128 px wrist camera, repeated with other brightness, a shift of a few
pixels and noisy numbers until there are `frames` steps. Every set holds the same steps. It takes half an hour to write
100,000; they are kept in `folder` for the next time. The readers take turns, round by round. `disk` readers run in
`processes` processes, one thread each, on files in the page cache: our store by DemoSet.slice; MP4 by PyAV, opened,
sought and decoded for each window as in lerobot 0.4.4; HDF5 in robomimic's layout. `memory` is what train_bc reads:
policies.Demonstrations, 64 windows at once. The floor is the rate of the machine: a copy of raw frames. Before the
measurement the windows of each reader are compared with the frames that were written. The goal on two cores is 2,000
windows/s of numbers or cached features, and 500/s of RGB.
"""

import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet
import torch

import envs
from benchmarks import machine
from benchmarks.alternation import Measure, Rounds, alternate, joined, repeated
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


def varied(originals: list[dict], frames: int) -> Iterator[dict[str, np.ndarray]]:
    """The originals again and again, a little different each time, until there are `frames` steps."""
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
    """Write the same episodes in every layout, and the raw frames. The time of each is reported on stderr."""
    originals = recorded(ORIGINALS)
    attrs = attributes_of("franka_cube", {"image_size": SIDE}, ("wrist",), {})
    attrs["proprio_names"] = indexed("proprio", originals[0]["proprio"].shape[1])  # one data set of HDF5

    def store():
        with DemoWriter(folder / "store", attrs) as writer, open(folder / "raw", "wb") as raw:
            for episode in varied(originals, frames):
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
    """The floor: plain bytes, copied out of the page cache."""
    frames = np.memmap(path, np.uint8, "r").reshape(-1, SIDE, SIDE, 3)
    starts = DemoSet(path.parent / "store")
    starts = np.cumsum(starts.lengths) - starts.lengths
    return (lambda i, start: (frames[starts[i] + start : starts[i] + start + STEPS].copy(),)), None


FLOOR = "raw frames (the floor)"
READERS = {
    FLOOR: ("raw", open_raw),
    "our store": ("store", open_store),
    "LeRobot MP4, AV1": ("av1", open_lerobot),
    "LeRobot MP4, H.264": ("h264", open_lerobot),
    "HDF5": ("plain.hdf5", open_hdf5),
    "HDF5, gzip": ("gzip.hdf5", open_hdf5),
}


def places(lengths: np.ndarray, seed: int) -> Iterator[tuple[int, int]]:
    """(episode, first step) of random windows without end; all windows are equally likely."""
    many, rng = np.maximum(lengths - STEPS + 1, 0), np.random.default_rng(seed)
    ends = np.cumsum(many)
    while True:
        at = int(rng.integers(ends[-1]))
        i = int(np.searchsorted(ends, at, side="right"))
        yield i, at - int(ends[i] - many[i])


def check(folder: Path, name: str) -> None:
    """End the program unless the windows of the reader are those that were written."""
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


@cache
def opened(folder: Path, name: str, kind: int, seed: int) -> tuple[Window, Iterator[tuple[int, int]]]:
    """The reader in this process, and the windows that it is asked for."""
    torch.set_num_threads(1)
    window = READERS[name][1](folder / READERS[name][0])[kind]
    where = places(DemoSet(folder / "store").lengths, seed)
    for _ in range(10):
        window(*next(where))
    return window, where


def work(folder: Path, name: str, kind: int, seconds: float, started, seed: int) -> tuple[float, float]:
    """One process reads for `seconds`: (seconds for a window, seconds of processor for a window)."""
    window, where = opened(folder, name, kind, seed)
    used, count = time.process_time(), 0

    def step() -> None:
        nonlocal count
        window(*next(where))
        count += 1

    started.wait()
    wall_s = repeated(step)(seconds)
    return wall_s, (time.process_time() - used) / count


def on_processes(pool, started, folder: Path, name: str, kind: int, processes: int, used_s: list[float]) -> Measure:
    """Seconds for a window of all processes together. Adds the processor's seconds for a window to `used_s`."""

    def measure(budget_s: float) -> float:
        job = partial(work, folder, name, kind, budget_s, started)
        done = pool.map(job, range(processes), chunksize=1)  # the barrier gives each process one job
        used_s.append(float(np.mean([used for _, used in done])))
        return 1 / sum(1 / wall for wall, _ in done)

    return measure


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
    """Read the whole of `path` into the page cache."""
    for file in (path,) if path.is_file() else filter(Path.is_file, path.rglob("*")):
        with open(file, "rb", buffering=0) as bytes_:
            while bytes_.read(1 << 24):
                pass


def measure(folder: Path, frames: int, seconds: float, processes: int) -> tuple[list[dict], list[Rounds]]:
    """Rows of the table, and the rounds that they come from."""
    if not (folder / WRITTEN).exists():
        write_all(folder, frames)
        (folder / WRITTEN).touch()
    sizes: dict[str, float] = {}
    for name, (file, _) in READERS.items():
        check(folder, name)
        path = folder / file
        warm(path)
        sizes[f"disk: {name}"] = on_disk(path) if path.is_dir() else path.stat().st_size
    table: list[dict] = []
    all_rounds: list[Rounds] = []
    torch.set_num_threads(processes)
    held = in_memory(folder)
    context = multiprocessing.get_context("spawn")  # zarr's threads do not survive a fork
    with context.Manager() as manager, context.Pool(processes) as pool:
        started = manager.Barrier(processes)
        for kind, data in enumerate(("RGB", "proprio and action")):
            used_s: dict[str, list[float]] = {}
            things: dict[str, Measure] = {}
            for name, (_, reader) in READERS.items():
                if kind == 0 or reader is not open_raw:
                    what = f"disk: {name}"
                    used_s[what] = []
                    things[what] = on_processes(pool, started, folder, name, kind, processes, used_s[what])
            inside = "RGB" if kind == 0 else "cached features"
            demos, size = held[inside]
            draw = torch.Generator().manual_seed(0)
            things["memory: train_bc"] = repeated(partial(one_batch, demos, draw), BATCH)
            sizes["memory: train_bc"] = size
            rounds = alternate(things, seconds)
            all_rounds.append(rounds)
            for what in things:
                floor = rounds.ratio(what, f"disk: {FLOOR}").share() if kind == 0 else ""
                table.append(
                    {
                        "read from": what,
                        "data": inside if what == "memory: train_bc" else data,
                        "windows/s": round(rounds.rate(what), 1),
                        "ms of processor a window": round(1000 * float(np.median(used_s[what])), 3)
                        if what in used_s
                        else "",
                        "share of the floor": floor,
                        "MB on disk": round(sizes[what] / 1e6, 1) if sizes[what] and what != f"disk: {FLOOR}" else "",
                    }
                )
                print(table[-1], file=sys.stderr, flush=True)
            if kind == 1:
                for what in list(things)[1:]:
                    rounds.ratio(what, "disk: our store")
    return table, all_rounds


def main(frames: int, seconds: float, processes: int, folder: str) -> None:
    if frames < 10 * STEPS or processes < 1 or seconds <= 0:
        machine.wrong(
            f"expected frames >= {10 * STEPS}, processes >= 1 and seconds > 0, got {frames}, {processes} and {seconds}."
        )
    place = Path(folder, str(frames)) if folder else Path(tempfile.mkdtemp(prefix="windows-"))
    if folder and place.exists() and not (place / WRITTEN).exists():
        shutil.rmtree(place)  # half-written
    place.mkdir(parents=True, exist_ok=True)
    try:
        table, all_rounds = measure(place, frames, seconds, processes)
    finally:
        if not folder:
            shutil.rmtree(place)
    window_mb = STEPS * SIDE * SIDE * 3 / 1e6
    copied = table[0]["windows/s"] * window_mb / 1000
    notes = (
        f"{frames} steps: {ORIGINALS} rendered episodes repeated with small changes, so they compress better than "
        f"a real camera's. {processes} processes, files in the page cache, medians of rounds. An RGB window is "
        f"{window_mb:.2f} MB; the floor copies {copied:.1f} GB/s of them out of the page cache. Sizes are of whole "
        f"sets.{joined(*all_rounds)}"
    )
    facts = machine.facts("numpy", "torch", "zarr", "av", "h5py")
    machine.report("windows", "Random windows of demonstrations", table, facts, notes)


if __name__ == "__main__":
    main(**machine.arguments("windows", frames=100000, seconds=5.0, processes=2, folder=""))

"""Tokenize 20,000 clips, a twentieth of them damaged, in three layouts by three executors, killed on the way.

    python tests/soak/many_clips.py [clips=20000] [seed=0]

| layout | executor |
|---|---|
| a plain folder | a pool of two processes |
| Ego4D (ego4d.json, video_540ss/UUID.mp4) | two ranks, as torchrun starts them |
| EPIC-Kitchens (P01/videos/P01_001.MP4) | Ray (left out where it is not installed) |

Each job is killed with SIGKILL in its middle and goes on by the same command. In the end every store has the same rows,
each damaged file is named, and the clips with black frames, frozen frames and cuts are counted. The memory of each
worker is read twice a second. The rate of one worker is compared with decoding and tokenizing the same clips without a
store, in alternation. Writes a dated table to tests/soak/results/. Linux only (/proc).
"""

import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from toto_robot.tokens.dvae import DVAE, DVAEConfig  # noqa: E402
from toto_robot.tokens.store.token_store import TokenStore, damaged_shards, read_index  # noqa: E402
from toto_robot.tokens.tokenizer import load_tokenizer  # noqa: E402
from toto_robot.video.decode import iter_frames, write_video  # noqa: E402
from toto_robot.video.items import media  # noqa: E402
from toto_robot.video.sampling import clip_indices  # noqa: E402

RESULTS = Path(__file__).parent / "results"
ORIGINALS, FRAMES, SIZE = 40, 72, 64
FLAWED = ("black", "still", "cut")
"""Every tenth original has one of these."""
DAMAGE = 0.05
WAIT_S = 3600
ROUNDS, ALONE = 5, 200
"""Repetitions and clips of the comparison with decoding and tokenizing alone."""


def original(seed: int, flaw: str) -> np.ndarray:
    """A scene of coarse blocks that moves by a pixel a frame, (FRAMES, 72, 96, 3)."""
    draw = np.random.default_rng(seed)
    scene = draw.integers(40, 220, (18, 60, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    clip = np.stack([scene[:, t : t + 96] for t in range(FRAMES)])
    if flaw == "black":
        clip[20:40] = 0
    elif flaw == "still":
        clip[:] = clip[0]
    elif flaw == "cut":
        clip[FRAMES // 2 :] = 255 - clip[FRAMES // 2 :] // 4
    return clip


def make_input(folder: Path, clips: int, draw: random.Random) -> dict:
    """The clips in three layouts, as hard links, and a small tokenizer. Returns how many are damaged or flawed."""
    torch.manual_seed(0)
    DVAE(DVAEConfig(vocab_size=64, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1)).save(folder / "dvae")
    flaws = [FLAWED[i // 10 % len(FLAWED)] if i % 10 == 0 else "" for i in range(ORIGINALS)]
    files = []
    for i, flaw in enumerate(flaws):
        files.append(folder / f"originals/{i}.mp4")
        write_video(files[-1], original(i, flaw), fps=30)
    whole = files[1].read_bytes()
    broken = []
    damage = {"half": whole[: len(whole) // 2], "empty": b"", "text": b"not a video", "noise": draw.randbytes(4000)}
    for name, data in damage.items():
        broken.append(folder / f"originals/{name}.mp4")
        broken[-1].write_bytes(data)
    chosen = [draw.choice(broken) if draw.random() < DAMAGE else draw.choice(files) for _ in range(clips)]
    videos = []
    for i, file in enumerate(chosen):
        name = str(uuid.UUID(int=draw.getrandbits(128), version=4))
        videos.append({"video_uid": name})
        person = f"P{i // 500 + 1:02d}"
        for place in (
            f"plain/{i // 1000}/clip {i}.mp4",
            f"ego4d/v2/video_540ss/{name}.mp4",
            f"epic/{person}/videos/{person}_{i % 500 + 1:03d}.MP4",
        ):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            os.link(file, folder / place)
    (folder / "ego4d/ego4d.json").write_text(json.dumps({"videos": videos}))
    counted = {flaw: sum(flaws[files.index(file)] == flaw for file in chosen if file in files) for flaw in FLAWED}
    return counted | {"damaged": sum(file in broken for file in chosen)}


def command(folder: Path, layout: str, store: str, *more: str) -> list[str]:
    source = str(folder / layout) if layout == "plain" else f"{layout}:{folder / layout}"
    words = [source, str(folder / store), f"tokenizer={folder / 'dvae'}", f"image_size={SIZE}", "files_per_shard=50"]
    return [sys.executable, "-m", "toto_robot.tokenize", *words, *more]


def start(words: list[str], output: int = subprocess.DEVNULL, **env: str) -> subprocess.Popen:
    quiet = {"stdout": output, "stderr": subprocess.DEVNULL, "text": True}
    given = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    return subprocess.Popen(words, cwd=ROOT, start_new_session=True, env=given, **quiet)


def memory_mb(sessions: set[int]) -> dict[int, float]:
    """Resident memory of each living process of these sessions, by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) in sessions and fields[0] != "Z":
                found[int(folder.name)] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        except (OSError, ValueError):
            continue
    return found


def run(jobs: list[list[str]], envs: list[dict], stop_at, used: dict[int, list[float]]) -> list[int]:
    """Run commands side by side, and kill all of them once `stop_at()` is true. Returns their exit codes."""
    running = [start(words, **env) for words, env in zip(jobs, envs)]
    end = time.monotonic() + WAIT_S
    while any(job.poll() is None for job in running):
        for pid, mb in memory_mb({job.pid for job in running}).items():
            used.setdefault(pid, []).append(mb)
        if stop_at():
            for job in running:
                os.killpg(job.pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise AssertionError(f"not finished within {WAIT_S} s")
        time.sleep(0.5)
    return [job.wait() for job in running]


def job(folder: Path, layout: str, clips: int, jobs: list[list[str]], envs: list[dict]) -> dict:
    """Tokenize a layout with a kill in the middle. Returns a row of the table."""
    store, used = folder / layout_store(layout), {}
    made = lambda: len(list((store / "shards").glob("[!.]*"))) if store.exists() else 0
    run(jobs, envs, lambda: made() >= clips // 100, used)
    killed_at = made()
    started, before = time.monotonic(), clips - 50 * killed_at
    assert run(jobs, envs, lambda: False, used) == [0] * len(jobs)
    seconds = time.monotonic() - started
    result = read_index(store)
    assert not damaged_shards(store)
    # Memory: the largest worker, and how much a worker that lived long grew in its second half.
    long = [values for values in used.values() if len(values) > 20]
    growth = [max(v[len(v) // 2 :]) / max(v[: len(v) // 2]) - 1 for v in long]
    return {
        "layout": layout,
        "files": result["source"]["files"],
        "killed after shards": killed_at,
        "rows": result["rows"],
        "failed": sum(entry.get("failed", False) for entry in result["left_out"]),
        "black": result["clips"].get("black", 0),
        "frozen": result["clips"].get("frozen", 0),
        "cuts": result["clips"].get("cuts", 0),
        "clips/s after the kill": round(before / seconds, 1),
        "largest process, MB": round(max(max(v) for v in used.values())),
        "growth in the second half, %": round(100 * max(growth, default=0)),
        "codes": digest(store)[:12],
    }


def layout_store(layout: str) -> str:
    return f"store_{layout}"


def digest(store: Path) -> str:
    """Of all rows, whatever their order is."""
    rows = TokenStore(store)
    each = sorted(hashlib.sha256(rows[i].tobytes()).digest() for i in range(len(rows)))
    return hashlib.sha256(b"".join(each)).hexdigest()


def alone(folder: Path, source: Path) -> float:
    """Frames a second of decoding and tokenizing the clips of a folder, without a store."""
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(folder / "dvae")
    items, frames = media(source, ("video",)), 0
    started = time.monotonic()
    for item in items:
        seen, times_s = zip(*((frame, at) for at, frame in iter_frames(item, SIZE)))
        for clip in clip_indices(np.array(times_s), frames=16, spacing_s=4 / 30, hop_s=16 * 4 / 30):
            tokenizer.encode(np.stack([seen[i] for i in clip]))
            frames += 16
    return frames / (time.monotonic() - started)


def share_of_rate(folder: Path) -> list[float]:
    """The rate of `tokenize workers=1` as a share of decoding and tokenizing alone, in alternation."""
    few, shares = folder / "few", []
    few.mkdir()
    for i in range(ALONE):
        os.link(folder / f"originals/{i % ORIGINALS}.mp4", few / f"{i}.mp4")
    for _ in range(ROUNDS):
        store = folder / "store_few"
        words = [sys.executable, "-m", "toto_robot.tokenize", str(few), str(store), f"tokenizer={folder / 'dvae'}"]
        words += [f"image_size={SIZE}", "workers=1", "files_per_shard=50"]
        done = start(words, subprocess.PIPE).communicate()[0]
        shares.append(json.loads(done.splitlines()[-1])["frames_per_s"] / alone(folder, few))
        shutil.rmtree(store)
    return shares


def main(clips: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make_input(folder, clips, random.Random(seed))
        print(made, file=sys.stderr, flush=True)
        ranks = [{"RANK": str(r), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"} for r in range(2)]
        rows = [job(folder, "plain", clips, [command(folder, "plain", "store_plain", "workers=2")], [{}])]
        print(rows[-1], file=sys.stderr, flush=True)
        two = [command(folder, "ego4d", "store_ego4d", "workers=1")] * 2
        rows.append(job(folder, "ego4d", clips, two, ranks))
        print(rows[-1], file=sys.stderr, flush=True)
        try:
            import ray  # noqa: F401
        except ImportError:
            print("Ray is not installed: EPIC by the local pool", file=sys.stderr)
            more = ["workers=2"]
        else:
            more = ["executor=ray"]
        rows.append(job(folder, "epic", clips, [command(folder, "epic", "store_epic", *more)], [{}]))
        rows[-1]["layout"] += f" ({more[0]})"
        for row in rows:
            assert row["files"] == clips and row["failed"] == made["damaged"], (row, made)
            assert row["rows"] == clips - made["damaged"], (row, made)
            assert (row["black"], row["cuts"]) >= (made["black"], made["cut"]) and row["frozen"] >= made["still"], row
        assert len({row["codes"] for row in rows}) == 1, "the layouts have other rows"
        shares = share_of_rate(folder)
    facts = machine.facts("av", "torch", "numpy")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"many_clips-{facts['date']}.md"
    said = ", ".join(f"{k} {v}" for k, v in facts.items())
    rate = f"`workers=1` has {statistics.median(shares):.0%} of the rate of decoding and tokenizing alone "
    rate += f"(median of {ROUNDS} pairs, {min(shares):.0%} to {max(shares):.0%})."
    title = f"{clips:,} clips, {made['damaged']:,} damaged, in three layouts; each job is killed once"
    path.write_text(f"# {title}\n\n{said}\n\n{machine.table(rows)}\n\n{rate}\n")
    print(json.dumps({"clips": clips, "share_of_rate": round(statistics.median(shares), 3), "table": str(path)}))


if __name__ == "__main__":
    arguments = {"clips": 20000, "seed": 0}
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key not in arguments:
            sys.exit("usage: python tests/soak/many_clips.py [clips=20000] [seed=0]")
        arguments[key] = int(value)
    main(**arguments)

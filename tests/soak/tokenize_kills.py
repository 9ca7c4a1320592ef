"""Kill tokenizing with SIGKILL at random moments, again and again, and check what it leaves behind.

    python tests/soak/tokenize_kills.py [kills=50] [seed=0]

Each kill hits the whole process group, the main process alone, or one of its children (the job must then go on by
itself). After every kill each finished shard is compared byte for byte with an uninterrupted run's; when a job ends,
the whole store is, and it is begun anew. Writes a dated table to tests/soak/results/. Linux only (/proc).
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from toto_robot.tokens.dvae import DVAE, DVAEConfig  # noqa: E402
from toto_robot.tokens.store.token_store import damaged_shards  # noqa: E402
from toto_robot.video.decode import write_video  # noqa: E402

RESULTS = Path(__file__).parent / "results"
FILES = 40
WAIT_S = 300  # for a job to end by itself


def make_input(folder: Path) -> None:
    """Videos of different lengths, two that don't decode, and a small tokenizer."""
    torch.manual_seed(0)
    DVAE(DVAEConfig(vocab_size=64, n_hid=8, decoder_hid=4, n_init=8, n_blk_per_group=1)).save(folder / "dvae")
    for i in range(FILES):
        noise = np.random.default_rng(i).integers(0, 256, (20 + 7 * (i % 11), 64, 64, 3), dtype=np.uint8)
        write_video(folder / "videos" / f"{i:02d}.mp4", noise, fps=30)
    for i in range(2):
        (folder / "videos" / f"broken{i}.mp4").write_text("not a video")


def start(folder: Path, store: Path) -> subprocess.Popen:
    """The command itself, in a process group of its own."""
    command = [
        sys.executable,
        "-m",
        "toto_robot.tokenize",
        str(folder / "videos"),
        str(store),
        f"tokenizer={folder / 'dvae'}",
        "image_size=64",
        "files_per_shard=1",
        "workers=2",
    ]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def shards(store: Path) -> dict[str, str]:
    """sha256 over codes and rows of every finished shard (of every folder without a dot)."""
    found = {}
    for folder in (store / "shards").glob("[!.]*"):
        data = (folder / "codes.u16").read_bytes()
        described = json.loads((folder / "rows.json").read_text())
        if hashlib.sha256(data).hexdigest() != described["sha256"] or len(data) != 2 * int(np.prod(described["shape"])):
            raise AssertionError(f"{folder} is torn")
        found[folder.name] = hashlib.sha256(data + json.dumps(described, sort_keys=True).encode()).hexdigest()
    return found


def group(pid: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def kill(job: subprocess.Popen, what: str, draw: random.Random) -> None:
    if what == "group":
        os.killpg(job.pid, signal.SIGKILL)
    elif what == "main process":
        job.kill()
    elif children := [pid for pid in group(job.pid) if pid != job.pid]:
        os.kill(draw.choice(children), signal.SIGKILL)


def wait_until(done, what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {WAIT_S} s")
        time.sleep(0.005)


def check_finished(store: Path, whole: dict[str, str], index: bytes) -> None:
    """The store of a job that has ended is the uninterrupted one, with nothing beside it."""
    assert shards(store) == whole, "shards lost, duplicated or different"
    assert (store / "store.json").read_bytes() == index, "another index"
    assert not damaged_shards(store)
    left = [p.name for p in [*store.iterdir(), *(store / "shards").iterdir()] if p.name.startswith(".")]
    assert not left, f"left behind: {left}"


def soak(folder: Path, kills: int, draw: random.Random) -> list[dict]:
    """One row of the table for each kill. AssertionError for anything lost, duplicated or torn."""
    store, rows = folder / "store", []
    assert start(folder, store).wait(WAIT_S) == 0
    whole, index = shards(store), (store / "store.json").read_bytes()
    assert len(whole) == FILES + 2
    shutil.rmtree(store)
    while len(rows) < kills:
        before = len(shards(store))
        job = start(folder, store)
        what, enough = draw.choice(["group", "main process", "child"]), draw.randint(before, len(whole))
        made = lambda: len(list((store / "shards").glob("[!.]*")))
        wait_until(lambda: job.poll() is not None or made() >= enough, "progress")
        time.sleep(draw.uniform(0, 0.2) if draw.random() < 0.8 else draw.uniform(0, 3))
        late = job.poll() is not None
        kill(job, what, draw)
        job.wait(WAIT_S)
        wait_until(lambda: not group(job.pid), "children that outlive their parent")
        now = shards(store)
        assert now.items() <= whole.items(), "a shard differs from the uninterrupted run's"
        if what == "child" or late:
            assert job.returncode == 0, f"a job that lost a child ended with {job.returncode}"
        if job.returncode == 0:
            check_finished(store, whole, index)
        if not late:
            rows.append(
                {
                    "kill": len(rows) + 1,
                    "killed": what,
                    "shards before": before,
                    "shards after": len(now),
                    "job": "finished" if job.returncode == 0 else "died",
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
        if job.returncode == 0:
            shutil.rmtree(store)
    if store.exists():
        assert start(folder, store).wait(WAIT_S) == 0
        check_finished(store, whole, index)
    return rows


def main(kills: int = 50, seed: int = 0) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_input(Path(folder))
        rows = soak(Path(folder), kills, random.Random(seed))
    facts = machine.facts("av", "torch", "numpy")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"tokenize_kills-{facts['date']}.md"
    said = ", ".join(f"{k} {v}" for k, v in facts.items())
    title = f"{kills} kills of tokenizing (SIGKILL, seed {seed}): no shard lost, duplicated or torn"
    path.write_text(f"# {title}\n\n{said}\n\n{machine.table(rows)}\n")
    finished = sum(row["job"] == "finished" for row in rows)
    print(json.dumps({"kills": len(rows), "finished_stores": finished, "table": str(path)}))


if __name__ == "__main__":
    arguments = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    if set(arguments) - {"kills", "seed"} or len(arguments) != len(sys.argv) - 1:
        sys.exit("usage: python tests/soak/tokenize_kills.py [kills=50] [seed=0]")
    main(**{key: int(value) for key, value in arguments.items()})

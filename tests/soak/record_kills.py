"""Kill recording with SIGKILL at random moments, again and again, and check what it leaves behind.

    python tests/soak/record_kills.py [kills=200] [seed=0] [episodes=40]

Each kill comes at a moment drawn from the time for which an uninterrupted recording writes (nine in ten; the others
while it starts), and hits the whole process group, or the main process alone. While the job runs a reader opens the set
again and again. After every kill each episode in the set is compared byte for byte with an uninterrupted recording's,
no episode that was there before may be gone, and recording goes on with resume=true; a set that is full is checked as a
whole and begun anew. Writes a dated table to tests/soak/results/. Linux only (/proc).
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

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from demos import DemoSet, verify  # noqa: E402
from demos.store.disk import TEMPORARY  # noqa: E402

RESULTS = Path(__file__).parent / "results"
WAIT_S = 600


def start(path: Path, episodes: int) -> subprocess.Popen:
    """The command itself, in a process group of its own; small frames, noisy actions."""
    command = [
        sys.executable,
        "-m",
        "demos.record",
        f"out={path}",
        f"episodes={episodes}",
        "resume=true",
        "image_size=32",
        "noise_std=0.2",
        "num_envs=4",
        "env.workers=1",
    ]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def digests(path: Path) -> dict[int, str]:
    """sha256 over every array of every finished episode, by attempt. DemoError for a torn one."""
    if not (path / "zarr.json").exists():
        return {}
    demos = DemoSet(path)
    found = {}
    for i, attempt in enumerate(demos.meta("index") if demos.episodes else ()):
        digest = hashlib.sha256()
        for key, value in sorted(demos.episode(i).items()):
            digest.update(key.encode() + value.tobytes())
        digest.update(json.dumps([float(demos.meta(name)[i]) for name in sorted(demos.meta_names)]).encode())
        found[int(attempt)] = digest.hexdigest()
    return found


def episodes_in(path: Path) -> int:
    """The number of finished episodes, as a reader sees it. This must work at any moment."""
    return DemoSet(path).episodes if (path / "zarr.json").exists() else 0


def wait_for_writing(job: subprocess.Popen, path: Path, since_s: float) -> None:
    """Waits until the job has written into the set, or has ended."""
    while job.poll() is None and not changed(path, since_s):
        time.sleep(0.005)


def changed(path: Path, since_s: float) -> bool:
    """Whether a folder of the set has changed since then; one that vanishes meanwhile has."""
    try:
        return any(os.path.getmtime(folder) > since_s for folder, _, _ in os.walk(path))
    except FileNotFoundError:
        return True


def wait_for_orphans(job: subprocess.Popen) -> None:
    """Simulator processes end when their parent is gone."""
    end = time.monotonic() + 60
    while any(_group(stat) == job.pid for stat in Path("/proc").glob("[0-9]*/stat")):
        if time.monotonic() > end:
            raise AssertionError("children outlive their parent")
        time.sleep(0.05)


def _group(stat: Path) -> int | None:
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[2]) if fields[0] != "Z" else None


def soak(folder: Path, kills: int, episodes: int, draw: random.Random) -> list[dict]:
    """One row of the table for each kill. AssertionError or DemoError for anything lost, different or torn."""
    whole_path, path, rows, opened = folder / "whole", folder / "set", [], 0
    first = start(whole_path, episodes)
    wait_for_writing(first, whole_path, time.time())
    began = time.monotonic()
    said = first.communicate(timeout=WAIT_S)[1].decode()
    writing_s = time.monotonic() - began
    assert first.returncode == 0, said[-2000:]
    whole = digests(whole_path)
    assert len(whole) == episodes
    while len(rows) < kills:
        before = digests(path)
        job = start(path, episodes)
        what, now_s = draw.choice(["group", "main process"]), time.time()
        if draw.random() < 0.9:
            wait_for_writing(job, path, now_s)
        end = time.monotonic() + draw.uniform(0, writing_s)
        while job.poll() is None and time.monotonic() < end:
            opened += episodes_in(path) >= 0
            time.sleep(0.01)
        late = job.poll() is not None
        if late:
            assert job.returncode == 0, job.stderr.read().decode()[-2000:]
        elif what == "group":
            os.killpg(job.pid, signal.SIGKILL)
        else:
            job.kill()
        job.wait(WAIT_S)
        job.stderr.close()
        wait_for_orphans(job)
        now = digests(path)
        assert before.items() <= now.items(), "a finished episode was lost or changed"
        assert now.items() <= whole.items(), "an episode differs from the uninterrupted recording's"
        assert verify(path) == [] if now else True
        if not late:
            rows.append(
                {"kill": len(rows) + 1, "killed": what, "episodes before": len(before), "episodes after": len(now)}
            )
            print(rows[-1], file=sys.stderr, flush=True)
        if len(now) == episodes:
            assert now == whole, "a finished recording is not the uninterrupted one"
            assert not late or not list(path.rglob(f"{TEMPORARY}*")), "temporary files are left behind"
            shutil.rmtree(path)
    if path.exists():
        assert start(path, episodes).wait(WAIT_S) == 0
        assert digests(path) == whole and verify(path) == []
    print(f"the set was opened {opened} times while it was being written", file=sys.stderr)
    return rows


def main(kills: int = 200, seed: int = 0, episodes: int = 40) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = soak(Path(folder), kills, episodes, random.Random(seed))
    facts = machine.facts("mujoco", "zarr", "numpy")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"record_kills-{facts['date']}.md"
    said = ", ".join(f"{k} {v}" for k, v in facts.items())
    title = f"{kills} kills of recording (SIGKILL, seed {seed}): no finished episode lost, different or torn"
    path.write_text(f"# {title}\n\n{said}\n\n{machine.table(rows)}\n")
    print(json.dumps({"kills": len(rows), "table": str(path)}))


if __name__ == "__main__":
    arguments = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    if set(arguments) - {"kills", "seed", "episodes"} or len(arguments) != len(sys.argv) - 1:
        sys.exit("usage: python tests/soak/record_kills.py [kills=200] [seed=0] [episodes=40]")
    main(**{key: int(value) for key, value in arguments.items()})

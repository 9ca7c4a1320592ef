"""Damage valid files of every format, read them, and count what comes out: the right content, or one sentence.

    python tests/soak/mutations.py [count=1000] [seed=0] [only=weights]

Each of `count` copies of a small set has one file damaged at random: bits, numbers that declare too much, spans that
are cut, doubled, zeroed or moved (tests/hostile_files.py). It is read in a process of limited memory, and in at most
60 s. Right: it loads as it was. Other: it loads as something else, which a format without checksums can't notice.
Refused: one UserError. Anything else is a fault: another exception, a crash, a hang, too much memory, code that ran.
Writes a dated table to tests/soak/results/, and ends with 1 if there was a fault.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from hostile_files import FORMATS, Readers, drawn  # noqa: E402

from benchmarks import machine  # noqa: E402
from toto_robot.ground.workers import Worker, close  # noqa: E402

RESULTS = Path(__file__).parent / "results"
PATIENCE_S = 60


def outcome(worker: Worker, name: str, seed: object) -> dict:
    """What reading one damaged copy gives. A fault says how the process ended."""
    worker.call("outcome", name, *drawn(seed))
    if not worker.answers(PATIENCE_S):
        worker.process.kill()
        return {"kind": "fault", "said": f"no answer in {PATIENCE_S} s", "mb": 0}
    try:
        return worker.result()
    except RuntimeError as error:
        return {"kind": "fault", "said": str(error).strip().splitlines()[-1][:300], "mb": 0}


def start(folder: str) -> Worker:
    worker = Worker("a reader", Readers, folder)
    worker.result()
    return worker


def soak(folder: str, name: str, count: int, seed: int) -> tuple[dict, list[str]]:
    """One row of the table, and the faults."""
    worker, kinds, faults, most, slowest = start(folder), Counter(), [], 0, 0.0
    try:
        outcome(worker, name, [seed, name, "warm-up"])  # imports the libraries and makes the valid set
        for number in range(count):
            began = time.monotonic()
            found = outcome(worker, name, [seed, name, number])
            slowest, most = max(slowest, time.monotonic() - began), max(most, found["mb"])
            kinds[found["kind"]] += 1
            if found["kind"] == "fault":
                faults.append(f"{name}, number {number}: {found['said']}")
                print(faults[-1], file=sys.stderr, flush=True)
                if not worker.process.is_alive() or "no answer" in found["said"] or "died" in found["said"]:
                    close([worker])
                    worker = start(folder)
    finally:
        close([worker])
    row = {
        "format": name,
        "damaged files": count,
        **{kind: kinds[kind] for kind in ("right", "other", "refused", "fault")},
    }
    return row | {"slowest s": round(slowest, 1), "memory MB": most}, faults


def write(rows: list[dict], faults: list[str], count: int, seed: int) -> Path:
    """Write the table of the formats that are done."""
    facts = machine.facts("torch", "h5py", "zarr", "pyarrow", "av", "pillow")
    path = RESULTS / f"mutations-{facts['date']}.md"
    RESULTS.mkdir(exist_ok=True)
    said = ", ".join(f"{k} {v}" for k, v in facts.items())
    title = f"{count} damaged files of each format (seed {seed}): {len(faults)} faults"
    listed = "".join(f"- {fault}\n" for fault in faults)
    path.write_text(f"# {title}\n\n{said}\n\n{machine.table(rows)}\n" + (f"\n{listed}" if faults else ""))
    return path


def main(count: int = 1000, seed: int = 0, only: str = "") -> int:
    rows, faults = [], []
    for name in FORMATS:
        if only in name:
            with tempfile.TemporaryDirectory() as folder:
                row, more = soak(folder, name, count, seed)
            rows.append(row)
            faults += more
            print(row, file=sys.stderr, flush=True)
            path = write(rows, faults, count, seed)
    print(json.dumps({"files": count * len(rows), "faults": len(faults), "table": str(path)}))
    return int(bool(faults))


if __name__ == "__main__":
    arguments = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    if set(arguments) - {"count", "seed", "only"} or len(arguments) != len(sys.argv) - 1:
        sys.exit("usage: python tests/soak/mutations.py [count=1000] [seed=0] [only=PART_OF_A_FORMAT]")
    sys.exit(main(**{key: value if key == "only" else int(value) for key, value in arguments.items()}))

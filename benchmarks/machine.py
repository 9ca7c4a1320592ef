"""What every benchmark says of the machine, and where its table goes."""

import datetime
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def facts(*packages: str) -> dict:
    """Processor, cores, date, commit and the versions of `packages`."""
    cpu = (
        next(
            (
                line.split(":")[1].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            ),
            platform.processor(),
        )
        if os.path.exists("/proc/cpuinfo")
        else ""
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "cpu": cpu or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{p: _version(p) for p in packages},
    }


def arguments(script: str, **defaults) -> dict:
    """`key=value` of the command line over `defaults`, in the defaults' types; anything else ends with the usage."""
    given = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    if set(given) - set(defaults) or len(given) != len(sys.argv) - 1:
        sys.exit(f"usage: python -m benchmarks.{script} " + " ".join(f"[{k}={v}]" for k, v in defaults.items()))
    return {name: type(value)(given.get(name, value)) for name, value in defaults.items()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def table(rows: list[dict]) -> str:
    """Markdown; the columns are the keys of the first row."""
    keys = list(rows[0])
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    return "\n".join(lines + ["| " + " | ".join(str(row.get(k, "")) for k in keys) + " |" for row in rows])


def save(name: str, title: str, rows: list[dict], machine: dict, notes: str = "") -> Path:
    """Writes results/<name>-<date>.md and .json and returns the former."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{machine['date']}.md"
    said = ", ".join(f"{k} {v}" for k, v in machine.items())
    path.write_text(f"# {title}\n\n{said}\n\n{table(rows)}\n" + (f"\n{notes}\n" if notes else ""))
    path.with_suffix(".json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    return path

"""What every benchmark says about the machine, how it reads its arguments, and where its table goes."""

import datetime
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

from toto_robot.ground.errors import unknown

RESULTS = Path(__file__).parent / "results"


def facts(*packages: str) -> dict:
    """Processor, cores, date, commit and the versions of `packages`."""
    folder = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=folder)
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "cpu": _processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{p: _version(p) for p in packages},
    }


def _processor() -> str:
    """Name of the processor, "" if the system does not tell it."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return platform.processor()
    names = (line.split(":")[1].strip() for line in file.read_text().splitlines() if line.startswith("model name"))
    return next(names, platform.processor())


def arguments(script: str, **defaults) -> dict:
    """The `key=value` of the command line over `defaults`, in the types of the defaults.

    `--help` prints the docstring of the script and ends. A wrong key or value is one sentence and exit code 2.
    """
    usage = f"usage: python -m benchmarks.{script} " + " ".join(f"[{k}={v}]" for k, v in defaults.items())
    if {"--help", "-h"} & set(sys.argv[1:]):
        print((sys.modules["__main__"].__doc__ or "").strip(), usage, sep="\n\n")
        sys.exit(0)
    values = dict(defaults)
    for word in sys.argv[1:]:
        key, sign, text = word.partition("=")
        if not sign:
            wrong(f"expected key=value, got {word!r}. {usage}")
        if key not in defaults:
            wrong(str(unknown("key", key, defaults)))
        kind = type(defaults[key])
        try:
            values[key] = kind(text)
        except ValueError:
            wrong(f"{key}={text}: expected a value of type {kind.__name__}, such as {defaults[key]}.")
    return values


def wrong(sentence: str) -> NoReturn:
    """End with the exit code of a mistake by the user."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)


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
    """Write results/<name>-<date>.md and .json; returns the path of the former."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{machine['date']}.md"
    said = ", ".join(f"{k} {v}" for k, v in machine.items())
    path.write_text(f"# {title}\n\n{said}\n\n{table(rows)}\n" + (f"\n{notes}\n" if notes else ""))
    path.with_suffix(".json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    return path


def report(name: str, title: str, rows: list[dict], machine: dict, notes: str = "") -> None:
    """Save the table and print it."""
    path = save(name, title, rows, machine, notes)
    print(table(rows), notes, f"written to {path}", sep="\n")

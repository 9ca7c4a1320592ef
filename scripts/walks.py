"""Counts what a reader must open on a walk through the code: stops and returns.

    python scripts/walks.py trace OUT -m toto_robot.train_bc demos=SET episodes=0 data.use=2 cache=CACHE
    python scripts/walks.py count demonstration OUT
    python scripts/walks.py rooms [CHECKOUT]

A stop is a function of ours that runs on the walk, at its first call. A return is a stop in a file that was left
before. Checks, the tools of the ground room and the bookkeeping of runs are no stops, because a reader passes them.
`trace` runs Python with a profiler in each of its processes, and writes OUT.PID. `count` reads these files.
`rooms` counts folders, files, imports and lines. recipes/results/house/README.md has the walks with their commands.
"""

import ast
import io
import os
import re
import subprocess
import sys
import tempfile
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
PASSED = re.compile(
    r"__post_init__|:(\w+\.)?_?(check|looks)\w*$|damage"
    r"|/(errors|screen|progress|logs|peak|peak_memory|amx|atomic|precision|statistics|strict|tensors|resume|seeds"
    r"|schedules?|average)\.py"
)
WALKS = {
    "frame": [
        (r"^deploy/cameras/\w+\.py:\w+\.read$", r"FrameSlot\.put$", "."),
        (r"processes/policy\.py:_answer$", r"processes/policy\.py:_answer$", "."),
    ],
    "video": [
        (r"tokenize\.py:main$", r"_Worker\.give$", "^toto_robot/(?!command)"),
        (r"executors\.py:_work$", r"write_shard$", "^toto_robot/(?!command)"),
        (r"pretrain\.py:main$", r"trainer\.py:Trainer\.step$", "^toto_robot/(?!command)"),
    ],
    "demonstration": [
        (
            r"cloning/train\.py:train$",
            r"Demonstrations\.batch$",
            r"^policies/(cloning|features/cache|student)|^demos/store/",
        )
    ],
    "action": [(r"refuse_action$", r"deploy/robots/\w+_robot\.py:\w+\.act$", "^(deploy|envs)/")],
}
"""The parts of each walk: the first call at which a part begins, the return at which it ends, and the files that
count."""
MOST_LINES = 200_000
"""Lines that one process writes."""


def trace(out: str, command: list[str]) -> int:
    """Run `python COMMAND` with the profiler in each of its processes; returns its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        start = f"import runpy\nrunpy.run_path({str(Path(__file__).resolve())!r}, run_name='profiler')\n"
        (Path(folder) / "sitecustomize.py").write_text(start)
        path = os.pathsep.join([folder, str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": path, "WALK_OUT": str(Path(out).resolve())}
        return subprocess.run([sys.executable, *command], env=environment).returncode


def profile() -> None:
    """Write each call and return of a function of ours, once if the same follows itself."""
    import threading

    begins = re.compile("|".join(first for parts in WALKS.values() for first, _, _ in parts))
    names: dict = {}
    file = open(f"{os.environ['WALK_OUT']}.{os.getpid()}", "a", buffering=1)  # noqa: SIM115
    last, lines = "", 0

    def heard(frame, event: str, _) -> None:
        nonlocal last, lines
        if event not in ("call", "return"):
            return
        code = frame.f_code
        if code not in names:
            inside = code.co_filename.startswith(f"{ROOT}/") and not code.co_filename.startswith(f"{ROOT}/.venv/")
            names[code] = f"{code.co_filename[len(str(ROOT)) + 1 :]}:{code.co_qualname}" if inside else ""
        name = names[code]
        # What comes before any walk begins is of no interest.
        if not name or (not lines and not begins.search(name)):
            return
        line = f"{event} {name}\n"
        if line != last:
            last, lines = line, lines + 1
            file.write(line)
        if lines == MOST_LINES:
            sys.setprofile(None)

    sys.setprofile(heard)
    threading.setprofile(heard)


def stops(lines: list[str], first: str, end: str, inside: str) -> list[str]:
    """The stops between the first call of `first` and the next return of `end`, in files that match `inside`."""
    found: list[str] = []
    on = False
    for line in lines:
        event, _, name = line.strip().partition(" ")
        on = on or (event == "call" and re.search(first, name) is not None)
        if not on:
            continue
        # What is defined inside a function belongs to it. A class body runs when its file is imported.
        stop = re.sub(r"\.<locals>\..*$|\.?<\w+>.*$", "", name)
        imported = re.match(r"_?[A-Z]", re.split(r"[:.]", stop)[-1])
        if (
            event == "call"
            and not stop.endswith(":")
            and not imported
            and re.search(inside, stop)
            and not PASSED.search(stop)
        ):
            found += [stop] if stop not in found else []
        if event == "return" and re.search(end, name):
            return found
    return []


def count(walk: str, out: str) -> list[str]:
    """The stops of a walk, from the traces OUT.PID of the commands that it needs."""
    place = Path(out).resolve()
    texts = [path.read_text().splitlines() for path in sorted(place.parent.glob(f"{place.name}.*"))]
    found: list[str] = []
    for part in WALKS[walk]:
        here = max((stops(lines, *part) for lines in texts), key=len, default=[])
        if not here:
            raise SystemExit(
                f"No trace at {out} holds the part of {walk} that begins with {part[0]} and ends with {part[1]}."
            )
        found += [stop for stop in here if stop not in found]
    return found


def told(found: list[str]) -> str:
    """One line for each stay in a file, then the number of stops and returns."""
    lines, seen, returns = [], [], 0
    for stop in found:
        file, _, function = stop.partition(":")
        if not seen or file != seen[-1]:
            returns += file in seen
            lines.append(f"{'again ' if file in seen else ''}{file}: {function}")
            seen.append(file)
        else:
            lines[-1] += f", {function}"
    return "\n".join([*lines, f"{len(found)} stops, {returns} returns, {len(set(seen))} files"])


def rooms(root: Path) -> dict:
    """Numbers of the five packages in `root`: files, folders, imports between them, lines, comments."""
    files = {}
    for package in ("toto_robot", "envs", "policies", "demos", "deploy"):
        for path in sorted((root / package).rglob("*.py")):
            module = path.parent if path.name == "__init__.py" else path.with_suffix("")
            files[".".join(module.relative_to(root).parts)] = path
    arrows, code, comments, lines = set(), 0, 0, 0
    for name, path in files.items():
        text = path.read_text()
        tree, docs = ast.parse(text), set()
        for node in ast.walk(tree):
            used = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                used = [one if one in files else str(node.module) for one in whole]
            arrows |= {(path, files[one]) for one in used if one in files and one != name}
            # A text that stands alone is documentation.
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                docs |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        filled = set()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                comments += not token.string.startswith(("# noqa", "# type:"))
            elif token.string.strip():
                filled |= set(range(token.start[0], token.end[0] + 1))
        code, lines = code + len(filled - docs), lines + len(text.splitlines())
    folders: dict[Path, int] = {}
    for path in files.values():
        folders[path.parent] = folders.get(path.parent, 0) + 1
    package = lambda path: path.relative_to(root).parts[0]
    return {
        "folders": len(folders),
        "files": len(files),
        "files a folder": round(len(files) / len(folders), 1),
        "files in the largest folder": max(folders.values()),
        "arrows between packages": len({(package(a), package(b)) for a, b in arrows if package(a) != package(b)}),
        "arrows between folders": len({(a.parent, b.parent) for a, b in arrows if a.parent != b.parent}),
        "of these, to ground": len({a.parent for a, b in arrows if b.parent.name == "ground" != a.parent.name}),
        "arrows between files": len(arrows),
        "lines": lines,
        "lines of code": code,
        "comments": comments,
        "comments per 100 lines of code": round(100 * comments / code, 2),
    }


if __name__ == "profiler":
    profile()
elif __name__ == "__main__":
    if sys.argv[1:2] == ["trace"] and len(sys.argv) > 3:
        raise SystemExit(trace(sys.argv[2], sys.argv[3:]))
    if sys.argv[1:2] == ["rooms"]:
        for what, number in rooms(Path(*sys.argv[2:3]).resolve() if sys.argv[2:] else ROOT).items():
            print(f"{what:32} {number}")
    elif sys.argv[1:2] == ["count"] and len(sys.argv) == 4 and sys.argv[2] in WALKS:
        print(told(count(*sys.argv[2:])))
    else:
        raise SystemExit(__doc__)

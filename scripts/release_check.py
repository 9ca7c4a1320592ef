"""The checks before a release: wheel, fresh environment, commands, site. Writes scripts/release_check.md.

    python scripts/release_check.py        about a quarter of an hour; everything is made in .release/

The wheel is built and installed into a fresh environment, and the commands run from there in an empty folder, so that a
file that is missing in the wheel is found. Exit code 1 if a check fails; the table then says which.
"""

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".release"
PAGE = ROOT / "scripts/release_check.md"
PYTHON = WORK / "venv/bin/python"
PACKAGES = ("toto_robot", "envs", "policies", "demos", "deploy")
HELP = (
    *(f"toto_robot.{path.stem}" for path in sorted((ROOT / "toto_robot").glob("*.py")) if path.stem != "__init__"),
    *(f"demos.{name}" for name in ("record", "replay", "inspect", "convert")),
    *(f"deploy.{name}" for name in ("run_real", "check", "calibrate", "emulator")),
)


def run(*words, cwd=WORK, **env) -> str:
    """What a command prints on stdout; RuntimeError with the end of its stderr if it fails."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **env},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def wheel() -> str:
    """Builds the wheel; it holds what the commands read, and nothing that belongs to the repository only."""
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", WORK, ROOT)
    (path,) = WORK.glob("*.whl")
    names = zipfile.ZipFile(path).namelist()
    needed = [f"{package}/py.typed" for package in PACKAGES]
    for folder, pattern in (("toto_robot/conf", "*.yaml"), ("toto_robot/weights", "*"), ("policies/weights", "*")):
        needed += [p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob(pattern) if p.is_file()]
    missing = [name for name in needed if name not in names and "__pycache__" not in name]
    foreign = sorted({name.split("/")[0] for name in names if ".dist-info/" not in name} - set(PACKAGES))
    if missing or foreign:
        raise RuntimeError(f"missing in the wheel: {missing[:5]}; not ours to install: {foreign}")
    return f"{path.name}, {len(names)} files, {path.stat().st_size / 1e6:.1f} MB"


def fresh_environment() -> str:
    """Installs the wheel, with the tested versions, into a new environment."""
    run(sys.executable, "-m", "venv", WORK / "venv")
    (path,) = WORK.glob("*.whl")
    run(PYTHON, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", path)
    run(PYTHON, "-m", "pip", "check")
    return f"{len(run(PYTHON, '-m', 'pip', 'list', '--format=freeze').splitlines())} packages, pip check is clean"


def helps() -> str:
    """Every command has a help text."""
    for module in HELP:
        if len(run(PYTHON, "-m", module, "--help").splitlines()) < 3:
            raise RuntimeError(f"{module} --help says nothing")
    return f"{len(HELP)} commands"


def demonstrations() -> str:
    """Records two episodes and replays them."""
    run(PYTHON, "-m", "demos.record", "env=franka_pick", "expert=scripted", "episodes=2", "out=set")
    result = json.loads(run(PYTHON, "-m", "demos.replay", "set").splitlines()[-1])
    if not result["exact"]:
        raise RuntimeError(f"the replay is not exact: {result}")
    return f"{result['steps']} steps, every pixel equal"


def embedded() -> str:
    """The embedded encoder and policy act from the wheel."""
    run(PYTHON, "-m", "toto_robot.evaluate", "bc_cube", "env=franka_cube", "episodes=2")
    code = "import numpy, toto_robot; encoder = toto_robot.load_encoder('toto_tiny'); "
    code += "print(tuple(encoder(numpy.zeros((1, 128, 128, 3), 'uint8')).shape))"
    return f"toto_tiny gives features {run(PYTHON, '-c', code).strip()}, bc_cube ran two episodes"


def site() -> str:
    """The documentation builds without a warning."""
    run(
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-q",
        "-d",
        WORK / "site",
        cwd=ROOT,
        NO_MKDOCS_2_WARNING="1",
    )
    return f"{len(list((WORK / 'site').rglob('*.html')))} pages"


def others() -> str:
    """There is nothing else to ship: a notebook or a container would need a check here."""
    tracked = run("git", "ls-files", cwd=ROOT).splitlines()
    found = [n for n in tracked if n.endswith(".ipynb") or Path(n).name in ("Dockerfile", "Containerfile")]
    if found:
        raise RuntimeError(f"no check covers {found}")
    return "there are none"


CHECKS = {
    "the wheel is complete": wheel,
    "it installs into a fresh environment": fresh_environment,
    "every command has a help text": helps,
    "demonstrations are recorded and replayed": demonstrations,
    "the embedded encoder and policy act": embedded,
    "the documentation builds": site,
    "notebooks and containers": others,
}


def main() -> int:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    commit = run("git", "rev-parse", "--short", "HEAD", cwd=ROOT).strip()
    rows, failed = [], 0
    for name, check in CHECKS.items():
        begun = time.monotonic()
        try:
            verdict, said = "passed", check()
        except RuntimeError as error:
            verdict, said, failed = "**failed**", " ".join(str(error).split()).replace("|", "/"), failed + 1
        rows.append(f"| {name} | {verdict} | {said} | {time.monotonic() - begun:.0f} s |")
        print(rows[-1], flush=True)
    PAGE.write_text(
        "# Release check\n\n"
        f"`make release-check` on {datetime.date.today()} at commit {commit}, Python {platform.python_version()}, "
        f"{os.cpu_count()} CPU cores:\n\n"
        "| check | result | what was found | time |\n|---|---|---|---|\n" + "\n".join(rows) + "\n",
        encoding="utf-8",
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Run folders: their names, their checkpoints, and which one `resume=true` goes on with.

    runs/<env>-<time>/
      config.yaml  spec.yaml  metrics.jsonl  tb/  learning_curve.png  rollouts.mp4  policy/  result.json (when finished)
      checkpoints/round_0007/{data.safetensors, state.safetensors, state.json}

A round's folder appears at once and whole (atomic rename), so the newest one is always valid. Only the newest keeps
`state.safetensors`; `data.safetensors` of every round is kept until the run is finished.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from toto_robot.ground.atomic import atomic_folder, atomic_write_text
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import dump_yaml, read_yaml

RUNS = Path("runs")
SPEC = "spec.yaml"
NOT_COMPARED = ("run", "resume", "device")
"""Keys in which a resumed command may differ from the run's own."""


class Run:
    """One run's folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock: Any = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def finished(self) -> bool:
        return (self.folder / "result.json").exists()

    def config(self) -> dict | None:
        """The run's config, or None when it can't be read."""
        try:
            found = read_yaml(self.folder / "config.yaml")
        except UserError:
            return None
        return found if isinstance(found, dict) else None

    def spec(self) -> dict | None:
        """What the policy's numbers meant when the run began, in plain values; None in a run that didn't keep it."""
        return read_yaml(self.folder / SPEC) if (self.folder / SPEC).exists() else None

    def write_spec(self, values: dict) -> None:
        """Keep what the policy's numbers mean."""
        atomic_write_text(self.folder / SPEC, dump_yaml(values))

    def lock(self) -> bool:
        """Claim the run for this process; False when another one that is alive has it."""
        self._lock = open(self.folder / ".lock", "w")  # noqa: SIM115 (held until the process ends)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            self._lock.close()
            return False

    def unlock(self) -> None:
        """Let another process claim the run."""
        if self._lock is not None:
            self._lock.close()

    def save_round(self, round_: int, data: dict[str, Tensor], state: dict[str, Tensor], facts: dict) -> None:
        """Commit a round: its samples, everything the next round depends on, and what was measured."""
        folder = self._round(round_)
        with atomic_folder(folder) as temporary:
            save_file({k: v.contiguous() for k, v in data.items()}, temporary / "data.safetensors")
            save_file(state, temporary / "state.safetensors")
            (temporary / "state.json").write_text(json.dumps(facts))
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._round(round_ - 1) / "state.safetensors")

    def rounds(self) -> int:
        """How many rounds are committed."""
        count = 0
        while (self._round(count) / "state.json").exists():
            count += 1
        return count

    def data(self, rounds: int) -> Iterator[dict[str, Tensor]]:
        """The samples of the first `rounds` rounds, in order."""
        for round_ in range(rounds):
            yield _load(self._round(round_) / "data.safetensors")

    def state(self, rounds: int) -> tuple[dict[str, Tensor], dict]:
        """The state and the facts after `rounds` rounds."""
        folder = self._round(rounds - 1)
        return _load(folder / "state.safetensors"), json.loads((folder / "state.json").read_text())

    def finish(self, result: dict, keep_data: bool) -> None:
        """Write `result.json`; the data that only resuming needs goes, unless `keep_data`."""
        atomic_write_text(self.folder / "result.json", json.dumps(result, indent=1) + "\n")
        if not keep_data:
            for path in (self.folder / "checkpoints").glob("round_*/data.safetensors"):
                path.unlink()

    def truncate_metrics(self, rounds: int) -> list[dict]:
        """Drop lines of `metrics.jsonl` from rounds that were not committed; returns those that stay."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        kept = []
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # the last line may be torn by a kill
                row = json.loads(line)
                if row["round"] < rounds:
                    kept.append(row)
        atomic_write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        return kept

    def _round(self, round_: int) -> Path:
        return self.folder / "checkpoints" / f"round_{round_:04d}"


def start(name: str | None, env: str, config: Any) -> Run:
    """A new run's folder with `config.yaml`, locked. Raises UserError when a run of that name exists."""
    folder = RUNS / (name or f"{env}-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if name:
            raise UserError(
                f"run={name}: {folder} exists already. Choose another name, or go on with it by resume=true."
            ) from None
        folder = RUNS / f"{folder.name}-{os.getpid()}"
        folder.mkdir(parents=True)
    run = Run(folder)
    run.lock()
    atomic_write_text(folder / "config.yaml", dump_yaml(dataclasses.asdict(config)))
    return run


def resumable(name: str | None, config: Any) -> Run:
    """The newest unfinished run whose config equals `config`, locked; only `name` when that is given.

    Raises UserError that lists the unfinished runs and the first key in which each differs.
    """
    wanted = _comparable(dataclasses.asdict(config))
    defaults = _comparable(_defaults(type(config)))
    reasons = []
    folders = [RUNS / name] if name else sorted(RUNS.glob("*/"), key=lambda f: f.stat().st_mtime, reverse=True)
    for run in map(Run, folders):
        found = run.config()
        if found is None:
            if name:
                reasons.append(f"{run.folder} has no config.yaml")
            continue
        if run.finished:
            if name:
                reasons.append(f"{run.name} is finished")
            continue
        # A run of an earlier version did what the keys that it lacks do by default.
        difference = _difference(wanted, defaults | _comparable(found))
        if difference:
            reasons.append(f"{run.name} differs in {difference}")
        elif not run.lock():
            reasons.append(f"{run.name} is still running")
        else:
            return run
    exists = "; ".join(reasons) if reasons else "there are no unfinished runs in runs/"
    raise UserError(f"resume=true: no unfinished run with this config: {exists}. Leave resume out to start a new run.")


def peak_memory_gb() -> float:
    """Peak resident memory of this process and of its living children, in GB (each one's own peak, added)."""
    pid = os.getpid()
    threads = Path(f"/proc/{pid}/task").glob("*")
    children = [int(child) for thread in threads for child in _text(thread / "children").split()]
    return sum(_peak_kb(p) for p in [pid, *children]) * 1024 / 1e9


def _peak_kb(pid: int) -> int:
    lines = _text(Path(f"/proc/{pid}/status")).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _text(of_proc: Path) -> str:
    try:
        return of_proc.read_text()
    except OSError:  # the thread or process has just ended
        return ""


def _comparable(config: dict) -> dict:
    flat: dict[str, Any] = {}

    def walk(node: dict, prefix: str) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            elif prefix + key not in NOT_COMPARED:
                flat[prefix + key] = value

    walk(config, "")
    return flat


def _defaults(kind: type) -> dict:
    """The defaults of a config's fields, each by itself: together they need not be a config that can be."""
    out = {}
    for field in dataclasses.fields(kind):
        if field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
            out[field.name] = dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
        elif field.default is not dataclasses.MISSING:
            out[field.name] = field.default
    return out


def _difference(wanted: dict, found: dict) -> str | None:
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            return f"{key} ({found.get(key)} there, {wanted.get(key)} asked for)"
    return None


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} can't be read: {error}. Delete the run's folder and start it again.") from error

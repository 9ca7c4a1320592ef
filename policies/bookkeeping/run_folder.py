"""Run folders: their names, their checkpoints, and which one `resume=true` continues.

    runs/<env>-<time>/
      config.yaml  spec.yaml  metrics.jsonl  tb/  learning_curve.png  rollouts.mp4  policy/  result.json (when finished)
      checkpoints/round_0007/{data.safetensors, state.safetensors, state.json}

A round's folder appears at once and whole (atomic rename), so the newest one is always valid. Only the newest one keeps
`state.safetensors`. `data.safetensors` of every round is kept until the run is finished.

On the arrow: `policies.bookkeeping.lifetime` opens a run folder, and the trainers commit their rounds to it.
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
from toto_robot.ground.resume import differences, flat, listed
from toto_robot.ground.screen import cut_log
from toto_robot.ground.strict import dump_yaml, read_yaml

RUNS = Path("runs")
SPEC = "spec.yaml"
MAY_DIFFER = ("run", "resume", "device")
"""Keys in which a resumed command may differ from the run."""


class RunFolder:
    """The folder of one run."""

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
        """The run's config. None if it can't be read."""
        try:
            found = read_yaml(self.folder / "config.yaml")
        except UserError:
            return None
        return found if isinstance(found, dict) else None

    def spec(self) -> dict | None:
        """What the policy's numbers meant when the run began, in plain values. None if the run didn't store it."""
        return read_yaml(self.folder / SPEC) if (self.folder / SPEC).exists() else None

    def write_spec(self, values: dict) -> None:
        """Store what the policy's numbers mean."""
        atomic_write_text(self.folder / SPEC, dump_yaml(values))

    def lock(self) -> bool:
        """Claim the run for this process. Returns False if another living process has it, or if it can't be written."""
        try:
            self._lock = open(self.folder / ".lock", "w")  # noqa: SIM115 (held until the process ends)
        except OSError:
            return False
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
        """Commit a round: its samples `data`, the `state` that the next round depends on, and the measured `facts`."""
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
        """Write `result.json`. Without `keep_data`, delete the data that only resuming needs."""
        atomic_write_text(self.folder / "result.json", json.dumps(result, indent=1) + "\n")
        if not keep_data:
            for path in (self.folder / "checkpoints").glob("round_*/data.safetensors"):
                path.unlink()

    def truncate_metrics(self, rounds: int) -> list[dict]:
        """Drop the lines of `metrics.jsonl` whose rounds were not committed. Returns the lines that stay."""
        return cut_log(self.folder / "metrics.jsonl", lambda row: row["round"] < rounds)

    def _round(self, round_: int) -> Path:
        return self.folder / "checkpoints" / f"round_{round_:04d}"


def start_run(name: str | None, label: str, config: Any) -> RunFolder:
    """A new run's folder with `config.yaml`, locked. Without a `name`, it is called `label`-TIME.

    Raises UserError if a run of that name exists.
    """
    folder = RUNS / (name or f"{label}-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if name and not _only_begun(folder):
            raise UserError(
                f"run={name}: {folder} exists already. Choose another name, or go on with it by resume=true."
            ) from None
        if not name:
            folder = RUNS / f"{folder.name}-{os.getpid()}"
            folder.mkdir(parents=True)
    run = RunFolder(folder)
    if not run.lock():
        raise UserError(f"run={name}: another process has just begun {folder}. Choose another name.")
    atomic_write_text(folder / "config.yaml", dump_yaml(dataclasses.asdict(config)))
    return run


def _only_begun(folder: Path) -> bool:
    """Whether `folder` holds only what a run leaves that was killed before it had a config."""
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())


def resumable_run(name: str | None, config: Any) -> RunFolder:
    """The newest unfinished run whose config equals `config`, locked. With a `name`, only that run is considered.

    Raises UserError that lists the unfinished runs and what differs in each.
    """
    wanted, defaults = dataclasses.asdict(config), flat(_defaults(type(config)))
    reasons = []
    folders = [RUNS / name] if name else sorted(RUNS.glob("*/"), key=_changed, reverse=True)
    for run in map(RunFolder, folders):
        found = run.config()
        if found is None or run.finished:
            if name:
                reasons.append(f"{run.folder} has no config.yaml" if found is None else f"{run.name} is finished")
            continue
        # The config of an earlier version lacks newer keys. That version did what their defaults say.
        if different := differences(defaults | flat(found), wanted, MAY_DIFFER):
            reasons.append(f"{run.name} differs ({listed(different)})")
        elif not run.lock():
            reasons.append(f"{run.name} is still running, or can't be written")
        else:
            return run
    exists = "; ".join(reasons) if reasons else "there are no unfinished runs in runs/"
    raise UserError(f"resume=true: no unfinished run with this config: {exists}. Leave resume out to start a new run.")


def _changed(folder: Path) -> float:
    """The time of the last change of a folder, 0 for one that is gone or that can't be read."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _defaults(kind: type) -> dict:
    """The default of each field of a config class. Together they need not be a valid config."""
    out = {}
    for field in dataclasses.fields(kind):
        if field.default_factory is not dataclasses.MISSING:
            value: Any = field.default_factory()
            nested = dataclasses.is_dataclass(value) and not isinstance(value, type)
            out[field.name] = dataclasses.asdict(value) if nested else value
        elif field.default is not dataclasses.MISSING:
            out[field.name] = field.default
    return out


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} can't be read: {error}. Delete the run's folder and start it again.") from error

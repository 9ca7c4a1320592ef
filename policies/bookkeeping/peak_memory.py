"""How much memory a run took at most, for its result."""

import os
from pathlib import Path


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

"""SIGTERM and SIGHUP end a command as Ctrl-C does: what is finished is saved, and resources are freed.

A batch system sends SIGTERM before it kills, and a terminal that closes sends SIGHUP.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator

ENDINGS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def wanted_endings() -> list[signal.Signals]:
    """SIGTERM and SIGHUP, without those that are ignored (`nohup`)."""
    return [number for number in ENDINGS if signal.getsignal(number) is not signal.SIG_IGN]


@contextlib.contextmanager
def ends_like_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread.

    A signal that somebody ignores (`nohup`) or handles already is left alone.
    """
    ours = threading.current_thread() is threading.main_thread()
    changed = [number for number in ENDINGS if ours and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt

"""Child processes that end with their parent, however the parent ends.

The kernel sends SIGTERM to a child as soon as its parent is gone, and SIGALRM a few seconds later if the child still
runs. Both work while a vendor's library holds the interpreter.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess

PR_SET_PDEATHSIG = 1
GRACE_S = 6
"""Time between the order to end and the kill. In it an arm comes to rest and its control is given back."""


class Stopped:
    """True once this process has been asked to end."""

    def __init__(self):
        self.value = False

    def __bool__(self) -> bool:
        return self.value


def _child(parent: int, target: Callable, args: tuple) -> None:
    stopped = Stopped()

    def stop(*_):
        stopped.value = True
        signal.alarm(GRACE_S)  # the default action of SIGALRM ends the process

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the main process decides
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent died before the line above
        stop()
    target(*args, stopped)


def start(context: SpawnContext, name: str, target: Callable, *args) -> BaseProcess:
    """Runs `target(*args, stopped)` in a child. `stopped` turns true when the child has to end."""
    process = context.Process(target=_child, args=(os.getpid(), target, args), name=name, daemon=True)
    process.start()
    return process


def end(processes: list[BaseProcess]) -> None:
    """Asks all to end, waits, and kills those that are left."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join(GRACE_S + 1)
        if process.is_alive():
            process.kill()
            process.join(1)

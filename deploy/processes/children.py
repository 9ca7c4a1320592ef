"""Children that end with their parent, however that ends.

A child gets SIGTERM from the kernel the moment its parent is gone, and SIGALRM a few seconds later if it is still there:
both work while a vendor's library holds the interpreter.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

PR_SET_PDEATHSIG = 1
GRACE_S = 6
"""Between the order to end and the kill: what it takes to bring an arm to rest and give its control back."""


class Stopped:
    """Truth that turns on when this process is asked to end."""

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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the main process decides
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the line above
        stop()
    target(*args, stopped)


def start(context: BaseContext, name: str, target: Callable, *args) -> BaseProcess:
    """Run `target(*args, stopped)` in a child; `stopped` turns true when it shall end."""
    process = context.Process(target=_child, args=(os.getpid(), target, args), name=name, daemon=True)
    process.start()
    return process


def end(processes: list[BaseProcess]) -> None:
    """Ask all to end, wait, and kill what is left."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join(GRACE_S + 1)
        if process.is_alive():
            process.kill()
            process.join(1)

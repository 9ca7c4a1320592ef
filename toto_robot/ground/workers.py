"""A worker process that holds one object and answers calls of its methods. Both sides need only the standard
library."""

import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from toto_robot.ground.errors import UserError
from toto_robot.ground.places import place_error


class Worker:
    """A spawned process with the object `make(*args)`. `call` sends a call and `result` receives its answer.

    The process ends after `hang_up`, when an error occurs in it, or when this process is gone. If the object has a
    method `close`, the process calls it at its end. `what` names the process in error messages, for example "an
    environment worker".
    """

    def __init__(self, what: str, make: Callable, *args: Any):
        context = get_context("spawn")  # a fork of a process with GL or torch threads can hang
        self.what = what
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, make, args), daemon=True)
        self.process.start()
        theirs.close()

    def call(self, method: str, *args: Any) -> None:
        """Sends a call. Several calls may be on the way; `result` gives their answers in the same order."""
        self._pipe.send((method, args))

    def answers(self, timeout_s: float) -> bool:
        """Whether an answer, or the end of the process, comes within that time."""
        return self._pipe.poll(timeout_s)

    def result(self) -> Any:
        """The next answer. The first one is None and says that the object is ready.

        Raises the UserError of the other process, and RuntimeError for any other error there or if the process died.
        """
        try:
            kind, value = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            self.process.join(timeout=5)
            raise RuntimeError(f"{self.what} died (exit code {self.process.exitcode})") from error
        if kind == "user error":
            raise value
        if kind == "bug":
            raise RuntimeError(f"{self.what} failed:\n{value}")
        return value

    def hang_up(self) -> None:
        """Closes the connection, so the process ends after the call that it is at."""
        self._pipe.close()


def close(workers: Sequence[Worker]) -> None:
    """Ends the processes; safe to call twice. One that does not end within 5 s is killed."""
    for worker in workers:
        worker.hang_up()
    for worker in workers:
        worker.process.join(timeout=5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _serve(pipe: Connection, make: Callable, args: tuple) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):  # the parent decides what Ctrl-C and a closed terminal mean
        signal.signal(number, signal.SIG_IGN)
    served: Any = None
    try:
        served = make(*args)
        pipe.send(("ok", None))
        while True:
            method, arguments = pipe.recv()
            pipe.send(("ok", getattr(served, method)(*arguments)))
    except (EOFError, ConnectionResetError, BrokenPipeError):
        pass  # the parent has closed its end, or is gone
    except UserError as error:
        pipe.send(("user error", error))
    except Exception as error:
        place = place_error(error)
        pipe.send(("user error", place) if place else ("bug", traceback.format_exc()))
    finally:
        close_served = getattr(served, "close", None)
        if close_served is not None:
            close_served()

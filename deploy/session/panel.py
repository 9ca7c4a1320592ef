"""The operator's side: the live line, questions, Ctrl-C."""

import contextlib
import queue
import signal
import sys
import termios
import threading
import time
from typing import Any

from rich.console import Console
from rich.live import Live

from toto_robot.ground.ending import wanted_endings
from toto_robot.ground.screen import EVERY_S


class Panel:
    """A live line on stderr with lines above it; where there is no terminal, the line now and then. Questions are
    answered at the keyboard without stopping the loop."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stderr)
        self._live = Live("", console=self.console, refresh_per_second=5, transient=True)
        self._lines: queue.Queue = queue.Queue()
        self._reader: threading.Thread | None = None
        self._before: dict[signal.Signals, Any] = {}
        """The signal handlers outside this panel."""
        self._shown_s = -EVERY_S
        self.interrupts = 0
        """Number of Ctrl-C, SIGTERM and SIGHUP that nobody has handled yet."""

    def __enter__(self):
        self._before = {s: signal.signal(s, self._interrupt) for s in (signal.SIGINT, *wanted_endings())}
        self._live.start()
        return self

    def __exit__(self, *_):
        self._live.stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, *_) -> None:
        self.interrupts += 1

    def show(self, line: str) -> None:
        """Shows the live line, in rich's markup."""
        if self.console.is_terminal:
            self._live.update(line)
        elif time.monotonic() - self._shown_s >= EVERY_S:
            self._shown_s = time.monotonic()
            self.console.print(line, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def ask(self, text: str) -> None:
        """Puts a question. `reply` gives the answer later. Lines that were typed before the question are dropped."""
        if sys.stdin is not None and sys.stdin.isatty():
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
            with contextlib.suppress(queue.Empty):
                while True:
                    self._lines.get_nowait()
        self.say(text)
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line.strip())
        self._lines.put(None)

    def reply(self) -> tuple[bool, str | None]:
        """(whether there is an answer, the line or None at the end of the input)."""
        try:
            return True, self._lines.get_nowait()
        except queue.Empty:
            return False, None

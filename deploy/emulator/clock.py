"""The two clocks of the emulator. `wait` returns when the next millisecond may pass."""

import threading
import time
from typing import Protocol

KEEPALIVE_S = 0.5
"""A client gives up its robot after 1 s without a state, so in lockstep it gets one after this wait."""


class Clock(Protocol):
    """How the emulator's time passes."""

    name: str
    late_ms: int
    """By how much the emulator is behind the wall's clock."""

    def wait(self, time_ms: int, answered) -> bool:
        """Waits until the next millisecond may pass. True: it passes only to keep a client alive. `answered(timeout_s)`
        waits for the client's answer to the last state, where one is due."""


class RealTime:
    """1 kHz of wall time. On a machine that is too slow the emulator's clock gets late; the delay is not made up
    for."""

    name = "realtime"

    def __init__(self):
        self.late_ms = 0
        self._next_s = time.monotonic()

    def wait(self, time_ms: int, answered) -> bool:
        self._next_s += 0.001
        ahead = self._next_s - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        elif ahead < -0.001:
            self.late_ms += int(-ahead * 1000)
            self._next_s = time.monotonic()
        return False


class Lockstep:
    """Time passes only as far as it has been granted, and while a motion runs only when the client has answered."""

    name = "lockstep"

    def __init__(self):
        self.late_ms = 0
        self._until_ms, self._now_ms = 0, 0
        self._changed = threading.Condition()

    def wait(self, time_ms: int, answered) -> bool:
        end_s = time.monotonic() + KEEPALIVE_S
        answered(KEEPALIVE_S)
        with self._changed:
            self._now_ms = time_ms
            self._changed.notify_all()
            granted = self._changed.wait_for(lambda: self._until_ms > time_ms, max(end_s - time.monotonic(), 0))
        answered(max(end_s - time.monotonic(), 0))  # a motion may have started since
        return not granted

    def grant(self, until_ms: int, alive) -> int:
        """Lets time pass until `until_ms`. Returns the time when that is reached, or when `alive()` turns false."""
        with self._changed:
            self._until_ms = max(self._until_ms, until_ms)
            self._changed.notify_all()
            while self._now_ms < until_ms and alive():
                self._changed.wait(0.5)
            return self._now_ms

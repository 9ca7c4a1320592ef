"""Two ways in which the emulator's time passes; `wait` returns when the next millisecond may, with True where it passes only
to keep a client alive."""

import threading
import time

KEEPALIVE_S = 0.5
"""A client gives its robot up after 1 s without a state, so in lockstep it is sent one after as long a wait."""


class RealTime:
    """1 kHz of wall time. What the machine can't keep up with is not caught up: the emulator's clock is then late."""

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
        """`answered(timeout_s)` waits for the client's answer to the last state, where one is due."""
        end_s = time.monotonic() + KEEPALIVE_S
        answered(KEEPALIVE_S)
        with self._changed:
            self._now_ms = time_ms
            self._changed.notify_all()
            granted = self._changed.wait_for(lambda: self._until_ms > time_ms, max(end_s - time.monotonic(), 0))
        answered(max(end_s - time.monotonic(), 0))  # a motion may have started since
        return not granted

    def grant(self, until_ms: int, alive) -> int:
        """Lets time pass until `until_ms` and returns when it is there, with the time then; or when `alive()` ends."""
        with self._changed:
            self._until_ms = max(self._until_ms, until_ms)
            self._changed.notify_all()
            while self._now_ms < until_ms and alive():
                self._changed.wait(0.5)
            return self._now_ms

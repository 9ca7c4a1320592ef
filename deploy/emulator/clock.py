"""The two clocks of the emulator. `wait` says when the next millisecond may pass."""

import threading
import time
from typing import Protocol

KEEPALIVE_S = 0.5
"""A client gives up its robot after 1 s without a state, so it gets one after this time without a new one."""


class Client(Protocol):
    """What a clock needs of the robot's client."""

    def wait_answered(self, timeout_s: float) -> bool:
        """Waits while the client owes an answer to the last state. False: it still owes it after `timeout_s`."""

    @property
    def hurries(self) -> bool:
        """Whether the client waits for something that takes time, so that it can't ask for time itself."""


class Clock(Protocol):
    """How the emulator's time passes."""

    name: str
    late_ms: int
    """By how much the emulator is behind the wall's clock."""

    def wait(self, time_ms: int, client: Client) -> bool:
        """Waits until the next millisecond may pass. False: it may not, and the client has waited for
        `KEEPALIVE_S`."""

    def wake(self) -> None:
        """The client has sent a command, so `wait` looks again."""


class RealTime:
    """1 kHz of wall time. On a machine that is too slow the emulator's clock gets late; the delay is not made up
    for."""

    name = "realtime"

    def __init__(self):
        self.late_ms = 0
        self._next_s = time.monotonic()

    def wait(self, time_ms: int, client: Client) -> bool:
        self._next_s += 0.001
        ahead = self._next_s - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        elif ahead < -0.001:
            self.late_ms += int(-ahead * 1000)
            self._next_s = time.monotonic()
        return True

    def wake(self) -> None:
        pass


class Lockstep:
    """Time passes only as far as it has been granted, and while a motion runs only when the client has answered.

    How long either takes on the wall's clock changes nothing. Only what a client waits for while it can't ask for time
    passes without a grant: the end of its motion and its error recovery.
    """

    name = "lockstep"

    def __init__(self):
        self.late_ms = 0
        self._until_ms, self._now_ms, self._woken = 0, 0, False
        self._changed = threading.Condition()

    def wait(self, time_ms: int, client: Client) -> bool:
        end_s = time.monotonic() + KEEPALIVE_S
        while client.wait_answered(end_s - time.monotonic()):
            if client.hurries:
                return True
            with self._changed:
                self._now_ms = time_ms
                self._changed.notify_all()
                left_s = max(end_s - time.monotonic(), 0.0)
                if not self._changed.wait_for(lambda: self._woken or self._until_ms > time_ms, left_s):
                    return False
                if not self._woken:
                    return True
                self._woken = False
        return False

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def grant(self, until_ms: int, alive) -> int:
        """Lets time pass until `until_ms`. Returns the time when that is reached, or when `alive()` turns false."""
        with self._changed:
            self._until_ms = max(self._until_ms, until_ms)
            self._changed.notify_all()
            while self._now_ms < until_ms and alive():
                self._changed.wait(0.5)
            return self._now_ms

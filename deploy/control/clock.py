"""The run's clock: the wall's, or the emulated robot's, which stands still until it is granted time.

A servo period is `begin`, then what the arm needs, then `end`. In lockstep `begin` asks for the time and `end` waits
until it has passed, so a client whose loop runs in this process can answer in between.
"""

import time
from typing import Protocol

SERVO_MS = 1


class Clock(Protocol):
    """What the loop needs of a clock."""

    @property
    def lockstep(self) -> bool:
        """Whether time stands still between `end` and the next `begin`."""

    def now_s(self) -> float: ...
    def begin(self, ms: int = SERVO_MS) -> None: ...
    def end(self) -> None: ...


class WallClock:
    """time.monotonic. A servo period is a sleep until the next millisecond."""

    lockstep = False

    def __init__(self):
        self._due_s = time.monotonic()

    def now_s(self) -> float:
        return time.monotonic()

    def begin(self, ms: int = SERVO_MS) -> None:
        now = time.monotonic()
        self._due_s = max(self._due_s + ms / 1000, now)  # a delay is not made up for

    def end(self) -> None:
        time.sleep(max(0.0, self._due_s - time.monotonic()))


class OwnClock:
    """The time of a simulation that this process steps itself, inside `serve`."""

    lockstep = True

    def __init__(self, now_s):
        self.now_s = now_s

    def begin(self, ms: int = SERVO_MS) -> None:
        pass

    def end(self) -> None:
        pass

"""Commands from the keys of a terminal. A terminal reports presses but not releases, so a press lasts a moment."""

import os
import re
import select
import sys
import termios
import time
import tty

import numpy as np

from demos.errors import DemoError
from demos.recording.teleop import DISCARD, DONE, QUIT, TAKE, Command

AXES = {
    "w": (0, 1),
    "s": (0, -1),
    "a": (1, 1),
    "d": (1, -1),
    "r": (2, 1),
    "f": (2, -1),
    "l": (3, 1),
    "j": (3, -1),
    "i": (4, 1),
    "k": (4, -1),
    "q": (5, 1),
    "e": (5, -1),
}
"""{key: (axis, sign)}. Axes 0 to 2 move forward, left and up; axes 3 to 5 turn about them."""
EVENTS = {"t": TAKE, "\r": DONE, "\n": DONE, "\x7f": DISCARD, "\b": DISCARD, "\x1b": QUIT, "\x03": QUIT, "\x04": QUIT}


class Keyboard:
    """A `teleop.Source` on a terminal (or a pseudo-terminal)."""

    help = (
        "w/s forward/back  a/d left/right  r/f up/down  q/e turn  i/k pitch  j/l roll  space gripper  "
        "Enter done  Backspace discard  Esc quit"
    )

    def __init__(self, handle: int | None = None, hold_s: float = 0.15, clock=time.monotonic):
        """`hold_s`: how long a press lasts, in seconds. It is above the repeat interval, so a held key moves evenly."""
        self.handle = sys.stdin.fileno() if handle is None else handle
        if not os.isatty(self.handle):
            raise DemoError(
                "source=keyboard reads keys from a terminal, and standard input is not one; run it in a terminal, "
                "or record with expert=scripted or policy=PATH"
            )
        self.hold_s, self.clock = hold_s, clock
        self._before = termios.tcgetattr(self.handle)
        tty.setcbreak(self.handle)
        self._until = np.full(12, -np.inf)  # end of the press, for each axis and sign
        self._open, self._typed = True, ""

    def read(self) -> Command:
        """What is pressed now. Each event is reported once; what was typed after it is read the next time."""
        event, now = None, self.clock()
        self._typed += self._pressed()
        while self._typed and event is None:
            key, self._typed = self._typed[0].lower(), self._typed[1:]
            event = EVENTS.get(key)
            if key == " ":
                self._open = not self._open
            elif key in AXES:
                axis, sign = AXES[key]
                self._until[2 * axis + (sign < 0)] = now + self.hold_s
        if event in (DONE, DISCARD):
            self._open, self._until = True, np.full(12, -np.inf)
        pushed = (self._until > now).astype(float)
        axes = pushed[0::2] - pushed[1::2]
        return Command(axes[:3], axes[3:], self._open, event)

    def _pressed(self) -> str:
        """What was typed since then, without the sequences of arrow and function keys (they begin with Esc)."""
        text = b""
        while select.select([self.handle], [], [], 0)[0]:
            part = os.read(self.handle, 1024)
            if not part:
                return "\x04"  # the terminal is gone
            text += part
        return re.sub(r"\x1b[\[O][0-9;]*[A-Za-z~]", "", text.decode("ascii", "ignore"))

    def close(self) -> None:
        """Restore the settings of the terminal."""
        termios.tcsetattr(self.handle, termios.TCSADRAIN, self._before)

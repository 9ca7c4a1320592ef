"""Commands from a 3Dconnexion SpaceMouse, through the optional package `hidapi`.

Its HID reports, little-endian: id 1, three int16 of translation (x right, y towards the person, z down) and on newer
models three more of rotation behind them; id 2, three int16 of rotation about the same axes; id 3, a bit for each
button. Full deflection is about 350.
"""

import struct

import numpy as np

from demos.errors import DemoError
from demos.recording.teleop import DISCARD, DONE, Command

VENDORS = {0x256F: "3Dconnexion", 0x046D: "Logitech (the older 3Dconnexion)"}
FULL, DEAD = 350.0, 0.08
_TO_BASE = np.array([[0, -1, 0], [-1, 0, 0], [0, 0, -1.0]])
"""Device axes (right, back, down) → robot axes (forward, left, up): a rotation, so it serves both kinds of motion."""


class Reports:
    """The state of the device, from its reports."""

    def __init__(self):
        self.axes = np.zeros(6)
        """Translation and rotation in the device's axes, -1 to 1, before the dead zone."""
        self.buttons = 0

    def feed(self, report: bytes | list[int]) -> None:
        """Take one report. A report that is cut short, or of another kind, changes nothing."""
        data = bytes(report)
        if len(data) >= 7 and data[0] in (1, 2):
            values = struct.unpack_from("<3h", data, 1)
            first = 0 if data[0] == 1 else 3
            self.axes[first : first + 3] = np.clip(np.array(values) / FULL, -1, 1)
            if data[0] == 1 and len(data) >= 13:
                self.axes[3:] = np.clip(np.array(struct.unpack_from("<3h", data, 7)) / FULL, -1, 1)
        elif len(data) >= 2 and data[0] == 3:
            self.buttons = int.from_bytes(data[1:5], "little")

    def motion(self) -> tuple[np.ndarray, np.ndarray]:
        """(velocity, spin) in the axes of the robot, (3,) each, -1 to 1. The edge of the dead zone makes no jump."""
        size = np.abs(self.axes)
        axes = np.sign(self.axes) * np.maximum(size - DEAD, 0) / (1 - DEAD)
        return _TO_BASE @ axes[:3], _TO_BASE @ axes[3:]


class SpaceMouse:
    """A `teleop.Source`: the first button opens or closes the gripper, the second ends the episode, both discard it."""

    help = "push, pull and twist the cap; first button gripper; second button done; both discard; Ctrl-C quits"

    def __init__(self, device=None):
        """`device`: an open, non-blocking hid.device; by default the first SpaceMouse that is plugged in."""
        self.device = device if device is not None else _open()
        self.reports, self._held, self._both, self._open = Reports(), 0, False, True

    def read(self) -> Command:
        while report := self.device.read(64):
            self.reports.feed(report)
        held, event = self.reports.buttons, None
        self._both |= held & 3 == 3
        released = self._held & ~held
        if self._both and not held & 3:
            event, self._both = DISCARD, False
        elif not self._both and released & 2:
            event = DONE
        elif not self._both and released & 1:
            self._open = not self._open
        if event:
            self._open = True
        self._held = held
        velocity, spin = self.reports.motion()
        return Command(velocity, spin, self._open, event)

    def close(self) -> None:
        self.device.close()


def _open():
    try:
        import hid
    except ImportError as error:
        raise DemoError(
            "source=spacemouse needs the package hidapi: pip install hidapi (or use source=keyboard)"
        ) from error
    found = [
        d for d in hid.enumerate() if d["vendor_id"] in VENDORS and "space" in (d.get("product_string") or "").lower()
    ]
    if not found:
        seen = ", ".join(sorted({d.get("product_string") or "?" for d in hid.enumerate()})) or "no HID device at all"
        raise DemoError(
            f"no SpaceMouse found; plugged in: {seen}. On Linux the user must be allowed to read /dev/hidraw*."
        )
    device = hid.device()
    device.open_path(found[0]["path"])
    device.set_nonblocking(1)
    return device

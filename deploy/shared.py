"""What the processes of a run share without waiting for each other: the newest frame, the robot's recent states, physics.

Memory comes from multiprocessing's anonymous arenas, so nothing is left behind however the program ends. Each has one
writer; readers take a copy and read again when the writer came between. All times are of the run's clock, in seconds.
"""

import ctypes
import time
from multiprocessing.context import BaseContext

import numpy as np

TRIES = 1000


class Block:
    """`size` float64 with one writer: `write` puts all of them, `read` gives a whole copy."""

    def __init__(self, context: BaseContext, size: int):
        self.raw = context.RawArray(ctypes.c_double, size + 1)

    def _view(self) -> np.ndarray:
        return np.frombuffer(self.raw, np.float64)

    @property
    def version(self) -> int:
        """How often it was written; 0 for never."""
        return int(self._view()[0]) // 2

    def write(self, values) -> None:
        view = self._view()
        view[0] += 1  # odd: being written
        view[1:] = values
        view[0] += 1

    def read(self) -> np.ndarray:
        view = self._view()
        for _ in range(TRIES):
            before = view[0]
            values = view[1:].copy()
            if before == view[0] and before % 2 == 0:
                return values
            time.sleep(1e-5)
        raise RuntimeError("the writer of a shared block stopped in the middle of a write")


class FrameSlot:
    """The newest frame of a camera: `rgb` uint8 (H, W, 3), when it was captured, its number, and how many were read."""

    def __init__(self, context: BaseContext, shape: tuple[int, int, int]):
        self.shape = shape
        self.pixels = context.RawArray(ctypes.c_uint8, int(np.prod(shape)))
        self.head = Block(context, 3)
        """captured_s, sequence, and reads: how many times the camera was asked, frames or not."""
        self.busy = context.RawValue(ctypes.c_longlong, 0)

    def put(self, rgb: np.ndarray, captured_s: float, sequence: int, reads: int) -> None:
        self.busy.value += 1
        np.frombuffer(self.pixels, np.uint8)[:] = rgb.reshape(-1)
        self.head.write((captured_s, sequence, reads))
        self.busy.value += 1

    def answered(self, reads: int) -> None:
        """The camera was asked `reads` times; the frame is as it was."""
        captured_s, sequence, _ = self.head.read()
        self.head.write((captured_s, sequence, reads))

    def latest(self) -> tuple[float, int, int]:
        """captured_s, sequence and reads; sequence is -1 before the first frame."""
        captured_s, sequence, reads = self.head.read()
        return float(captured_s), int(sequence) if self.busy.value else -1, int(reads)

    def get(self) -> tuple[np.ndarray, float, int]:
        """A copy of the frame, its capture time and its number."""
        for _ in range(TRIES):
            before = self.busy.value
            rgb = np.frombuffer(self.pixels, np.uint8).reshape(self.shape).copy()
            captured_s, sequence, _ = self.head.read()
            if before == self.busy.value and before % 2 == 0:
                return rgb, float(captured_s), int(sequence)
            time.sleep(1e-4)
        raise RuntimeError("the camera's process stopped in the middle of a frame")


class History:
    """The robot's recent states: time_s, then J joint positions, J speeds and the gripper's width, newest last."""

    def __init__(self, context: BaseContext, joints: int, length: int = 1024):
        self.joints, self.length = joints, length
        self.raw = context.RawArray(ctypes.c_double, length * (2 * joints + 2))
        self.count = context.RawValue(ctypes.c_longlong, 0)

    def _rows(self) -> np.ndarray:
        return np.frombuffer(self.raw, np.float64).reshape(self.length, -1)

    def add(self, time_s: float, q_rad, dq_rad_s, width_m: float) -> None:
        count = self.count.value
        row, J = self._rows()[count % self.length], self.joints
        row[0], row[1:J + 1], row[J + 1:2 * J + 1], row[-1] = time_s, q_rad, dq_rad_s, width_m
        self.count.value = count + 1

    def rows(self) -> np.ndarray:
        """(n, 2 J + 2) whole rows, oldest first; the few that the writer may be at are left out."""
        count = self.count.value
        copy = self._rows().copy()
        first = max(0, self.count.value + 1 - self.length)
        return copy[np.arange(first, count) % self.length] if count > first else copy[:0]

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray, float, float]:
        """q (J,), dq (J,), width and the width's rate of change at `time_s`, interpolated between the states around it; the
        first or the last one for a time outside. LookupError before the first state."""
        rows = self.rows()
        if not len(rows):
            raise LookupError("the robot has not told its state yet")
        J, times = self.joints, rows[:, 0]
        row = np.array([np.interp(time_s, times, column) for column in rows[:, 1:].T])
        width = lambda t: np.interp(t, times, rows[:, -1])  # noqa: E731
        span = min(0.05, max(time_s - times[0], 0.0))
        rate = (row[-1] - width(time_s - span)) / span if span > 1e-9 else 0.0
        return row[:J], row[J:2 * J], float(row[-1]), float(rate)

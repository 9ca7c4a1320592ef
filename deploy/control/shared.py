"""What the processes of a run share without waiting for each other: the newest frame, the robot's recent states,
physics.

The memory comes from multiprocessing's anonymous arenas, so nothing is left behind however the program ends. Each block
has one writer. It fills one of two places while readers use the other, so a writer that stops in the middle blocks
nobody. All times are on the run's clock, in seconds.
"""

import ctypes
from multiprocessing.context import BaseContext

import numpy as np


class Block:
    """`size` numbers of one type with one writer. `write` sets all of them, `read` gives a consistent copy."""

    def __init__(self, context: BaseContext, size: int, kind=ctypes.c_double):
        self.size, self.kind = size, kind
        self.raw, self.count = context.RawArray(kind, 2 * size), context.RawValue(ctypes.c_longlong, 0)

    def _places(self) -> np.ndarray:
        return np.frombuffer(self.raw, self.kind).reshape(2, self.size)

    @property
    def version(self) -> int:
        """How often it was written."""
        return self.count.value

    def write(self, values) -> None:
        self._places()[(self.count.value + 1) % 2] = values
        self.count.value += 1

    def read(self) -> np.ndarray:
        places = self._places()
        while True:
            before = self.count.value
            values = places[before % 2].copy()
            if self.count.value == before:  # otherwise the writer may have reached this place again
                return values


class FrameSlot:
    """The newest frame of a camera: `rgb` uint8 (H, W, 3), when it was captured, and its number."""

    def __init__(self, context: BaseContext, shape: tuple[int, int, int]):
        self.shape = shape
        self.block = Block(context, int(np.prod(shape)) + 16, ctypes.c_uint8)
        self.head = Block(context, 2)
        self.reads = context.RawValue(ctypes.c_longlong, 0)
        """How many times the camera was read, whether a frame came or not."""

    def put(self, rgb: np.ndarray, captured_s: float, sequence: int, reads: int) -> None:
        head = np.array([captured_s, sequence], np.float64)
        self.block.write(np.concatenate([np.asarray(rgb, np.uint8).reshape(-1), head.view(np.uint8)]))
        self.head.write(head)
        self.reads.value = reads

    def answered(self, reads: int) -> None:
        """Records that the camera was read `reads` times without a new frame."""
        self.reads.value = reads

    def latest(self) -> tuple[float, int, int]:
        """captured_s, sequence and reads. sequence is -1 before the first frame."""
        reads = self.reads.value
        captured_s, sequence = self.head.read()
        return float(captured_s), int(sequence) if self.head.version else -1, reads

    def get(self) -> tuple[np.ndarray, float, int]:
        """A copy of the frame, its capture time and its number."""
        values = self.block.read()
        captured_s, sequence = values[-16:].view(np.float64)
        return values[:-16].reshape(self.shape), float(captured_s), int(sequence)


class History:
    """The robot's recent states: time_s, then J joint positions, J speeds and the gripper's width, newest last."""

    def __init__(self, context: BaseContext, joints: int, length: int = 1024):
        self.joints, self.length = joints, length
        self.raw = context.RawArray(ctypes.c_double, length * (2 * joints + 2))
        self.count = context.RawValue(ctypes.c_longlong, 0)
        self.start = context.RawValue(ctypes.c_longlong, 0)

    def _rows(self) -> np.ndarray:
        return np.frombuffer(memoryview(self.raw), np.float64).reshape(self.length, -1)

    def add(self, time_s: float, q_rad, dq_rad_s, width_m: float) -> None:
        count = self.count.value
        row, J = self._rows()[count % self.length], self.joints
        row[0], row[1 : J + 1], row[J + 1 : 2 * J + 1], row[-1] = time_s, q_rad, dq_rad_s, width_m
        self.count.value = count + 1

    def forget(self) -> None:
        """Drops the states so far, because the scene was put in another state."""
        self.start.value = self.count.value

    def rows(self) -> np.ndarray:
        """(n, 2 J + 2) complete rows, oldest first. The few rows that the writer may be changing are left out."""
        count, start = self.count.value, self.start.value
        copy = self._rows().copy()
        first = max(start, self.count.value + 1 - self.length)
        return copy[np.arange(first, count) % self.length] if count > first else copy[:0]

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray, float, float]:
        """q (J,), dq (J,), width and the width's rate of change at `time_s`, interpolated between the states around it.

        A time outside gives the first or the last state. Raises LookupError before the first state.
        """
        rows = self.rows()
        if not len(rows):
            raise LookupError("the robot has not reported its state yet")
        J, times = self.joints, rows[:, 0]
        row = np.array([np.interp(time_s, times, column) for column in rows[:, 1:].T])
        width = lambda t: np.interp(t, times, rows[:, -1])
        span = min(0.05, max(time_s - times[0], 0.0))
        rate = (row[-1] - width(time_s - span)) / span if span > 1e-9 else 0.0
        return row[:J], row[J : 2 * J], float(row[-1]), float(rate)

"""A camera with injected faults that the deploy loop has to notice, for tests and the soak."""

import re
import time
from collections import deque
from dataclasses import replace

import numpy as np

from deploy.cameras.base import Camera, CameraError, CameraLost, Frame

FAULTS = {
    "freeze": "the last good frame again and again, with its number and its time",
    "stuck": "the last good picture with new numbers and times, as from a sensor with frozen firmware",
    "drop": "no frame",
    "delay": "each frame is handed out 5 frames late",
    "corrupt": "noise over the lower half, as from a torn transfer",
    "lost": "the device is gone",
}
LATE = 5


def parse(text: str) -> tuple[str, int, float]:
    """(name, first frame, frame after the last) of `freeze@20-40`, or of `freeze@20`, which has no end."""
    match = re.fullmatch(r"(\w+)@(\d+)(?:-(\d+))?", text)
    if not match or match[1] not in FAULTS:
        raise CameraError(
            f"faults: expected NAME@FIRST or NAME@FIRST-END with frames counted from 0, got {text!r}; NAME is "
            + "; ".join(f"{name}: {means}" for name, means in FAULTS.items())
        )
    return match[1], int(match[2]), int(match[3]) if match[3] else float("inf")


class FaultyCamera:
    """`camera` with `faults` (see `parse`). If several are on, the first one acts."""

    def __init__(self, camera: Camera, faults: list[str]):
        self.camera, self.faults = camera, [parse(text) for text in faults]
        self.features = camera.features
        self._good: Frame | None = None
        """The last frame before a fault that repeats it."""
        self._past: deque[Frame] = deque(maxlen=LATE + 1)
        self._seen = -1
        """The number of the newest frame, counted from `open` on."""

    @property
    def intrinsics(self):
        return self.camera.intrinsics

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def open(self) -> None:
        self.camera.open()
        self._good, self._seen = None, -1
        self._past.clear()

    def close(self) -> None:
        self.camera.close()

    def read(self, timeout_s: float) -> Frame:
        deadline_s = time.monotonic() + timeout_s
        while True:
            frame = self.camera.read(max(0.0, deadline_s - time.monotonic()))
            fresh = not self._past or frame.sequence != self._past[-1].sequence
            if fresh:
                self._past.append(frame)
                self._seen += 1
            fault = next((name for name, first, end in self.faults if first <= self._seen < end), None)
            if fault != "drop":
                return self._spoil(fault, frame)
            if time.monotonic() >= deadline_s:
                raise CameraLost(
                    f"camera {self.features.name}: no new frame within {timeout_s:g} s (dropped on purpose)"
                )
            if not fresh:
                time.sleep(1e-3)

    def _spoil(self, fault: str | None, frame: Frame) -> Frame:
        if fault == "lost":
            raise CameraLost(f"camera {self.features.name}: gone (on purpose)")
        if fault in ("freeze", "stuck"):
            self._good = self._good or frame
            return self._good if fault == "freeze" else replace(frame, rgb=self._good.rgb.copy())
        if fault == "delay":
            return self._past[0]
        if fault == "corrupt":
            rgb, half = frame.rgb.copy(), frame.rgb.shape[0] // 2
            rgb[half:] = np.random.default_rng(frame.sequence).integers(0, 256, rgb[half:].shape, np.uint8)
            return replace(frame, rgb=rgb)
        self._good = frame
        return frame

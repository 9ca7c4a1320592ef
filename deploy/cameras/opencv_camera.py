"""A camera that OpenCV can open: a USB camera by index or device path, or a network stream by its address."""

import threading
import time
from typing import Any

import numpy as np

from deploy.cameras.base import BaseCamera, CameraConfig, CameraLost, Frame, Newest


class OpencvCamera(BaseCamera):
    """A thread reads all the time and keeps the newest frame. Its time is that of the grab, before it is decoded.

    OpenCV gives no capture time. The time for the sensor, the cable and the driver comes in addition (about 30 to 170
    ms with USB cameras), and a program can't measure it here.
    """

    def __init__(self, config: CameraConfig):
        super().__init__(config)
        self._capture: Any = None
        self._convert: Any = None
        """cvtColor and its code, from OpenCV's colours to RGB."""
        self._newest, self._closing = Newest(), threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        try:
            import cv2
        except ImportError as error:
            raise self.error(f"OpenCV is not installed ({error}); pip install opencv-python-headless") from error
        device, self._convert = self.config.device or "0", (cv2.cvtColor, cv2.COLOR_BGR2RGB)
        self._capture = cv2.VideoCapture(int(device) if device.isdigit() else device)
        if not self._capture.isOpened():
            raise self.error(
                f"OpenCV can't open {device!r}; expected an index, a path or an address; on Linux `ls "
                "/dev/video*` lists the cameras, and reading one may need the group `video`"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # otherwise a slow reader gets old frames; some drivers ignore it
        if self.config.fourcc:  # before size and rate, which depend on it
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self.config.fourcc))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, self.config.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self.config.height)
        self._capture.set(cv2.CAP_PROP_FPS, self.config.fps)
        got = tuple(int(self._capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if got != (self.config.width, self.config.height):
            self._capture.release()
            raise self.error(
                f"asked for {self.config.width}×{self.config.height} pixels, it gives {got[0]}×{got[1]}; set "
                "width and height to a size that the camera has (`v4l2-ctl --list-formats-ext` lists them)"
            )
        given = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).decode("latin-1")
        if self.config.fourcc and given != self.config.fourcc:
            self._capture.release()
            raise self.error(
                f"asked for the pixel format {self.config.fourcc}, it gives {given!r}; set fourcc to one that the "
                "camera has at this size (`v4l2-ctl --list-formats-ext` lists them), or leave it out"
            )
        self._newest, self._closing = Newest(), threading.Event()
        self._thread = threading.Thread(target=self._grab, name=f"camera {self.config.name}", daemon=True)
        self._thread.start()

    def _grab(self) -> None:
        sequence = 0
        while not self._closing.is_set():
            if not self._capture.grab():
                return self._newest.end(f"gave no frame after {sequence}: unplugged, or at its end")
            captured_s = time.monotonic()
            fine, bgr = self._capture.retrieve()
            if fine:
                self._newest.put((bgr, captured_s, sequence))
            sequence += 1

    def read(self, timeout_s: float) -> Frame:
        try:
            bgr, captured_s, sequence = self._newest.take(timeout_s)
        except LookupError as error:
            raise self.error(str(error), CameraLost) from error
        convert, code = self._convert
        return Frame(self.config.picture(convert(np.ascontiguousarray(bgr), code)), captured_s, sequence)

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._closing.set()
            thread.join()
            self._capture.release()

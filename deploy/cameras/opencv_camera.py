"""A camera that OpenCV can open: a USB camera by index or device path, or a network stream by its address."""

import threading
import time

import numpy as np

from deploy.cameras.base import BaseCamera, CameraLost, Frame, Newest


class OpencvCamera(BaseCamera):
    """A thread reads all the time and keeps the newest frame, stamped when it was grabbed, before it was decoded.

    OpenCV gives no capture time: what the sensor, the cable and the driver take (some 30 to 170 ms with USB cameras)
    comes on top, and no program can see it from here.
    """

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
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # else a slow reader gets old frames; not every driver obeys
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
        if hasattr(self, "_thread"):
            self._closing.set()
            self._thread.join()
            self._capture.release()
            del self._thread

"""A video file instead of a camera. Its frames come at their own times, and frames that nobody reads in time are
dropped."""

import time
from collections.abc import Iterator
from typing import Any

from deploy.cameras.base import BaseCamera, CameraLost, Frame
from toto_robot.video.decode import VideoError, iter_frames


class VideoCamera(BaseCamera):
    """Plays a file at its own rate from `open` on. At its end `read` raises CameraLost. `fps` of the config is not
    used."""

    physical = False  # a film may repeat a picture

    def __init__(self, config, clock=time.monotonic, sleep=time.sleep):
        super().__init__(config)
        if config.crop != "center":
            raise self.error(
                f"a video file is decoded to the square in its middle, got crop={config.crop!r}; use crop=center"
            )
        self._clock, self._sleep, self._start_s = clock, sleep, 0.0
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._waiting: Any = None
        """(number, (time, frame)) of the next frame."""

    def open(self) -> None:
        self._frames = enumerate(iter_frames(self.config.device, self.config.size))
        self._waiting = self._next()
        self._start_s = self._clock()

    def _next(self):
        try:
            return next(self._frames, None)
        except VideoError as error:
            raise self.error(str(error)) from error

    def read(self, timeout_s: float) -> Frame:
        deadline_s, due = self._clock() + timeout_s, None
        while due is None:
            now_s = self._clock()
            while self._waiting and self._start_s + self._waiting[1][0] <= now_s:
                due, self._waiting = self._waiting, self._next()
            if due is None and self._waiting is None:
                raise self.error("the video is at its end", CameraLost)
            if due is None and now_s >= deadline_s:
                raise self.error(f"no new frame within {timeout_s:g} s", CameraLost)
            if due is None:
                self._sleep(max(0.0, min(self._start_s + self._waiting[1][0], deadline_s) - now_s))
        sequence, (time_s, rgb) = due
        return Frame(rgb, self._start_s + time_s, sequence)

    def close(self) -> None:
        self._frames, self._waiting = iter(()), None

"""An Intel RealSense: its colour sensor through librealsense, with the sensor's own time stamps and lens."""

import time
from typing import Any

import numpy as np

from deploy.cameras.base import BaseCamera, CameraLost, Frame
from deploy.cameras.intrinsics import Intrinsics


class RealsenseCamera(BaseCamera):
    """librealsense keeps the newest frame in a queue of length one. `device`, a `pyrealsense2.device`, replaces the one
    with the serial number `config.device` (or the only one)."""

    def __init__(self, config, device=None):
        super().__init__(config)
        self._device = device
        self._rs: Any = None
        self._queue: Any = None
        self._sensor: Any = None

    def open(self) -> None:
        try:
            import pyrealsense2 as rs
        except ImportError as error:
            raise self.error(
                f"pyrealsense2 can't be imported ({error}); pip install pyrealsense2, and on Debian and Ubuntu "
                "apt install libusb-1.0-0"
            ) from error
        self._rs = rs
        device = self._device or self._find()
        sensor, profile = self._profile(device)
        lens = profile.get_intrinsics()
        own = Intrinsics(lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy, tuple(lens.coeffs))
        self.intrinsics = (self.config.intrinsics or own).cropped(self.config.crop, self.config.size)
        self._queue = rs.frame_queue(1)
        try:
            sensor.open(profile)
            sensor.start(self._queue)
        except RuntimeError as error:
            raise self.error(f"can't start the colour stream ({error}); another program may hold the camera") from error
        self._sensor = sensor

    def _find(self):
        serial = self._rs.camera_info.serial_number
        found = {device.get_info(serial): device for device in self._rs.context().query_devices()}
        wanted = self.config.device or (next(iter(found)) if len(found) == 1 else "")
        if wanted not in found:
            raise self.error(
                f"expected the serial number of a RealSense; connected are: {', '.join(found) or 'none'}; "
                "check the USB 3 cable, and that the user may read the device (librealsense's udev rules)"
            )
        return found[wanted]

    def _profile(self, device):
        """(sensor, stream profile) for RGB at the configured size and rate."""
        rs, c, have = self._rs, self.config, []
        for sensor in device.query_sensors():
            for profile in sensor.get_stream_profiles():
                if profile.stream_type() == rs.stream.color and profile.format() == rs.format.rgb8:
                    video = profile.as_video_stream_profile()
                    have.append((video.width(), video.height(), video.fps()))
                    if have[-1] == (c.width, c.height, round(c.fps)):
                        return sensor, video
        listing = ", ".join(f"{w}×{h} at {fps}" for w, h, fps in sorted(set(have))) or "none (no colour sensor)"
        raise self.error(
            f"it has no colour stream of {c.width}×{c.height} at {c.fps:g} frames a second; it has: {listing}"
        )

    def read(self, timeout_s: float) -> Frame:
        try:
            frame = self._queue.wait_for_frame(int(timeout_s * 1000))
        except RuntimeError as error:
            raise self.error(f"no new frame within {timeout_s:g} s ({error})", CameraLost) from error
        rgb = np.asanyarray(frame.get_data()).copy()  # librealsense uses the memory again
        return Frame(self.config.picture(rgb), self._captured_s(frame), frame.get_frame_number())

    def _captured_s(self, frame) -> float:
        """The frame's own time on our clock, because librealsense maps a sensor's clock to the system's. Without that
        (global time switched off, or no metadata) the time at which the frame came."""
        domains = self._rs.timestamp_domain
        if frame.get_frame_timestamp_domain() in (domains.system_time, domains.global_time):
            return frame.get_timestamp() / 1000 - (time.time() - time.monotonic())
        return time.monotonic()

    def close(self) -> None:
        if self._sensor is not None:
            self._sensor.stop()
            self._sensor.close()
            self._sensor = None

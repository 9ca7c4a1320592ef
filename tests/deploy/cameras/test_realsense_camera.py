"""The real librealsense with a software device instead of a camera: everything but the USB cable."""

import time

import pytest
from pictures import number, picture

from deploy.cameras.base import CameraConfig, CameraError, CameraLost
from deploy.cameras.realsense_camera import RealsenseCamera

rs = pytest.importorskip(
    "pyrealsense2", reason="pyrealsense2 (and libusb-1.0-0) is not installed", exc_type=ImportError
)
WIDTH, HEIGHT = 128, 96
CONFIG = CameraConfig(kind="realsense", width=WIDTH, height=HEIGHT, fps=30, size=64)


class Soft:
    """A software device with one RGB stream; `push` is the sensor taking a picture."""

    def __init__(self):
        self.device = rs.software_device()
        self.sensor = self.device.add_sensor("RGB Camera")
        stream = rs.video_stream()
        stream.type, stream.fmt, stream.uid, stream.index = rs.stream.color, rs.format.rgb8, 1, 0
        stream.width, stream.height, stream.fps, stream.bpp = WIDTH, HEIGHT, 30, 3
        lens = rs.intrinsics()
        lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy = WIDTH, HEIGHT, 100.0, 101.0, 63.5, 47.5
        lens.model, lens.coeffs = rs.distortion.brown_conrady, [0.1, -0.05, 0.0, 0.0, 0.0]
        stream.intrinsics = lens
        self.profile = self.sensor.add_video_stream(stream).as_video_stream_profile()
        self.pictures = []  # librealsense keeps a pointer

    def push(self, n, time_ms=None, domain=None):
        frame = rs.software_video_frame()
        self.pictures.append(picture(n, HEIGHT, WIDTH))
        frame.pixels, frame.stride, frame.bpp, frame.profile = self.pictures[-1], 3 * WIDTH, 3, self.profile
        frame.timestamp = 1000 * time.time() if time_ms is None else time_ms
        frame.domain = domain or rs.timestamp_domain.system_time
        frame.frame_number = n
        self.sensor.on_video_frame(frame)


@pytest.fixture
def soft():
    return Soft()


@pytest.fixture
def camera(soft):
    with RealsenseCamera(CONFIG, soft.device) as camera:
        yield camera


def test_the_newest_frame_wins_with_the_sensors_number(soft, camera):
    for n in (3, 4, 7):
        soft.push(n)
    frame = camera.read(1.0)
    assert (number(frame.rgb), frame.sequence, frame.rgb.shape) == (7, 7, (64, 64, 3))
    with pytest.raises(CameraLost, match="no new frame within 0.01 s"):
        camera.read(0.01)


def test_a_frame_keeps_its_pixels_while_the_library_goes_on(soft, camera):
    soft.push(1)
    frame = camera.read(1.0)
    for n in range(2, 20):
        soft.push(n)
    assert number(frame.rgb) == 1


def test_capture_time_is_the_sensors_on_our_clock(soft, camera):
    soft.push(1, 1000 * (time.time() - 0.25))
    assert time.monotonic() - camera.read(1.0).captured_s == pytest.approx(0.25, abs=0.2)
    began_s = time.monotonic()
    soft.push(2, 12345.0, rs.timestamp_domain.hardware_clock)
    assert began_s <= camera.read(1.0).captured_s <= time.monotonic()


def test_the_factory_calibration_becomes_that_of_the_cropped_frame(camera):
    assert camera.intrinsics.fx_px == pytest.approx(100 * 64 / 96)
    assert camera.intrinsics.cx_px == pytest.approx(31.5)
    assert camera.intrinsics.distortion[:2] == pytest.approx((0.1, -0.05))


def test_a_stream_that_it_does_not_have_is_answered_with_those_it_has(soft):
    with pytest.raises(CameraError, match="no colour stream of 640×480 at 30.*it has: 128×96 at 30"):
        RealsenseCamera(CameraConfig(kind="realsense"), soft.device).open()


def test_no_camera_is_said_with_what_is_connected():
    with pytest.raises(CameraError, match="connected are: none"):
        RealsenseCamera(CameraConfig(kind="realsense", device="no such serial number")).open()


def test_it_opens_again_after_closing(soft):
    camera = RealsenseCamera(CONFIG, soft.device)
    for n in (1, 2):
        with camera:
            soft.push(n)
            assert number(camera.read(1.0).rgb) == n

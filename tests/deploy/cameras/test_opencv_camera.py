"""OpenCV's own VideoCapture with a file instead of a device: the whole backend without the driver."""

import threading
import time

import numpy as np
import pytest
from pictures import number, picture

from deploy.cameras.base import CameraConfig, CameraError, CameraLost
from deploy.cameras.registry import make
from toto_robot.video.decode import write_video

pytest.importorskip("cv2", reason="opencv-python-headless is not installed")


@pytest.fixture
def film(tmp_path):
    """A video of 20 numbered pictures; a path."""
    return str(write_video(tmp_path / "film.mp4", np.stack([picture(i) for i in range(20)]), fps=30))


def config(film, **changes):
    return CameraConfig(kind="opencv", device=film, width=128, height=96, size=64, **changes)


def test_the_newest_frame_wins_and_then_the_end_is_told(film):
    with make(config(film)) as camera:
        camera._thread.join()  # the reader has gone through the file
        frame = camera.read(1.0)
        assert (number(frame.rgb), frame.sequence, frame.rgb.shape) == (19, 19, (64, 64, 3))
        assert frame.captured_s <= time.monotonic()
        with pytest.raises(CameraLost, match="no frame after 20: unplugged"):
            camera.read(1.0)


def test_colours_are_rgb(tmp_path):
    red = np.zeros((20, 96, 128, 3), np.uint8)
    red[..., 0] = 200
    with make(config(str(write_video(tmp_path / "red.mp4", red, fps=30)))) as camera:
        rgb = camera.read(5.0).rgb.reshape(-1, 3).mean(0)
    assert rgb[0] > 150 and rgb[1:].max() < 60


def test_a_reader_that_is_as_fast_as_the_camera_sees_numbers_and_times_rise(film):
    seen = []
    with make(config(film)) as camera:
        while True:
            try:
                seen.append(camera.read(5.0))
            except CameraLost:
                break
    assert seen and all(number(frame.rgb) == frame.sequence for frame in seen)
    assert all(a.sequence < b.sequence and a.captured_s <= b.captured_s for a, b in zip(seen, seen[1:]))


def test_closing_ends_the_reader(film):
    before = threading.active_count()
    camera = make(config(film))
    camera.open()
    camera.close()
    camera.close()
    assert threading.active_count() == before


def test_a_pixel_format_is_checked_when_the_camera_opens(film):
    own = "h264"  # that of the file: a file takes no other
    with make(config(film, fourcc=own)) as camera:
        camera.read(5.0)
    with pytest.raises(CameraError, match=f"asked for the pixel format MJPG, it gives .{own}"):
        make(config(film, fourcc="MJPG")).open()
    for wrong, says in (
        ({"fourcc": "MJPEG"}, "four characters"),
        ({"fourcc": "MJPG", "kind": "video"}, "only kind opencv"),
    ):
        with pytest.raises(CameraError, match=says):
            CameraConfig(**{"kind": "opencv"} | wrong)


def test_what_can_not_be_opened_is_said(film, tmp_path):
    with pytest.raises(CameraError, match="can't open.*expected an index, a path"):
        make(config(str(tmp_path / "none.mp4"))).open()
    with pytest.raises(CameraError, match="asked for 640×480 pixels, it gives 128×96"):
        make(CameraConfig(kind="opencv", device=film)).open()

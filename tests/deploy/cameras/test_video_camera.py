"""A film as a camera: the newest frame that is due comes in time."""

import numpy as np
import pytest
from pictures import number, picture

from deploy.cameras.base import CameraConfig, CameraError, CameraLost
from deploy.cameras.video_camera import VideoCamera
from toto_robot.video.decode import write_video


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s

    def sleep(self, dt_s):
        self.now_s += dt_s


@pytest.fixture
def camera(tmp_path):
    film = write_video(tmp_path / "film.mp4", np.stack([picture(i) for i in range(12)]), fps=10)
    clock = Clock()
    with VideoCamera(CameraConfig(kind="video", device=str(film), size=64), clock, clock.sleep) as camera:
        camera.clock = clock
        yield camera


def test_frames_come_at_the_films_own_rate(camera):
    frames = [camera.read(1.0) for _ in range(12)]
    assert [number(f.rgb) for f in frames] == [f.sequence for f in frames] == list(range(12))
    np.testing.assert_allclose([f.captured_s for f in frames], 100 + np.arange(12) / 10, atol=1e-3)
    with pytest.raises(CameraLost, match="at its end"):
        camera.read(1.0)


def test_a_slow_reader_gets_the_newest_and_the_numbers_tell_how_many_it_missed(camera):
    camera.read(1.0)
    camera.clock.sleep(0.55)
    frame = camera.read(1.0)
    assert (number(frame.rgb), frame.sequence) == (5, 5)
    assert camera.clock.now_s - frame.captured_s == pytest.approx(0.05, abs=1e-3)


def test_a_wait_that_is_too_short_says_so_and_loses_nothing(camera):
    camera.read(1.0)
    with pytest.raises(CameraLost, match="no new frame within 0.02 s"):
        camera.read(0.02)
    assert camera.read(1.0).sequence == 1


def test_what_is_no_film_is_said(tmp_path):
    with pytest.raises(CameraError, match="no such video"):
        VideoCamera(CameraConfig(kind="video", device=str(tmp_path / "none.mp4"))).open()
    with pytest.raises(CameraError, match="use crop=center"):
        VideoCamera(CameraConfig(kind="video", crop="lower"))

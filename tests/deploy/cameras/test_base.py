"""The contract of a frame, the config of a camera, and lens numbers that follow the pixels through every crop."""

import sys
import threading
import time

import numpy as np
import pytest

from deploy import cameras
from deploy.cameras.base import CameraConfig, CameraError, Newest, read_config
from deploy.cameras.intrinsics import CROPS, Intrinsics


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("width, height", [(640, 480), (480, 640), (641, 479)])
def test_intrinsics_follow_the_pixels_through_crop_and_resize(crop, width, height):
    lens = Intrinsics(width, height, 500.0, 510.0, width / 2 - 3, height / 2 + 5)
    config = CameraConfig(crop=crop, width=width, height=height, intrinsics=lens)
    small = lens.cropped(crop, 128)
    for x_m, y_m in ((0.0, 0.0), (0.1, 0.12), (-0.15, 0.05)):  # points one metre away
        u, v = (lens.matrix @ [x_m, y_m, 1.0])[:2]
        rows, columns = np.mgrid[:height, :width]
        spot = 255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * 8.0**2))
        seen = config.picture(np.repeat(spot[..., None], 3, 2).astype(np.uint8))[..., 0].astype(float)
        rows, columns = np.mgrid[:128, :128]
        at = np.array([(columns * seen).sum(), (rows * seen).sum()]) / seen.sum()
        np.testing.assert_allclose(at, (small.matrix @ [x_m, y_m, 1.0])[:2], atol=0.6)


def test_field_of_view_is_that_of_the_square_which_is_left():
    lens = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)
    assert lens.cropped("center", 128).fovy_deg == pytest.approx(lens.fovy_deg)
    assert lens.cropped("lower", 128).fovy_deg == pytest.approx(2 * np.degrees(np.arctan(224 / 600)))


def test_a_camera_file_gives_its_config_and_says_what_is_wrong(tmp_path):
    path = tmp_path / "wrist.yaml"
    path.write_text(
        "kind: opencv\ndevice: '0'\nwidth: 640\nheight: 480\ncrop: lower\nintrinsics: {width: 640, height: 480,"
        " fx_px: 600, fy_px: 601, cx_px: 319, cy_px: 240}\n"
    )
    config = read_config(path)
    assert (config.kind, config.crop, config.intrinsics.fy_px) == ("opencv", "lower", 601)
    path.write_text("kind: opencv\nresolution: 3\n")
    with pytest.raises(CameraError, match="expected the keys kind, name.*got resolution"):
        read_config(path)
    path.write_text("just words")
    with pytest.raises(CameraError, match="got str"):
        read_config(path)
    with pytest.raises(CameraError, match="No such file"):
        read_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "wrong, said",
    [
        (dict(crop="round"), "What exists: center, lower"),
        (dict(size=4), "at least 8"),
        (dict(fps=0), "fps"),
        (dict(intrinsics=dict(width=320, height=240, fx_px=1, fy_px=1, cx_px=1, cy_px=1)), "calibrate at the size"),
        (dict(intrinsics=dict(width=320)), "missing"),
    ],
)
def test_a_config_that_can_not_be_is_refused(wrong, said):
    with pytest.raises(CameraError, match=said):
        CameraConfig(**wrong)


def test_pixels_that_are_not_uint8_never_become_a_frame():
    for wrong in (np.zeros((96, 128, 3), np.float32), np.zeros((96, 128), np.uint8), np.zeros((3, 96, 128), np.uint8)):
        with pytest.raises(ValueError, match="camera wrist"):
            CameraConfig().picture(wrong)


def test_features_are_there_before_opening_and_names_are_listed():
    config = CameraConfig(kind="opencv", device="/nowhere", name="front", size=64, fps=15)
    features = cameras.make(config).features
    assert (features.name, features.shape, features.fps, features.physical) == ("front", (64, 64, 3), 15, True)
    assert cameras.names()[:4] == ["realsense", "opencv", "video", "mujoco"]
    with pytest.raises(CameraError, match="'webcam'. What exists: mujoco, opencv, realsense, video"):
        cameras.make(CameraConfig(kind="webcam"))


def test_a_package_can_add_a_camera(tmp_path, monkeypatch):
    (tmp_path / "lab_cameras.py").write_text(
        "class Ceiling:\n    def __init__(self, config):\n        self.config = config\n"
    )
    info = tmp_path / "lab_cameras-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab_cameras\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[toto_robot.cameras]\nceiling = lab_cameras:Ceiling\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "ceiling" in cameras.names()
    assert cameras.make(CameraConfig(kind="ceiling")).config.kind == "ceiling"


def test_the_newest_wins_each_is_taken_once_and_an_end_comes_after_the_last():
    newest = Newest()
    newest.put("old")
    newest.put("new")
    assert newest.take(0) == "new"
    with pytest.raises(LookupError, match="no new frame within 0 s"):
        newest.take(0)
    newest.put("last")
    newest.end("unplugged")
    assert newest.take(0) == "last"
    with pytest.raises(LookupError, match="unplugged"):
        newest.take(10)


def test_a_reader_wakes_when_a_frame_comes():
    newest = Newest()
    thread = threading.Thread(target=lambda: (time.sleep(0.05), newest.put(7)))
    thread.start()
    assert newest.take(30) == 7
    thread.join()


@pytest.mark.parametrize(
    "kind, module, package",
    [("opencv", "cv2", "opencv-python-headless"), ("realsense", "pyrealsense2", "pyrealsense2")],
)
def test_a_library_that_is_absent_is_named_with_what_to_install(kind, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CameraError, match=f"pip install {package}"):
        cameras.make(CameraConfig(kind=kind)).open()

"""Each fault does what its description says during its time, and nothing before or after."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import number, picture

from deploy.cameras.base import CameraConfig, CameraError, CameraFeatures, CameraLost, Frame
from deploy.cameras.faulty import FAULTS, LATE, FaultyCamera
from deploy.cameras.registry import make


class Numbers:
    """A perfect camera: frame n holds n."""

    features = CameraFeatures("wrist", "numbers", (96, 128, 3), 30, True)
    intrinsics = None

    def open(self):
        self.count = itertools.count()

    def read(self, timeout_s):
        n = next(self.count)
        return Frame(picture(n), float(n), n)

    def close(self):
        pass


def play(faults, reads=12):
    """(visible number, sequence, time) of each read; None if no frame came."""
    with FaultyCamera(Numbers(), faults) as camera:
        seen = []
        for _ in range(reads):
            try:
                frame = camera.read(0.01)
                seen.append((number(frame.rgb), frame.sequence, frame.captured_s))
            except CameraLost:
                seen.append(None)
        return seen


def true(n):
    return (n, n, float(n))


def test_freeze_repeats_the_last_good_frame_as_it_was():
    seen = play(["freeze@4-8"])
    assert seen[:4] == [true(n) for n in range(4)] and seen[4:8] == [true(3)] * 4 and seen[8] == true(8)


def test_a_stuck_sensor_repeats_pixels_under_new_numbers():
    assert play(["stuck@4-8"])[4:9] == [(3, n, float(n)) for n in range(4, 8)] + [true(8)]


def test_dropped_frames_are_never_seen_and_a_gap_for_good_is_told():
    assert play(["drop@4-8"], reads=5) == [true(n) for n in (0, 1, 2, 3, 8)]
    assert play(["drop@4"], reads=6)[4:] == [None, None]


def test_delayed_frames_are_late_by_five():
    assert play([f"delay@{LATE + 2}-10"])[7:11] == [true(n - LATE) for n in range(7, 10)] + [true(10)]


def test_corruption_spoils_the_lower_half_only():
    with FaultyCamera(Numbers(), ["corrupt@1-2"]) as camera:
        good, bad, after = (camera.read(1.0) for _ in range(3))
    np.testing.assert_array_equal(bad.rgb[:48], picture(1)[:48])
    assert np.ptp(bad.rgb[48:].astype(int)) > 200 and bad.rgb.dtype == np.uint8
    np.testing.assert_array_equal(after.rgb, picture(2))


def test_a_lost_camera_says_so_every_time():
    assert play(["lost@2"], reads=4) == [true(0), true(1), None, None]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([f for f in FAULTS if f != "drop"]), st.integers(0, 12), st.integers(0, 12)),
        max_size=4,
    )
)
def test_outside_its_windows_every_frame_is_the_cameras_own(faults):
    seen = play([f"{name}@{first}-{end}" for name, first, end in faults])
    for n, frame in enumerate(seen):
        if not any(first <= n < end for _, first, end in faults):
            assert frame == true(n)


def test_a_drop_on_a_source_that_repeats_itself_gives_up_in_time():
    class Still(Numbers):
        def read(self, timeout_s):
            return Frame(picture(0), 0.0, 0)

    began_s = time.monotonic()
    with FaultyCamera(Still(), ["drop@0-1"]) as camera, pytest.raises(CameraLost, match="dropped on purpose"):
        camera.read(0.05)
    assert time.monotonic() - began_s >= 0.05


@pytest.mark.parametrize("text", ["melt@3", "freeze", "freeze@a", "freeze@1-2-3"])
def test_a_fault_that_does_not_exist_is_answered_with_those_that_do(text):
    with pytest.raises(CameraError, match="freeze: the last good frame"):
        make(CameraConfig(kind="video", faults=[text]))


def test_a_config_with_faults_gives_a_faulty_camera_with_the_same_features():
    config = CameraConfig(kind="video", device="film.mp4")
    faulty = make(CameraConfig(kind="video", device="film.mp4", faults=["lost@0"]))
    assert isinstance(faulty, FaultyCamera) and faulty.features == make(config).features

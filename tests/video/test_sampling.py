import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toto_robot.ground.errors import UserError
from toto_robot.video.sampling import TooShort, clip_indices


def test_at_30_fps_the_stride_is_4():
    assert np.array_equal(clip_indices(np.arange(61) / 30), [np.arange(16) * 4])


@pytest.mark.parametrize("fps", [8, 10, 20, 24, 25, 50, 60])
def test_at_other_rates_each_frame_is_the_nearest_in_time(fps):
    times_s = np.arange(fps * 3) / fps
    for clip in clip_indices(times_s):
        wanted_s = times_s[clip[0]] + np.arange(16) * 4 / 30
        assert np.abs(times_s[clip] - wanted_s).max() <= 1 / fps + 1e-9


def test_a_short_video_uses_the_largest_stride_that_fits():
    assert np.array_equal(clip_indices(np.arange(16) / 30), [np.arange(16)])
    assert np.array_equal(clip_indices(np.arange(31) / 30), [np.arange(16) * 2])
    assert np.array_equal(clip_indices(np.arange(46) / 30), [np.arange(16) * 3])


def test_fewer_frames_than_a_clip_needs_is_left_out():
    with pytest.raises(TooShort, match="needs 16 frames, and the video has 15"):
        clip_indices(np.arange(15) / 30)


def test_a_slow_video_gives_consecutive_frames():
    assert np.array_equal(clip_indices(np.arange(16) / 2.0)[0], np.arange(16))


def test_clips_start_every_hop_and_the_last_ends_with_the_video():
    clips = clip_indices(np.arange(301) / 30, hop_s=1.0)
    assert len(clips) == 9 and clips[0, 0] == 0 and clips[-1, -1] == 300
    assert np.array_equal(np.diff(clips[:, 0]), [30] * 8)


@given(st.lists(st.floats(0.001, 0.5), min_size=15, max_size=150), st.floats(0.05, 3.0))
def test_indices_increase_and_stay_inside_for_any_timestamps(gaps_s, hop_s):
    times_s = np.concatenate([[0.0], np.cumsum(gaps_s)])
    clips = clip_indices(times_s, hop_s=hop_s)
    assert len(clips) >= 1 and clips.shape[1] == 16
    assert (np.diff(clips, axis=1) > 0).all() and clips.min() >= 0 and clips.max() < len(times_s)
    assert len(np.unique(clips, axis=0)) == len(clips)


@pytest.mark.parametrize("times_s", [[0, 0.1, 0.1], [0.2, 0.1], [[0.0, 0.1]]])
def test_timestamps_out_of_order_are_refused(times_s):
    with pytest.raises(UserError, match="increasing"):
        clip_indices(times_s)

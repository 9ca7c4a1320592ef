"""What is wrong with a clip's frames: black, repeated, cut."""

import numpy as np

from toto_robot.video.flaws import Flaws, flaws


def moving(count, seed=0, step=1):
    """Frames of one scene that moves by `step` pixels a frame."""
    scene = np.random.default_rng(seed).integers(60, 200, (8, 16 + step * count, 3))
    scene = scene.repeat(8, 0).repeat(8, 1).astype(np.uint8)
    return np.stack([scene[:, step * i : step * i + 64] for i in range(count)])


def test_a_clip_that_moves_has_no_flaw():
    assert flaws(moving(16)) == Flaws() and flaws(moving(1)) == Flaws() and Flaws().found() == {}


def test_black_frames_are_counted_also_with_a_little_noise_and_a_dark_scene_is_not_black():
    clip = moving(16)
    clip[:3] = np.random.default_rng(0).integers(0, 12, clip[:3].shape)
    clip[5] = 0
    assert flaws(clip).black == 4
    assert flaws((moving(16) * 0.4).astype(np.uint8)).black == 0  # brightness 0.1 to 0.3


def test_repeated_frames_are_frozen_and_a_still_scene_with_a_cameras_noise_is_not():
    clip = moving(16)
    clip[4:7] = clip[3]
    assert flaws(clip) == Flaws(frozen=3)
    noise = np.random.default_rng(1).normal(0, 2, (16, 64, 64, 3))
    assert flaws((128 + noise).round().astype(np.uint8)).frozen == 0


def test_a_change_of_scene_is_a_cut_and_fast_motion_is_not():
    one, other = moving(8), 255 - moving(8, seed=5)
    other[..., 0] //= 4
    assert flaws(np.concatenate([one, (other * 0.5).astype(np.uint8)])).cuts == 1
    assert flaws(moving(16, step=6)).cuts == 0

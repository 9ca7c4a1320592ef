"""Hand-eye calibration: exact for exact poses, as good as the pictures for noisy ones, and an error for too few
poses."""

import numpy as np
import pytest
from board import LENS, photograph, pose
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.calibration.hand_eye import Board, HandEyeError, load, solve


def scene(rng, count=12, tilt_rad=0.5, noise_m=0.0, noise_rad=0.0):
    """The truth T_hand_camera and T_base_board, and what is measured from `count` arm poses above the board."""
    hand_camera, base_board = (
        pose(rng.normal(size=3), rng.uniform(-0.1, 0.1, 3)),
        pose([0, 0, rng.normal()], [0.5, 0.1, 0.0]),
    )
    hands = np.stack(
        [pose(rng.uniform(-tilt_rad, tilt_rad, 3), rng.uniform(-0.2, 0.2, 3) + [0.5, 0, 0.5]) for _ in range(count)]
    )
    boards = np.linalg.inv(hands @ hand_camera) @ base_board
    noise = np.stack([pose(noise_rad * rng.normal(size=3), noise_m * rng.normal(size=3)) for _ in range(count)])
    return hand_camera, base_board, hands, boards @ noise


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_exact_poses_give_back_the_truth(seed):
    hand_camera, base_board, hands, boards = scene(np.random.default_rng(seed))
    solution, residuals = solve(hands, boards)
    np.testing.assert_allclose(solution.T_hand_camera, hand_camera, atol=1e-8)
    np.testing.assert_allclose(solution.T_base_board, base_board, atol=1e-8)
    assert residuals.shift_m.max() < 1e-8 and residuals.turn_rad.max() < 1e-7 and residuals.good


def test_noise_of_two_millimetres_gives_a_camera_within_three_and_residuals_that_show_it():
    hand_camera, _, hands, boards = scene(np.random.default_rng(1), count=20, noise_m=0.002, noise_rad=0.003)
    solution, residuals = solve(hands, boards)
    assert np.linalg.norm(solution.T_hand_camera[:3, 3] - hand_camera[:3, 3]) < 0.003
    assert 0.001 < np.sqrt((residuals.shift_m**2).mean()) < 0.008


def test_one_wrong_picture_stands_out_in_the_residuals():
    _, _, hands, boards = scene(np.random.default_rng(2), count=15)
    boards[7] = boards[7] @ pose([0, 0.2, 0], [0.05, 0, 0])
    _, residuals = solve(hands, boards)
    assert residuals.shift_m.argmax() == 7 and not residuals.good


def test_a_camera_that_was_knocked_shows_when_the_calibration_is_checked():
    rng = np.random.default_rng(3)
    _, _, hands, boards = scene(rng)
    solution, _ = solve(hands, boards)
    assert solution.error(hands[0], boards[0]).good
    knocked = np.linalg.inv(pose([0, 0.03, 0], [0.004, 0, 0])) @ boards[0]
    assert not solution.error(hands[0], knocked).good


def test_poses_that_turn_about_one_axis_only_are_refused():
    rng = np.random.default_rng(4)
    hands = np.stack([pose([0, 0, rng.normal()], rng.normal(size=3)) for _ in range(10)])
    with pytest.raises(HandEyeError, match="turned about one axis only.*tilt it"):
        solve(hands, np.linalg.inv(hands))
    with pytest.raises(HandEyeError, match="at least 5 poses"):
        solve(hands[:4], hands[:4])


def test_a_saved_calibration_comes_back_and_anything_else_is_refused(tmp_path):
    solution, _ = solve(*scene(np.random.default_rng(5))[2:])
    path = tmp_path / "hand_eye.yaml"
    solution.save(path, Board(square_m=0.031))
    again, board = load(path)
    np.testing.assert_array_equal(again.T_hand_camera, solution.T_hand_camera)
    assert board.square_m == 0.031 and again.poses == 12
    for text in ("nothing", "T_hand_camera: [[1]]\n", path.read_text().replace("poses", "pictures")):
        path.write_text(text)
        with pytest.raises(HandEyeError, match="not a hand-eye calibration"):
            load(path)


def test_it_agrees_with_opencv():
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    if not hasattr(cv2, "calibrateHandEye"):
        pytest.skip(f"OpenCV {cv2.__version__} has no calibrateHandEye; OpenCV 4 has")
    for seed in range(5):
        _, _, hands, boards = scene(np.random.default_rng(seed), noise_m=0.002, noise_rad=0.003)
        R, t = cv2.calibrateHandEye(
            hands[:, :3, :3], hands[:, :3, 3], boards[:, :3, :3], boards[:, :3, 3], method=cv2.CALIB_HAND_EYE_PARK
        )
        ours = solve(hands, boards)[0].T_hand_camera
        np.testing.assert_allclose(ours[:3, :3], R, atol=2e-3)
        np.testing.assert_allclose(ours[:3, 3], t.ravel(), atol=2e-3)


@pytest.mark.parametrize("tilt", [(0.3, 0.0, 0.0), (0.0, -0.4, 0.3), (0.2, 0.2, 1.0)])
def test_the_board_is_found_where_it_is(tilt):
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    truth = pose(tilt, [-0.08, -0.06, 0.4])
    found = Board().find(photograph(Board(), truth), LENS)
    assert np.linalg.norm(found[:3, 3] - truth[:3, 3]) < 0.002
    np.testing.assert_allclose(found[:3, :3], truth[:3, :3], atol=0.01)


def test_a_picture_without_the_board_gives_none():
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    assert Board().find(np.full((480, 640, 3), 128, np.uint8), LENS) is None


def test_the_whole_way_from_pictures_to_the_camera():
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    rng, hand_camera, base_board = (
        np.random.default_rng(6),
        pose([0, 0, 0.5], [0.04, 0, 0.045]),
        pose([0, 0, 0.3], [0.5, 0, 0]),
    )
    hands, boards = [], []
    for _ in range(12):
        camera_board = pose(rng.uniform(-0.5, 0.5, 3), [-0.1, -0.07, rng.uniform(0.35, 0.5)])
        boards.append(Board().find(photograph(Board(), camera_board), LENS))
        hands.append(base_board @ np.linalg.inv(hand_camera @ camera_board))
    solution, residuals = solve(np.stack(hands), np.stack(boards))
    assert residuals.good, residuals
    assert np.linalg.norm(solution.T_hand_camera[:3, 3] - hand_camera[:3, 3]) < 0.003

"""The calibration's loop: from typed lines, the arm's joints and the camera's pictures to the result."""

import json

import numpy as np
import pytest
from board import LENS, photograph, pose

from deploy import calibrate
from deploy.calibration.hand_eye import Board, solve
from deploy.control.kinematics import Kinematics
from envs.robots import FRANKA

pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
HAND_CAMERA = pose([0.02, -0.03, 1.5], [0.04, 0.0, 0.045])


def arm_above_the_board(count):
    """(T_base_board, joints (count, 7)) for which the wrist camera sees the whole board."""
    rng, kinematics = np.random.default_rng(0), Kinematics(FRANKA)
    home = kinematics.frames(np.array(FRANKA.q_home_rad))[0, -1]
    base_board = home @ HAND_CAMERA @ pose([0.1, 0.1, 0.0], [-0.09, -0.07, 0.42])
    corners = np.array([[x, y, 0, 1] for x in (0, 0.21) for y in (0, 0.15)])
    found = []
    while len(found) < count:
        q_rad = np.array(FRANKA.q_home_rad) + rng.uniform(-0.4, 0.4, 7)
        view = np.linalg.inv(kinematics.frames(q_rad)[0, -1] @ HAND_CAMERA) @ base_board @ corners.T
        u, v = (LENS.matrix @ view[:3] / view[2])[:2]
        if (view[2] > 0.2).all() and (u > 10).all() and (u < 630).all() and (v > 10).all() and (v < 470).all():
            found.append(q_rad)
    return base_board, np.array(found)


def test_pictures_of_a_guided_arm_give_the_cameras_place_and_those_without_the_board_are_left_out():
    base_board, joints = arm_above_the_board(12)
    kinematics, said = Kinematics(FRANKA), []
    shots = iter([*joints, None])

    def take():
        q_rad = next(shots)
        if q_rad is None:
            return joints[0], np.full((480, 640, 3), 99, np.uint8), LENS
        camera_board = np.linalg.inv(kinematics.frames(q_rad)[0, -1] @ HAND_CAMERA) @ base_board
        return q_rad, photograph(Board(), camera_board), LENS

    hands, boards = calibrate.collect(take, Board(), iter(["\n"] * 13 + ["q\n", "\n"]), said.append)
    assert len(hands) == 12 and "not in the picture" in said[-1]
    solution, residuals = solve(hands, boards)
    assert residuals.good
    assert np.linalg.norm(solution.T_hand_camera[:3, 3] - HAND_CAMERA[:3, 3]) < 0.003


def test_the_board_is_drawn_with_the_squares_that_were_asked_for(tmp_path, capsys):
    assert calibrate.main(["--board", str(tmp_path / "board.png"), "--square-mm", "25"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["square_m"] == pytest.approx(0.025) and (tmp_path / "board.png").stat().st_size > 1000


def test_a_missing_flag_is_a_sentence_and_exit_code_2(capsys):
    assert calibrate.main([]) == 2
    assert "expected --robot-ip and --camera" in capsys.readouterr().err
    assert calibrate.main(["--robot-ip", "127.0.0.9", "--camera", "none.yaml"]) == 2
    assert "can't read the camera file" in capsys.readouterr().err

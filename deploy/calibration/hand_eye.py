"""The pose of the camera in the hand, from pictures of a fixed ChArUco board that are taken in many arm poses.

    solution, residuals = solve(T_base_hand, T_camera_board)    # (N, 4, 4) each: N poses of the hand and of the board
    solution.save("hand_eye.yaml", board)
    solution, board = load("hand_eye.yaml")                     # later: does it still hold?
    print(solution.error(T_base_hand, T_camera_board))

T_a_b transforms points from frame b to frame a. The solver is Park and Martin's (IEEE T-RA 10(5), 1994): AX = XB in
closed form, the rotation first. OpenCV 4 has the same solver as calibrateHandEye, and a test compares them; OpenCV 5
does not have it. The report is our own: how far the fixed board seems to move from picture to picture.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from deploy.cameras import Camera, CameraConfig, make
from deploy.cameras.intrinsics import Intrinsics
from toto_robot.ground.atomic import atomic_write_text
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import read_yaml

MIN_POSES = 5
MIN_TURN_RAD = 0.1
"""Least rotation about a second axis between the poses. With less, the camera's place along the first axis is
unknown."""
GOOD_M, GOOD_RAD = 0.005, 0.0175
"""What counts as good for a wrist camera: 5 mm and 1°. A grasp of a 45 mm cube with an 80 mm hand tolerates more."""


class HandEyeError(UserError):
    """A calibration can't be made from these poses or from this file."""


@dataclass(frozen=True)
class Board:
    """A printed ChArUco board. Measure `square_m` on the paper, because printers scale."""

    columns: int = 7
    rows: int = 5
    square_m: float = 0.030
    marker_m: float = 0.022
    dictionary: str = "DICT_4X4_50"

    def opencv(self) -> Any:
        cv2 = _cv2()
        words = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_m, self.marker_m, words)

    def draw(self, pixels_per_square: int = 200) -> np.ndarray:
        """uint8 (rows · p, columns · p): the picture to print."""
        return self.opencv().generateImage((self.columns * pixels_per_square, self.rows * pixels_per_square))

    def find(self, rgb: np.ndarray, lens: Intrinsics) -> np.ndarray | None:
        """T_camera_board (4, 4) of the board in a picture uint8 (H, W, 3), or None if fewer than 6 of its corners are
        visible.

        Camera: x right, y down, z ahead. Board: x along its columns, y along its rows.
        """
        cv2 = _cv2()
        board = self.opencv()
        corners, ids, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        if ids is None or len(ids) < 6:
            return None
        points = board.getChessboardCorners()[ids.ravel()]
        fine, turn, shift = cv2.solvePnP(points, corners, lens.matrix, np.array(lens.distortion))
        if not fine:
            return None
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(turn)[0], shift.ravel()
        return pose


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise HandEyeError(f"finding the board needs OpenCV ({error}); pip install opencv-python-headless") from error
    return cv2


@contextlib.contextmanager
def whole_picture(config: CameraConfig) -> Iterator[Camera]:
    """The camera, open, with the largest square pictures. Raises CameraError, and HandEyeError if the lens is
    unknown."""
    camera = make(replace(config, size=min(config.width, config.height), crop="center"))
    try:
        camera.open()
        lens_of(camera)
        yield camera
    finally:
        camera.close()


def lens_of(camera: Camera) -> Intrinsics:
    """The lens of an open camera. Raises HandEyeError if it is unknown."""
    if camera.intrinsics is None:
        raise HandEyeError(
            f"the lens of the camera {camera.features.name} is unknown; calibrate it (docs/real_robot.md) and write "
            "its intrinsics into the camera file"
        )
    return camera.intrinsics


@dataclass(frozen=True)
class Errors:
    """The distances between poses that should be equal, (N,) each."""

    shift_m: np.ndarray
    turn_rad: np.ndarray

    @property
    def good(self) -> bool:
        """Whether their root mean squares are within GOOD_M and GOOD_RAD."""
        return _rms(self.shift_m) <= GOOD_M and _rms(self.turn_rad) <= GOOD_RAD

    def __str__(self) -> str:
        return (
            f"rms {1e3 * _rms(self.shift_m):.1f} mm and {np.degrees(_rms(self.turn_rad)):.2f}°, worst "
            f"{1e3 * self.shift_m.max():.1f} mm and {np.degrees(self.turn_rad.max()):.2f}°"
        )


@dataclass(frozen=True)
class HandEye:
    """A calibration: the camera's pose in the hand, and the board's pose on the table."""

    T_hand_camera: np.ndarray
    T_base_board: np.ndarray
    poses: int
    """Number of pictures."""

    def error(self, T_base_hand: np.ndarray, T_camera_board: np.ndarray) -> Errors:
        """How far the board of each picture (N, 4, 4) is from its place at the calibration."""
        seen = T_base_hand.reshape(-1, 4, 4) @ self.T_hand_camera @ T_camera_board.reshape(-1, 4, 4)
        return _apart(seen, self.T_base_board)

    def save(self, path: str | Path, board: Board) -> None:
        """Writes YAML, completely or not at all."""
        values = {
            "T_hand_camera": self.T_hand_camera.tolist(),
            "T_base_board": self.T_base_board.tolist(),
            "poses": self.poses,
            "board": asdict(board),
        }
        atomic_write_text(path, yaml.safe_dump(values, default_flow_style=None, sort_keys=False))


def load(path: str | Path) -> tuple[HandEye, Board]:
    """Reads what `save` wrote. Raises HandEyeError for another file."""
    try:
        values = read_yaml(path)
        T_hand_camera, T_base_board = (np.array(values[key], np.float64) for key in ("T_hand_camera", "T_base_board"))
        for pose in (T_hand_camera, T_base_board):
            if pose.shape != (4, 4) or not np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-6):
                raise ValueError("expected poses of 4 x 4 numbers with a rotation in them")
        return HandEye(T_hand_camera, T_base_board, int(values["poses"])), Board(**values["board"])
    except (KeyError, TypeError, ValueError) as error:
        raise HandEyeError(
            f"{path} is not a hand-eye calibration ({type(error).__name__}: {' '.join(str(error).split())}); "
            "make one with `python -m deploy.calibrate`"
        ) from error


def solve(T_base_hand: np.ndarray, T_camera_board: np.ndarray) -> tuple[HandEye, Errors]:
    """The calibration from N poses (N, 4, 4) each, and its residuals. Raises HandEyeError for poses that don't
    determine it."""
    hands, boards = np.asarray(T_base_hand, np.float64), np.asarray(T_camera_board, np.float64)
    if hands.shape != boards.shape or hands.shape[1:] != (4, 4) or len(hands) < MIN_POSES:
        raise HandEyeError(
            f"expected at least {MIN_POSES} poses of 4 x 4 for hand and board each, got {hands.shape} and "
            f"{boards.shape}; take more pictures"
        )
    i, j = np.triu_indices(len(hands), 1)
    A = np.linalg.inv(hands[j]) @ hands[i]  # motions of the hand and of the camera between all pairs: A X = X B
    B = boards[j] @ np.linalg.inv(boards[i])
    a, b = (np.stack([_log(T[:3, :3]) for T in motions]) for motions in (A, B))
    # The hand has to turn about at least two axes.
    spread_rad = np.linalg.svd(a, compute_uv=False)[1] / np.sqrt(len(a))
    if spread_rad < MIN_TURN_RAD:
        raise HandEyeError(
            f"the hand turned about one axis only (rms {spread_rad:.2f} rad about any other, expected "
            f"{MIN_TURN_RAD}); tilt it forwards and sideways between the pictures"
        )
    u, _, vt = np.linalg.svd(a.T @ b)  # the rotation that takes each axis b to a
    R = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    # The translation, by least squares.
    C = (A[:, :3, :3] - np.eye(3)).reshape(-1, 3)
    d = (B[:, :3, 3] @ R.T - A[:, :3, 3]).reshape(-1)
    X = np.eye(4)
    X[:3, :3], X[:3, 3] = R, np.linalg.lstsq(C, d, rcond=None)[0]
    # The board's pose is the mean over all pictures.
    seen = hands @ X @ boards
    middle = np.eye(4)
    u, _, vt = np.linalg.svd(seen[:, :3, :3].mean(0))
    middle[:3, :3], middle[:3, 3] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt, seen[:, :3, 3].mean(0)
    return HandEye(X, middle, len(hands)), _apart(seen, middle)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _apart(poses: np.ndarray, pose: np.ndarray) -> Errors:
    turns = poses[:, :3, :3] @ pose[:3, :3].T
    return Errors(
        np.linalg.norm(poses[:, :3, 3] - pose[:3, 3], axis=1), np.array([np.linalg.norm(_log(R)) for R in turns])
    )


def _log(R: np.ndarray) -> np.ndarray:
    """The rotation vector (3,) of R (3, 3). It uses the quaternion, which is exact near half a turn."""
    x, y, z = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    K = np.array(
        [
            [R[0, 0] - R[1, 1] - R[2, 2], 0, 0, 0],
            [R[0, 1] + R[1, 0], R[1, 1] - R[0, 0] - R[2, 2], 0, 0],
            [R[0, 2] + R[2, 0], R[1, 2] + R[2, 1], R[2, 2] - R[0, 0] - R[1, 1], 0],
            [x, y, z, np.trace(R)],
        ]
    )
    q = np.linalg.eigh(K)[1][:, -1]
    q = q if q[3] >= 0 else -q
    sine = np.linalg.norm(q[:3])
    return q[:3] * (2 if sine < 1e-9 else 2 * np.arctan2(sine, q[3]) / sine)

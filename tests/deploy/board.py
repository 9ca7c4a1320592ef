"""A printed board, poses of it, and the pictures that a pinhole takes of it."""

import numpy as np

from deploy.cameras.intrinsics import Intrinsics

LENS = Intrinsics(640, 480, 600.0, 605.0, 322.0, 238.0)


def turn(vector):
    """The rotation (3, 3) by a rotation vector (3,): Rodrigues' formula."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle if angle else vector
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def pose(rotation_vector, shift):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = turn(np.asarray(rotation_vector, float)), shift
    return T


def photograph(board, T_camera_board, lens=LENS):
    """The picture (H, W, 3) that a pinhole takes of the printed board."""
    import cv2

    pixels = 100
    paper = board.draw(pixels)
    scale = board.square_m / pixels
    to_board = np.array([[scale, 0, 0.5 * scale], [0, scale, 0.5 * scale], [0, 0, 1]])  # paper pixel → metres
    fine = np.array([[4, 0, 1.5], [0, 4, 1.5], [0, 0, 1]])  # four samples a pixel each way, as a sensor gathers light
    view = fine @ lens.matrix @ T_camera_board[:3, [0, 1, 3]] @ to_board
    large = cv2.warpPerspective(paper, view, (4 * lens.width, 4 * lens.height), borderValue=128)
    grey = cv2.resize(large, (lens.width, lens.height), interpolation=cv2.INTER_AREA)
    return np.repeat(grey[..., None], 3, 2)

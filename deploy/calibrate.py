"""Measures the camera's pose in the hand: guide the arm by hand, and press Enter in poses where the camera sees the
board.

    python -m deploy.calibrate --board board.png                  # the ChArUco board to print, 30 mm squares
    python -m deploy.calibrate --robot-ip 172.16.0.2 --camera wrist.yaml --out hand_eye.yaml

Lay the board flat and fasten it. Take 15 pictures or more from all sides, 0.25 to 0.5 m away. Tilt the hand forwards,
backwards and sideways by 20 to 40 degrees and turn it about its axis. Keep still while a picture is taken. Nothing here
moves the arm; a person does, with the guiding button. Then type `q` and Enter: the file is written, and the residuals
show how good it is (5 mm and 1 degree, root mean square, are good). `python -m deploy.check --hand-eye` checks later
whether it still holds.
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):  # with `python deploy/calibrate.py` its folder would hide the packages beside it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

from deploy import cameras
from deploy.calibration import hand_eye
from deploy.calibration.hand_eye import MIN_POSES, Board
from deploy.control.kinematics import Kinematics
from deploy.endings import Ending
from deploy.robots import registry
from deploy.robots.base import Address, RobotFault
from envs.robots.franka import ARM_LIMITS, FRANKA
from toto_robot import command
from toto_robot.ground.errors import UserError


def arguments(argv: list[str]) -> argparse.Namespace:
    """The flags. Raises SystemExit with code 2 for wrong ones."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", metavar="PNG", help="write the board to print, and end")
    parser.add_argument(
        "--square-mm", type=float, default=1000 * Board.square_m, help="side of a square, measured on the paper"
    )
    parser.add_argument("--robot-ip", help="address of the robot")
    parser.add_argument("--robot", choices=sorted(ARM_LIMITS), default="fr3")
    parser.add_argument("--backend", default="franky", help="client library: " + ", ".join(registry.names()))
    parser.add_argument(
        "--camera", default="", help="the camera file (YAML), with its intrinsics unless it is a RealSense"
    )
    parser.add_argument("--out", default="hand_eye.yaml", help="where the calibration goes (default hand_eye.yaml)")
    return parser.parse_args(argv)


def collect(take, board: Board, lines, say) -> tuple[np.ndarray, np.ndarray]:
    """Poses of hand and board, (N, 4, 4) each.

    `take()` gives the joints (7,), the picture and its lens. `lines` yields the lines that the person types, `q` to
    end. `say` prints the progress.
    """
    kinematics, hands, boards = Kinematics(FRANKA), [], []
    say(f"Enter takes a picture, q and Enter ends. At least {MIN_POSES}, better 15.")
    for line in lines:
        if line.strip().lower() == "q":
            break
        q_rad, rgb, lens = take()
        seen = board.find(rgb, lens)
        if seen is None:
            say("the board is not in the picture (at least 6 of its corners must be visible); nothing was taken")
            continue
        hands.append(kinematics.frames(q_rad)[0, -1])
        boards.append(seen)
        say(f"{len(hands)}: the board is {1e3 * seen[2, 3]:.0f} mm away")
    return np.array(hands).reshape(-1, 4, 4), np.array(boards).reshape(-1, 4, 4)


def calibrate(args: argparse.Namespace) -> dict:
    """The values that are printed as JSON. Raises UserError for a mistake in the flags, RobotFault if the arm can't be
    read."""
    scale = args.square_mm / 1000 / Board.square_m
    board = Board(square_m=Board.square_m * scale, marker_m=Board.marker_m * scale)
    if args.board:
        from PIL import Image

        Image.fromarray(board.draw()).save(args.board)
        return {"board": args.board, "columns": board.columns, "rows": board.rows, "square_m": board.square_m}
    if not args.robot_ip or not args.camera:
        raise UserError("expected --robot-ip and --camera (or --board PNG, to print the board first)")
    registry.check(args.backend, args.robot)
    config = cameras.read_config(args.camera)
    robot = registry.module(args.backend).make(Address(args.robot_ip, args.robot, {}))
    robot.connect()
    try:
        with hand_eye.whole_picture(config) as camera:
            lens = hand_eye.lens_of(camera)
            take = lambda: (robot.observe().q_rad, camera.read(5.0).rgb, lens)
            hands, boards = collect(take, board, sys.stdin, lambda text: print(text, file=sys.stderr))
    finally:
        robot.disconnect()
    solution, residuals = hand_eye.solve(hands, boards)
    solution.save(args.out, board)
    advice = "" if residuals.good else "; not good: take more and other pictures, check the lens and the squares' size"
    print(f"{args.out}: {residuals}{advice}", file=sys.stderr)
    return {
        "out": args.out,
        "poses": solution.poses,
        "good": residuals.good,
        "worst_m": residuals.shift_m.max(),
        "worst_rad": residuals.turn_rad.max(),
        "T_hand_camera": solution.T_hand_camera,
    }


def main(argv: list[str]) -> int:
    """Runs the command. Returns the exit code."""
    try:
        command.print_json(calibrate(arguments(argv)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except RobotFault as fault:
        print(f"error: {fault}", file=sys.stderr)
        return Ending.NETWORK.code
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        return Ending.INTERRUPTED.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

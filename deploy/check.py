"""Checks whether everything is ready for a run. It measures, moves nothing, and prints a line with a verdict for each
thing.

    python -m deploy.check --robot-ip 172.16.0.2 --robot fr3 --camera wrist.yaml --hand-eye hand_eye.yaml
    python -m deploy.emulator --scene cube &  python -m deploy.check --robot-ip 127.0.0.1 --policy bc_cube

It checks this computer, the versions, the robot's mode and errors, the connection (the share of the robot's 1 kHz
states that arrive in 10 s), the arm's place in its limits, the gripper, and the camera's rate, age and crop. With
--policy it checks whether the camera's pictures look like the policy's training pictures (put the arm where an episode
begins). With --hand-eye it checks whether the calibration still holds (put the board where it was, in the camera's
view). A person has to judge a "look"; with a "bad" a run is not possible. The last line on stdout is JSON: ok,
emulated, lines.

exit codes: 0 nothing is bad, 2 a mistake in a flag or a file, 16 something is bad, 130 interrupted
"""

import argparse
import sys
import time
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

if __package__ in (None, ""):  # with `python deploy/check.py` its folder would hide the packages beside it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
from rich.console import Console as Terminal
from rich.table import Table
from rich.text import Text

import envs
import policies
from deploy import cameras, verdicts
from deploy.calibration import hand_eye
from deploy.cameras import CameraConfig, CameraError
from deploy.control import safety
from deploy.control.machine import Rules
from deploy.emulator.console import CONSOLE_PORT, Console, ConsoleError
from deploy.endings import Ending
from deploy.robots import registry
from deploy.robots.base import Address, RobotFault
from deploy.verdicts import BAD, OK, SKIPPED, Line
from envs.robots.franka import ARM_LIMITS
from policies import look
from toto_robot import command
from toto_robot.ground.errors import UserError

TASK = "franka_cube"
"""The robot is compared with the arm, the workspace and the camera of this scene."""
COLOURS = {OK: "green", verdicts.LOOK: "yellow", BAD: "red", SKIPPED: "dim"}


def arguments(argv: list[str]) -> argparse.Namespace:
    """The flags. Raises SystemExit with code 2 for wrong ones."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--robot-ip", required=True, help="address of the robot, or of an emulator (127.0.0.x)")
    parser.add_argument("--robot", choices=sorted(ARM_LIMITS), default="fr3")
    parser.add_argument("--backend", default="franky", help="client library: " + ", ".join(registry.names()))
    parser.add_argument(
        "--policy",
        default="",
        metavar="NAME",
        help="compare the camera's pictures with the training pictures of this policy",
    )
    parser.add_argument(
        "--camera",
        default="",
        help="a camera file (YAML), or one of "
        + ", ".join(cameras.names())
        + "; default: the emulator's scene, or none on a real robot",
    )
    parser.add_argument("--hand-eye", default="", help="the file of a hand-eye calibration")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the connection is measured (default 10)")
    parser.add_argument("--console-port", type=int, default=CONSOLE_PORT, help="of an emulator")
    return parser.parse_args(argv)


def check(args: argparse.Namespace) -> tuple[list[Line], bool]:
    """The lines, and whether the robot is emulated. Raises UserError for a mistake in the flags."""
    registry.check(args.backend, args.robot)
    emulated = _emulated(args.robot_ip, args.console_port)
    config = _camera_config(args, emulated)
    lines = [verdicts.kernel(), Line("versions", OK, _versions())]
    env = envs.make(TASK, render=False)
    found, q_rad = _robot(args, env)
    lines += found
    policy = policies.load(args.policy) if args.policy else None
    camera, frames = _camera(config, env) if config else ([Line("camera", SKIPPED, "give --camera")], [])
    lines += camera
    if policy is not None:
        lines.append(_look(args.policy, policy, frames))
    lines.append(_hand_eye(args.hand_eye, config, env, q_rad))
    return lines, emulated


def _emulated(ip: str, port: int) -> bool:
    """Whether the console of an emulator answers at this address."""
    if not ip.startswith("127."):
        return False
    try:
        with Console(ip, port) as console:
            return console.ask("info")["emulator"] == "toto_robot"
    except ConsoleError:
        return False


def _camera_config(args: argparse.Namespace, emulated: bool) -> CameraConfig | None:
    if args.camera.endswith((".yaml", ".yml")):
        return cameras.read_config(args.camera)
    if not args.camera and not emulated:
        return None
    kind = args.camera or "mujoco"
    return CameraConfig(kind=kind, device=f"{args.robot_ip}:{args.console_port}" if kind == "mujoco" else "")


def _versions() -> str:
    def of(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "not installed"

    return ", ".join(f"{name} {of(name)}" for name in ("toto_robot", "numpy", "torch", "mujoco"))


def _robot(args: argparse.Namespace, env) -> tuple[list[Line], np.ndarray | None]:
    """The lines of arm and hand, and the arm's joints (7,). If the connection fails, its line and None."""
    address = Address(args.robot_ip, args.robot, {})
    module = registry.module(args.backend)
    robot = module.make(address)
    try:
        robot.connect()
        try:
            state = robot.observe()
            times_s, wall_s = _listen(robot, args.seconds)
        finally:
            robot.disconnect()
    except RobotFault as fault:
        pressed = "; release the user stop" if "user stop" in str(fault).lower() else ""
        return [Line("robot", BAD, f"{robot.features.client} at {args.robot_ip}: {fault}{pressed}")], None
    lines = [replace(line, said=f"{robot.features.client}, {line.said}") for line in [verdicts.robot(state)]]
    lines.append(verdicts.connection(times_s, wall_s))
    lines += verdicts.limits(state.q_rad, ARM_LIMITS[args.robot], safety.Envelope.of(env.robot))
    return [*lines, _gripper(module, address, env)], state.q_rad


def _listen(robot, seconds: float) -> tuple[np.ndarray, float]:
    """The robot's clock in every state that was read in `seconds`, and the duration of that."""
    times_s: list[float] = []
    start_s = time.monotonic()
    while (wall_s := time.monotonic() - start_s) < seconds:
        times_s.append(robot.observe().time_s)
        if len(times_s) > 1 and times_s[-1] == times_s[-2]:
            time.sleep(2e-4)  # the client gave the same state again, without waiting for the next
    return np.array(times_s), wall_s


def _gripper(module, address: Address, env) -> Line:
    try:
        hand = module.make_gripper(address)
        hand.connect()
        try:
            return verdicts.gripper(hand.observe(), 2 * env.robot.finger_range_m[1])
        finally:
            hand.disconnect()
    except RobotFault as fault:
        return Line("gripper", BAD, str(fault))


def _look(name: str, policy, frames: list) -> Line:
    """Whether the newest frames look like the policy's training pictures."""
    if policy.needs != "rgb" or not frames:
        return verdicts.look(
            None, "the policy looks at no pictures" if policy.needs != "rgb" else "there are no frames"
        )
    newest = np.stack([frame.rgb for frame in frames[-look.FRAMES :]])
    found = look.unknown(name) if policy.look is None else policy.look.look_at(policy.features, newest)
    return verdicts.look(found.verdict, found.said)


def _camera(config: CameraConfig, env, seconds: float = 2.0) -> tuple[list[Line], list]:
    """The lines of the camera, and its frames."""
    camera, frames, ages_s = cameras.make(config), [], []
    try:
        camera.open()
        frames.append(camera.read(5.0))  # the first frame takes as long as the camera needs to start
        start_s = time.monotonic()
        while time.monotonic() - start_s < seconds:
            frames.append(camera.read(1.0))
            ages_s.append(time.monotonic() - frames[-1].captured_s)
        wall_s = time.monotonic() - start_s
    except CameraError as error:
        return [Line("camera", BAD, str(error))], []
    finally:
        camera.close()
    fovy_deg = float(env.model.camera("wrist").fovy[0])
    asked_hz = None if config.kind == "video" else config.fps
    return [
        verdicts.camera(frames[1:], ages_s, wall_s, env.control_hz, Rules().camera_hold_s, asked_hz),
        verdicts.lens(config, camera.intrinsics, fovy_deg),
    ], frames[1:]


def _hand_eye(path: str, config: CameraConfig | None, env, q_rad: np.ndarray | None) -> Line:
    if not path or config is None or q_rad is None:
        return Line("hand-eye", SKIPPED, "give --hand-eye FILE (python -m deploy.calibrate makes one) and --camera")
    solution, board = hand_eye.load(path)
    try:
        with hand_eye.whole_picture(config) as camera:
            lens = hand_eye.lens_of(camera)
            for _ in range(15):  # until the exposure has settled
                frame = camera.read(5.0)
        seen = board.find(frame.rgb, lens)
    except (CameraError, hand_eye.HandEyeError) as error:
        return Line("hand-eye", BAD, str(error))
    T_base_hand = safety.Envelope.of(env.robot).kinematics.frames(q_rad)[0, -1]
    return verdicts.hand_eye(None if seen is None else solution.error(T_base_hand, seen))


def show(lines: list[Line]) -> None:
    """Prints the table on stderr."""
    table = Table("", "verdict", "", box=None)
    for line in lines:
        table.add_row(line.name, f"[{COLOURS[line.verdict]}]{line.verdict}[/]", Text(line.said))
    Terminal(stderr=True).print(table)


def main(argv: list[str]) -> int:
    """Runs the command. Returns the exit code."""
    try:
        lines, emulated = check(arguments(argv))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return Ending.INTERRUPTED.code
    show(lines)
    if emulated:
        print("The robot is emulated: this says nothing about a real one.", file=sys.stderr)
    ok = all(line.verdict != BAD for line in lines)
    command.print_json({"ok": ok, "emulated": emulated, "lines": [asdict(line) for line in lines]})
    return 0 if ok else Ending.PREFLIGHT.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

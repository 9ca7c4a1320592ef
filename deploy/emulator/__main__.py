"""An emulated Franka arm with MuJoCo behind it, for the clients of the real one.

    python -m deploy.emulator --scene cube
    python -m deploy.emulator --scene cube --ip 127.0.0.2 --clock lockstep --viewer
    python -m deploy.emulator --scene cube --shift light

It listens at the ports that are fixed in the clients: the robot at 1337, the gripper at 1338, and an operator's console
at 1339. libfranka, pylibfranka, franky and panda_py connect to it as to an arm. They need only another address, and
without a real-time kernel the option to ignore that. Each robot has its own address, so several run side by side at
127.0.0.2, 127.0.0.3, ...

It checks what an arm's controller checks: position, speed, acceleration and jerk of a commanded motion, torque and its
rate, measured position and speed, collisions, lost packets. It stops with the same errors and recovers from them the
same way. The console takes one JSON request on each line. It resets the scene, reports the physics, and injects faults:

    python -m deploy.emulator.console '{"do": "fault", "name": "user_stop"}'

docs/emulator.md lists the requests, the checks, and what is not emulated.

Clocks: realtime runs at 1 kHz of wall time, as far as the machine keeps up. In lockstep time passes only as far as the
console's `grant` allows, and in a motion each millisecond waits for the client's answer, so results don't depend on how
busy the machine is.

When it listens it prints one JSON line: ready, ip, console_port, pid. It ends with Ctrl-C, SIGTERM, the console's
`shutdown`, or its parent. Exit codes: 0 for such an end, 1 for a bug (with its traceback), 2 for a user's mistake (one
sentence).
"""

import argparse
import contextlib
import json
import os
import select
import signal
import sys
import threading

from deploy.emulator.console import CONSOLE_PORT
from deploy.emulator.emulator import CLOCKS, LARGEST_SEED, ROBOT_OF, Emulator
from deploy.emulator.plant import SCENES
from envs.appearance import SHIFTS
from toto_robot.ground.errors import UserError


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(
        "python -m deploy.emulator",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = arguments.add_argument
    add("--scene", default="cube", choices=sorted(SCENES), help="the scene around the arm (cube: franka_cube)")
    add("--ip", default="127.0.0.1", help="address to listen at; every 127.x.x.x is this machine")
    add(
        "--protocol",
        type=int,
        default=10,
        choices=sorted(ROBOT_OF, reverse=True),
        help="10: an FR3 (pylibfranka and franky from PyPI); 5: a Panda (panda-python from PyPI)",
    )
    add("--clock", default="realtime", choices=sorted(CLOCKS), help="how time passes, see above")
    add(
        "--console-port",
        type=_whole(0, 65535),
        default=CONSOLE_PORT,
        metavar="PORT",
        help="port of the console, 1339 by default; 0: any",
    )
    add(
        "--seed",
        type=_whole(0, LARGEST_SEED),
        default=0,
        help="where cube and arm start, as in the environment's reset",
    )
    add(
        "--shift",
        choices=SHIFTS,
        help="how cameras see the scene, instead of the look of training; a new look at each reset, as in the "
        "environment",
    )
    add("--viewer", action="store_true", help="open MuJoCo's viewer; needs a display")
    add(
        "--film",
        metavar="FILE.mp4",
        help="write a video of the scene from the side, with 25 frames for each second of the robot's time",
    )
    add("--parent-pid", type=_whole(1, LARGEST_SEED), metavar="PID", help="end when this process does")
    return arguments


def _whole(low: int, high: int):
    """The type of a flag: a whole number from `low` to `high`."""

    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return read


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if (
        options.viewer
        and sys.platform == "linux"
        and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    ):
        return _refuse(
            "--viewer needs a display and there is none (DISPLAY is not set); --film FILE.mp4 works without one"
        )
    try:
        emulator = Emulator(
            options.scene,
            options.ip,
            options.protocol,
            options.clock,
            options.console_port,
            options.seed,
            options.shift,
        )
    except OSError as error:
        return _refuse(
            f"can't listen at {options.ip} ({error.strerror}): another robot is there, or it is not an address of "
            "this machine; try --ip 127.0.0.2"
        )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: emulator.shutdown())
    if options.parent_pid:
        threading.Thread(target=_end_with, args=(options.parent_pid, emulator), daemon=True).start()
    try:
        with contextlib.ExitStack() as eyes:
            if options.film:
                from deploy.emulator.film import Film

                eyes.callback(Film(emulator, options.film).close)
            if options.viewer:
                from deploy.emulator.viewer import Viewer

                eyes.callback(Viewer(emulator).close)
            ready = {"ready": True, "ip": options.ip, "console_port": emulator.console.port, "pid": os.getpid()}
            print(json.dumps(ready), flush=True)
            emulator.run()
    except UserError as error:
        return _refuse(str(error))
    return 0


def _refuse(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def _end_with(pid: int, emulator: Emulator) -> None:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return emulator.shutdown()
    select.select([watched], [], [])
    emulator.shutdown()


if __name__ == "__main__":
    sys.exit(main())

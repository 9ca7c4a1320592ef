"""The emulated robot as the control loop sees it: starts it, grants it time, resets its scene, reads its score."""

import contextlib
import json
import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from deploy.control.machine import Event
from deploy.emulator.console import Console, ConsoleError
from deploy.robots.base import RobotFault
from toto_robot.ground.errors import UserError

START_S = 120
PROTOCOL = {"fr3": 10, "panda": 5}
WAIT_S = 5.0
"""The longest wait, on the wall's clock, until a motion, a gripper's command or its width has arrived."""


class GrantClock:
    """The robot's clock. It stands still between `end` and the next `begin`."""

    lockstep = True

    def __init__(self, ip: str, port: int):
        self.console, self.time_ms = Console(ip, port), 0

    def now_s(self) -> float:
        return self.time_ms / 1000

    def begin(self, ms: int = 1) -> None:
        """Grants `ms` milliseconds. `end` reads the reply, so a client can answer the arm in between."""
        try:
            self.console.send("grant", ms=ms)
        except ConsoleError as error:
            raise RobotFault(Event.NETWORK, str(error)) from error

    def end(self) -> None:
        try:
            self.time_ms = self.console.receive()["time_ms"]
        except ConsoleError as error:
            raise RobotFault(Event.NETWORK, str(error)) from error


class EmulatorScene:
    """Does what a person does beside a real arm: places the object, and says whether it was picked."""

    def __init__(self, ip: str, port: int, lockstep: bool):
        self.console, self.lockstep = Console(ip, port), lockstep
        counters = self._ask("counters")
        self.commands, self.moves = counters["gripper_commands"], counters["moves"]

    def place_object(self, seed: int) -> None:
        self._ask("reset", seed=seed)

    def motion_begun(self) -> None:
        """In lockstep: waits until the motion that was started last has reached the arm, because some clients start it
        in a thread of their own. So it begins at the same millisecond each time."""
        end = time.monotonic() + WAIT_S
        while self.lockstep and self._ask("counters")["moves"] == self.moves and time.monotonic() < end:
            time.sleep(0.001)
        self.moves = self._ask("counters")["moves"]

    def done(self, applied: np.ndarray) -> bool:
        return self._ask("physics")["success"]

    def settle(self, hand) -> None:
        """In lockstep: waits, while the robot's time stands still, until the gripper's client has sent its command and
        has seen the present width. Both take wall time, which must not change what the policy sees."""
        if not self.lockstep:
            return
        end = time.monotonic() + WAIT_S
        while self._ask("counters")["gripper_commands"] < self.commands + hand.sent and time.monotonic() < end:
            time.sleep(0.002)
        width_m = self._ask("physics")["width_m"]
        while abs(hand.observe().width_m - width_m) > 1e-6 and time.monotonic() < end:
            time.sleep(0.002)

    def _ask(self, do: str, **arguments) -> dict:
        try:
            return self.console.ask(do, **arguments)
        except ConsoleError as error:
            raise RobotFault(Event.NETWORK, str(error)) from error


@contextlib.contextmanager
def started(arm: str, clock: str, shift: str | None = None):
    """An emulator in its own process at a free address, with the look `shift`. Yields (ip, (ip, port of the console)).

    The emulator ends with the block, or with this process.
    """
    draw = random.SystemRandom()
    ip = f"127.{draw.randint(1, 254)}.{draw.randint(0, 254)}.{draw.randint(2, 254)}"  # several may run on one machine
    process = _spawn(arm, clock, ip, shift)
    try:
        yield _ready(process, ip)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def _spawn(arm: str, clock: str, ip: str, shift: str | None) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "deploy.emulator",
        "--ip",
        ip,
        "--protocol",
        str(PROTOCOL[arm]),
        "--clock",
        clock,
        "--parent-pid",
        str(os.getpid()),
        *(["--shift", shift] if shift else []),
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).resolve().parents[2],
    )


def _ready(process: subprocess.Popen, ip: str) -> tuple[str, tuple[str, int]]:
    """Waits for the line in which the emulator says that it is ready."""
    output = process.stdout
    line = output.readline() if output is not None and select.select([output], [], [], START_S)[0] else ""
    if not line:
        raise UserError(
            f"The emulator did not start at {ip} (exit code {process.poll()}); its message is above. Try "
            f"`python -m deploy.emulator --ip {ip}` by itself."
        )
    return ip, (ip, json.loads(line)["console_port"])

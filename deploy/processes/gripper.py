"""The process that owns a gripper. Its client blocks for seconds, and some clients hold the interpreter in this
time."""

import contextlib
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from deploy.control.shared import Block
from deploy.robots.base import GripperState, RobotFault
from toto_robot.ground.errors import UserError

POLL_S = 0.005


def gripper_main(make: Callable, state: Block, orders: Connection, report: Connection, stopped) -> None:
    """Carries out the newest order (True closes) if it differs from the last one, and writes width and grasp to
    `state`.

    `report` gets ("ready", ""), or ("refused", why) if the client is missing, or ("failed", why) if the gripper fails.
    """
    try:
        gripper = make()
        gripper.connect()
        report.send(("ready", ""))
        wanted: bool | None = None
        while not stopped:
            seen = gripper.observe()
            state.write((seen.width_m, seen.holds))
            # Of several orders only the newest counts.
            newest = wanted
            while orders.poll(POLL_S if newest == wanted else 0):
                newest = orders.recv()
            if newest != wanted:
                wanted = newest
                gripper.command(bool(wanted))
            gripper.serve()
    except RobotFault as fault:
        report.send(("failed", str(fault)))
        while not stopped:  # the main process decides
            time.sleep(0.05)
    except UserError as error:
        return report.send(("refused", str(error)))
    except EOFError:
        return
    gripper.disconnect()


class RemoteGripper:
    """The gripper as the robot's process sees it. Orders don't block."""

    def __init__(self, state: Block, orders: Connection):
        self.state, self.orders, self.sent = state, orders, 0
        self.last: bool | None = None

    def connect(self) -> None:
        pass

    def observe(self) -> GripperState:
        width, holds = self.state.read()
        return GripperState(float(width), bool(holds))

    def command(self, close: bool) -> None:
        if close != self.last:
            self.sent, self.last = self.sent + 1, close
            with contextlib.suppress(OSError):  # the process has died; the main process sees and reports it
                self.orders.send(close)

    def serve(self) -> None:
        pass

    def disconnect(self) -> None:
        pass

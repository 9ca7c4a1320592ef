"""A process that only reads an arm, for programs in which a person moves it. The vendor's client runs in it alone."""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np

from deploy.control.machine import Event
from deploy.control.shared import Block
from deploy.robots.base import RobotFault, RobotState
from toto_robot.ground.errors import UserError

POLL_S = 0.002


def watch_main(make: Callable, state: Block, report: Connection, stopped) -> None:
    """Writes time, joints and speeds to `state` until `stopped`.

    `report` gets ("ready", the client), or ("refused", why) if the client is missing, or ("failed", why).
    """
    try:
        robot = make()
        robot.connect()
        ready = False
        while not stopped:
            seen = robot.observe()
            state.write(np.concatenate([[seen.time_s], seen.q_rad, seen.dq_rad_s]))
            if not ready:
                report.send(("ready", robot.features.client))
                ready = True
            time.sleep(POLL_S)
        robot.disconnect()
    except RobotFault as fault:
        report.send(("failed", str(fault)))
    except UserError as error:
        report.send(("refused", str(error)))


class WatchedArm:
    """The other end: gives what the arm measured last. `reports` are the connections of all processes that it needs."""

    def __init__(self, state: Block, reports: tuple[Connection, ...], joints: int):
        self.state, self.reports, self.joints = state, reports, joints

    def observe(self) -> RobotState:
        """The newest state. Raises RobotFault if a process has failed or ended."""
        for report in self.reports:
            try:
                if report.poll():
                    raise RobotFault(Event.NETWORK, report.recv()[1])
            except EOFError as error:
                raise RobotFault(
                    Event.NETWORK, "the process with the arm's or the gripper's client has ended"
                ) from error
        values = self.state.read()
        return RobotState(float(values[0]), values[1 : 1 + self.joints], values[1 + self.joints :], "guiding")

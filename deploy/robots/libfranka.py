"""What the clients have in common because each binds libfranka: its states, its exceptions, its hand."""

from typing import Any

import numpy as np

from deploy.control.machine import Event
from deploy.robots.base import Address, GripperState, RobotFault, RobotState
from toto_robot.errors import UserError

MODES = {"Idle": "idle", "Move": "move", "Guiding": "guiding", "Reflex": "reflex", "UserStopped": "user_stopped"}
OPEN_M, SPEED_M_S, FORCE_N = 0.08, 0.1, 40.0
"""The hand, as the scene closes and opens it."""

COLLISION = 40.0
"""N·m in a joint, N and N·m at the hand: more stops the arm with a reflex. libfranka's examples set 20, which a hand that
presses a cube on a table passes; polymetis sets 40. `--option collision=…` sets another."""


def thresholds(address: Address) -> tuple[list[float], list[float]]:
    """Collision thresholds of the joints (7,) and of the hand (6,). UserError for what is none."""
    text = address.options.get("collision", COLLISION)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 1 <= value <= 100:
        raise UserError(f"--option collision={text}: expected a number from 1 to 100 (N·m and N), {COLLISION:g} by default.")
    return [value] * 7, [value] * 6


def robot_state(s: Any, errors: tuple[str, ...]) -> RobotState:
    """A client's state, with the names of its `errors`."""
    mode = MODES.get(s.robot_mode.name.removeprefix("k"), "other")
    return RobotState(s.time.to_sec(), np.array(s.q), np.array(s.dq), mode, errors, float(s.control_command_success_rate))


def set_flags(errors: Any) -> tuple[str, ...]:
    """The names of the attributes that are True."""
    return tuple(n for n in dir(errors) if not n.startswith("_") and getattr(errors, n) is True)


class LibfrankaGripper:
    """The hand through `library.Gripper`. A client adds how it commands it without waiting, if it can."""

    def __init__(self, address: Address, library: Any):
        self.address, self._library = address, library

    def connect(self) -> None:
        try:
            self._gripper = self._library.Gripper(self.address.ip)
        except Exception as error:  # libfranka's exceptions have no common base in Python
            raise RobotFault(Event.GRIPPER_FAILED, f"no connection to the gripper at {self.address.ip}: {error}") from error

    def observe(self) -> GripperState:
        try:
            s = self._read()
        except Exception as error:
            raise RobotFault(Event.GRIPPER_FAILED, str(error)) from error
        return GripperState(float(s.width), bool(s.is_grasped))

    def disconnect(self) -> None:
        self._gripper = None

    def _read(self) -> Any:
        return self._gripper.read_once()

    def _move(self, close: bool) -> None:
        """Closes or opens, and waits until that is done."""
        if close:
            self._gripper.grasp(0.0, SPEED_M_S, FORCE_N, OPEN_M, OPEN_M)
        else:
            self._gripper.move(OPEN_M, SPEED_M_S)

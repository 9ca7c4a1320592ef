"""What the clients share, because each of them binds libfranka: states, errors and the hand."""

from typing import Any

import numpy as np

from deploy.control.machine import Event
from deploy.control.safety import Contact
from deploy.robots.base import Address, GripperState, RobotFault, RobotState
from toto_robot.ground.errors import UserError, unknown

MODES = {"Idle": "idle", "Move": "move", "Guiding": "guiding", "Reflex": "reflex", "UserStopped": "user_stopped"}
OPEN_M, SPEED_M_S, FORCE_N = 0.08, 0.1, 40.0
"""How the hand closes and opens, as in the scene."""

COLLISION = 60.0
"""N·m in a joint, N and N·m at the hand; above it the arm stops with a reflex. A good pick presses a cube with 3 to 15
N, and a finger that comes down on the cube's edge hits it with 40 N. libfranka's examples set 20, polymetis sets 40.
`--option collision=…` sets another value."""


def thresholds(options: dict) -> tuple[list[float], ...]:
    """The arguments of `set_collision_behavior`: lower and upper torques (7,), lower and upper forces (6,). Raises
    UserError for a value that is not a number from 1 to 100."""
    text = options.get("collision", COLLISION)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 1 <= value <= 100:
        raise UserError(
            f"--option collision={text}: expected a number from 1 to 100 (N·m and N), {COLLISION:g} by default."
        )
    return [value] * 7, [value] * 7, [value] * 6, [value] * 6


def check_options(options: dict) -> None:
    """Raises UserError for options other than `collision` and `realtime`, and for wrong values."""
    if wrong := sorted(set(options) - {"collision", "realtime"}):
        raise unknown("--option", wrong[0], ("collision", "realtime"))
    if options.get("realtime", "ignore") not in ("enforce", "ignore"):
        raise UserError(
            f"--option realtime={options['realtime']}: expected enforce (the client refuses a kernel without real-time "
            "support) or ignore, the default."
        )
    thresholds(options)


def robot_state(s: Any, errors: tuple[str, ...], collision: tuple[list[float], ...]) -> RobotState:
    """The state from a client's state, with the names of its `errors`. `collision` are its `thresholds`."""
    mode = MODES.get(s.robot_mode.name.removeprefix("k"), "other")
    return RobotState(
        s.time.to_sec(),
        np.array(s.q),
        np.array(s.dq),
        mode,
        errors,
        float(s.control_command_success_rate),
        contact(s.tau_ext_hat_filtered, s.O_F_ext_hat_K, collision),
    )


def contact(tau_ext_nm, wrench, collision: tuple[list[float], ...]) -> Contact:
    """The contact from external torques (7,) and the external wrench (6,)."""
    _, torques, _, forces = collision
    share = np.max(np.abs([*tau_ext_nm, *wrench]) / [*torques, *forces])
    return Contact(float(share), np.array(tau_ext_nm))


def set_flags(errors: Any) -> tuple[str, ...]:
    """The names of the attributes that are True."""
    return tuple(n for n in dir(errors) if not n.startswith("_") and getattr(errors, n) is True)


class LibfrankaGripper:
    """The hand through `library.Gripper`. A client adds commands that don't wait, if it has them."""

    def __init__(self, address: Address, library: Any):
        self.address, self._library = address, library
        self._gripper: Any = None

    def connect(self) -> None:
        try:
            self._gripper = self._library.Gripper(self.address.ip)
        except Exception as error:  # libfranka's exceptions have no common base in Python
            raise RobotFault(
                Event.GRIPPER_FAILED, f"no connection to the gripper at {self.address.ip}: {error}"
            ) from error

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
        """Closes or opens, and waits for the end."""
        if close:
            self._gripper.grasp(0.0, SPEED_M_S, FORCE_N, OPEN_M, OPEN_M)
        else:
            self._gripper.move(OPEN_M, SPEED_M_S)

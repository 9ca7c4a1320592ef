"""`--backend panda_py`: panda-python's joint-position controller, for the Panda; its 1 kHz loop is C++.

The controller is an impedance law in torques with the gains of the simulated scene, and no filter.
"""

import threading
from concurrent.futures import Future
from typing import Any

import numpy as np

from deploy.control.machine import Event
from deploy.robots.base import Address, Features, RobotFault, RobotState, stopped_by_itself
from deploy.robots.libfranka import LibfrankaGripper, robot_state, set_flags, thresholds
from deploy.robots.vendor import client
from envs.robots import ROBOTS

INSTALL = (
    "Install it with `pip install panda-python==1.1.1` (it needs numpy 2 or newer; 1.0.0 aborts the interpreter in "
    "motions)."
)


class PandaRobot:
    features = Features("panda_py", ("panda",), 7, False, "panda-python")

    def __init__(self, address: Address):
        self.address = address
        self._client = client("panda_py", INSTALL)
        self._controllers = client("panda_py.controllers", INSTALL)
        self._panda: Any = None
        self._controller: Any = None
        self._gains: dict[str, Any] = {}
        self._thresholds = thresholds(address.options)
        self._stopping: Future | None = None

    def connect(self) -> None:
        config = client("panda_py.libfranka", INSTALL).RealtimeConfig
        enforce = self.address.options.get("realtime") == "enforce"
        try:
            self._panda = self._client.Panda(
                self.address.ip, realtime_config=config.kEnforce if enforce else config.kIgnore
            )
        except Exception as error:  # libfranka's exceptions have no common base in Python
            raise RobotFault(Event.NETWORK, f"no connection to {self.address.ip}: {error}") from error
        robot = ROBOTS["franka"]
        self._gains = dict(
            stiffness=np.array(robot.impedance_k_nm_rad, np.float64),
            damping=np.array(robot.impedance_d_nms_rad, np.float64),
            filter_coeff=1.0,
        )

    @property
    def moving(self) -> bool:
        return self._controller is not None

    def observe(self) -> RobotState:
        try:
            if not self._panda.is_moving():
                self._panda.refresh_state()
            s = self._panda.get_state()
        except Exception as error:
            raise self._fault(error) from error
        return robot_state(s, set_flags(s.current_errors), self._thresholds)

    def start(self) -> None:
        try:
            self._panda.get_robot().set_collision_behavior(*self._thresholds)
            q = np.array(self._panda.get_state().q)
            self._controller = self._controllers.JointPosition(**self._gains)
            self._panda.start_controller(self._controller)
            self._controller.set_control(q)
        except Exception as error:
            raise self._fault(error) from error

    def act(self, q_d_rad: np.ndarray) -> np.ndarray:
        target = np.asarray(q_d_rad, np.float64)
        self._controller.set_control(target)
        return target

    def serve(self) -> None:
        """Watches the servo loop, which is panda-python's own, and the end of a stop."""
        if self._controller is None or (self._stopping is not None and not self._stopping.done()):
            return
        stopping, self._stopping = self._stopping, None
        try:
            if stopping is None:
                return self._panda.raise_error()
            stopping.result()
        except Exception as error:
            self._controller = None
            raise self._fault(error) from error
        self._controller = None

    def stop(self) -> None:
        """Gives control back. When the controller ends, the arm holds itself. The call waits for the arm's next states,
        so it has a thread, and `serve` tells when it has ended."""
        if self._stopping is None:
            self._stopping = Future()
            threading.Thread(target=self._stop, args=(self._stopping,), daemon=True).start()

    def _stop(self, stopping: Future) -> None:
        try:
            stopping.set_result(self._panda.stop_controller())
        except Exception as error:
            stopping.set_exception(error)

    def recover(self) -> None:
        try:
            self._panda.recover()
        except Exception as error:
            raise self._fault(error) from error

    def disconnect(self) -> None:
        self._controller = self._panda = None

    @staticmethod
    def _fault(error: Exception) -> RobotFault:
        return stopped_by_itself(f"{type(error).__name__}: {error}")


class PandaGripper(LibfrankaGripper):
    """libfranka's gripper in panda-python. Commands block, so they run in a thread of the gripper's process."""

    def __init__(self, address: Address):
        super().__init__(address, client("panda_py.libfranka", INSTALL))
        self._thread: threading.Thread | None = None
        self._error: str | None = None

    def command(self, close: bool) -> None:
        def run():
            try:
                self._move(close)
            except Exception as error:
                self._error = str(error)

        if self._thread is not None and self._thread.is_alive():
            self._gripper.stop()
            self._thread.join(1.0)
            self._error = None  # the stopped command reports that it was stopped
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def serve(self) -> None:
        if self._error is not None:
            raise RobotFault(Event.GRIPPER_FAILED, self._error)


def make(address: Address) -> PandaRobot:
    return PandaRobot(address)


def make_gripper(address: Address) -> PandaGripper:
    return PandaGripper(address)

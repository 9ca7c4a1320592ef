"""`--backend franky`: franky-control's joint-impedance tracker. Its 1 kHz loop is C++ and keeps time while Python
works.

The tracker gets the gains of the simulated scene (`envs/robots/`) and the set-points of the gate. It adds the Coriolis
torque and limits the torque's rate to 1 N·m in a millisecond, as `envs.robots.control.JointImpedance` does.
"""

import contextlib
from typing import Any

import numpy as np

from deploy.control.machine import Event
from deploy.robots.base import Address, Features, RobotFault, RobotState, stopped_by_itself
from deploy.robots.libfranka import FORCE_N, OPEN_M, SPEED_M_S, LibfrankaGripper, robot_state, thresholds
from deploy.robots.vendor import client
from envs.robots import ROBOTS

INSTALL = (
    "Install it with `pip install franky-control==2.0.0` (Linux, x86-64; builds for other robot server versions: its "
    "README)."
)


class FrankyRobot:
    features = Features("franky", ("fr3",), 7, False, "franky-control")

    def __init__(self, address: Address):
        self.address, self._stopping = address, False
        self._franky = client("franky", INSTALL)
        self._robot: Any = None
        self._tracker: Any = None
        self._gains: dict[str, np.ndarray] = {}
        self._thresholds = thresholds(address.options)

    def connect(self) -> None:
        franky = self._franky
        config, enforce = franky.RealtimeConfig, self.address.options.get("realtime") == "enforce"
        try:
            self._robot = franky.Robot(self.address.ip, realtime_config=config.Enforce if enforce else config.Ignore)
        except Exception as error:  # libfranka's exceptions have no common base in Python
            raise RobotFault(Event.NETWORK, f"no connection to {self.address.ip}: {error}") from error
        robot = ROBOTS["franka"]
        self._gains = dict(
            stiffness=np.array(robot.impedance_k_nm_rad, np.float64),
            damping=np.array(robot.impedance_d_nms_rad, np.float64),
        )

    @property
    def moving(self) -> bool:
        return self._tracker is not None

    def observe(self) -> RobotState:
        try:
            s = self._robot.state
        except Exception as error:
            raise self._fault(error) from error
        errors = str(s.current_errors).strip("[]")
        return robot_state(s, tuple(e for e in errors.replace('"', "").split(", ") if e), self._thresholds)

    def start(self) -> None:
        try:
            self._robot.set_collision_behavior(*self._thresholds)
            self._tracker, self._stopping = self._franky.JointImpedanceTracker(self._robot, **self._gains), False
        except Exception as error:
            raise self._fault(error) from error

    def act(self, q_d_rad: np.ndarray) -> np.ndarray:
        target = np.asarray(q_d_rad, np.float64)
        try:
            self._tracker.set_target(target)
        except Exception as error:
            raise self._fault(error) from error
        return target

    def serve(self) -> None:
        """Watches the servo loop, which is franky's own."""
        if self._tracker is None:
            return
        try:
            if not self._robot.join_motion(0.0):
                return
        except Exception as error:
            self._tracker = None
            raise self._fault(error) from error
        self._tracker = None
        if not self._stopping:
            raise RobotFault(Event.REFLEX, "the arm ended the motion by itself")

    def stop(self) -> None:
        """franky's own stop. It turns the torque into damping and ends when the arm is at rest."""
        self._stopping = True
        try:
            self._robot.move(self._franky.TorqueStopMotion(), asynchronous=True)
        except Exception as error:
            raise self._fault(error) from error

    def recover(self) -> None:
        try:
            if not self._robot.recover_from_errors():
                raise RobotFault(Event.REFLEX, "the arm refused its automatic error recovery")
        except RobotFault:
            raise
        except Exception as error:
            raise self._fault(error) from error

    def disconnect(self) -> None:
        self._tracker = self._robot = None

    def _fault(self, error: Exception) -> RobotFault:
        if isinstance(error, self._franky.NetworkException):
            return RobotFault(Event.NETWORK, str(error))
        return stopped_by_itself(f"{type(error).__name__}: {error}")


class FrankyGripper(LibfrankaGripper):
    def __init__(self, address: Address):
        super().__init__(address, client("franky", INSTALL))
        self._running: Any = None
        self._closing = False

    def _read(self):
        return self._gripper.state

    def command(self, close: bool) -> None:
        """Stops a busy hand first, because a real one does not reliably take a new command before."""
        try:
            if self._running is not None:
                self._gripper.stop()
                self._running.wait(1.0)
            if close:
                self._running = self._gripper.grasp_async(0.0, SPEED_M_S, FORCE_N, OPEN_M, OPEN_M)
            else:
                self._running = self._gripper.move_async(OPEN_M, SPEED_M_S)
            self._closing = close
        except Exception as error:
            raise RobotFault(Event.GRIPPER_FAILED, str(error)) from error

    def serve(self) -> None:
        if self._running is None or not self._running.wait(0):
            return
        running, self._running = self._running, None
        try:
            running.get()
        except Exception as error:
            raise RobotFault(Event.GRIPPER_FAILED, f"{'grasp' if self._closing else 'open'}: {error}") from error

    def disconnect(self) -> None:
        """Stops a running command. The client waits for its end, which never comes with an emulator in lockstep."""
        if self._running is not None:
            with contextlib.suppress(Exception):
                self._gripper.stop()
        self._running = None
        super().disconnect()


def make(address: Address) -> FrankyRobot:
    return FrankyRobot(address)


def make_gripper(address: Address) -> FrankyGripper:
    return FrankyGripper(address)

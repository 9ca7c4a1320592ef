"""The whole emulator: one arm with its servers, its clock and its console."""

import os
import threading
from collections.abc import Callable

import numpy as np

from deploy.emulator.clock import Clock, Lockstep, RealTime
from deploy.emulator.console import ConsoleError, ConsoleServer, call, number
from deploy.emulator.controller import Controller
from deploy.emulator.faults import Faults
from deploy.emulator.gripper import MAX_WIDTH_M, Hand
from deploy.emulator.gripper_server import GripperServer
from deploy.emulator.plant import SCENES, Plant
from deploy.emulator.robot_server import RobotServer
from deploy.emulator.wire import ERRORS
from envs.robots.franka import ARM_LIMITS
from toto_robot.ground.errors import expected, unknown

ROBOT_OF = {10: "fr3", 5: "panda"}
"""The arm that speaks a version of the protocol."""
CLOCKS: dict[str, Callable[[], Clock]] = {"realtime": RealTime, "lockstep": Lockstep}
LARGEST_SEED = 2**63 - 1
LONGEST_MS = 10**12
"""The longest duration in a request: 30 years."""
FARTHEST_RAD = 100.0
"""The farthest position to which a request may guide a joint."""


class Emulator:
    """An emulated robot at `ip`. `run` is its loop and returns after `shutdown`."""

    def __init__(
        self,
        scene: str = "cube",
        ip: str = "127.0.0.1",
        version: int = 10,
        clock: str = "realtime",
        console_port: int = 1339,
        seed: int = 0,
        shift: str | None = None,
    ):
        """`shift`: how cameras see the scene (envs.appearance.SHIFTS), a new look at each reset."""
        self.scene, self.ip, self.version, self.shift = scene, ip, version, shift
        limits = ARM_LIMITS[ROBOT_OF[version]]
        self.lock = threading.RLock()
        self.clock, self.faults, self.time_ms = CLOCKS[clock](), Faults(seed), 0
        self.plant = Plant(scene, limits, seed, shift)
        self.controller = Controller(limits, self.plant.data.qpos[:7], self.plant.env.robot.arm_kd, clock == "realtime")
        self.hand = Hand(self.plant.finger_kp)
        self.observers: list = []
        """They are called with this emulator after each millisecond, inside the lock."""
        self._stop = threading.Event()
        self.robot = RobotServer(ip, version, self.controller, self.plant, self.faults, self.lock, self.clock.wake)
        self.sensed = self.plant.sense(self.robot.F_T_EE)
        self.robot.publish(self.sensed)
        self.gripper = GripperServer(ip, self.hand, self.plant.width_m, self.lock)
        self.console = ConsoleServer(ip, console_port, self.answer)

    def run(self) -> None:
        """Lets time pass, one millisecond after another, until `shutdown`."""
        while not self._stop.is_set():
            passes = self.clock.wait(self.time_ms, self.robot)
            with self.lock:
                if not passes:
                    self.robot.keep_alive()
                # In lockstep a motion may have started since, and its client owes an answer.
                elif self.controller.enforce_timing or not self.robot.owes_answer:
                    self.tick()
        for each in (self.console, self.gripper, self.robot):
            each.close()

    def tick(self) -> None:
        """One millisecond: the client's command, the controller, the physics, the next state."""
        command, lost = self.robot.take()
        controller, plant = self.controller, self.plant
        tau = controller.tick(command, self.sensed, plant.inertia, lost)
        load_kg = float(controller.settings["m_load"][0])
        if load_kg:
            tau = tau + plant.weight(load_kg, controller.settings["F_x_Cload"], self.sensed.O_T_F)
        plant.step(tau, self.hand.advance(plant.width_m()))
        self.time_ms += 1
        self._sense()
        self.robot.publish(self.sensed)
        self.robot.settle()
        for observer in self.observers:
            observer(self)

    def _sense(self) -> None:
        self.sensed = self.plant.sense(self.robot.F_T_EE)

    def shutdown(self) -> None:
        self._stop.set()

    def _runs(self) -> bool:
        return not self._stop.is_set()

    # --------------------------------------------------------------------------------------------------------- console

    def answer(self, request: dict) -> dict:
        """The reply to a request of the console. Raises ConsoleError for a request that can't be answered."""
        arguments = dict(request)
        do = arguments.pop("do", None)
        requests = {name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")}
        if do == "grant":  # it waits, and time passes meanwhile
            return call(requests, "request", do, arguments)
        with self.lock:
            return call(requests, "request", do, arguments)

    def do_info(self) -> dict:
        return {
            "emulator": "toto_robot",
            "scene": self.scene,
            "env": SCENES[self.scene],
            "robot": ROBOT_OF[self.version],
            "protocol": self.version,
            "clock": self.clock.name,
            "time_ms": self.time_ms,
            "pid": os.getpid(),
            "mode": self.controller.mode.name.lower(),
            "pixels_env": {"name": SCENES[self.scene], "options": {"shift": self.shift}},
        }

    def do_reset(self, seed: int) -> dict:
        if self.controller.motion is not None:
            raise ConsoleError("expected an arm at rest, but a motion runs; end the motion first")
        self.plant.reset(number("seed", seed, 0, LARGEST_SEED))
        self.controller.place(self.plant.data.qpos[:7])
        self.controller.guiding = False
        self.hand.place(MAX_WIDTH_M)
        self._sense()
        return {"time_ms": self.time_ms}

    def do_physics(self) -> dict:
        data = self.plant.data
        return {
            "time_ms": self.time_ms,
            "seed": self.plant.seed,
            "qpos": data.qpos.tolist(),
            "qvel": data.qvel.tolist(),
            "success": bool(self.plant.success),
            "width_m": self.plant.width_m(),
        }

    def do_grant(self, until_ms: int | None = None, ms: int | None = None) -> dict:
        if not isinstance(self.clock, Lockstep):
            raise ConsoleError("grant needs --clock lockstep; this emulator's clock is realtime and needs none")
        if (until_ms is None) == (ms is None):
            raise ConsoleError("grant: expected until_ms or ms")
        if until_ms is None:
            with self.lock:
                until_ms = self.time_ms + number("ms", ms, 0, LONGEST_MS)
        return {"time_ms": self.clock.grant(number("until_ms", until_ms, 0, 2 * LONGEST_MS), self._runs)}

    def do_guide(self, q_rad: list | None = None) -> dict:
        if q_rad is None:
            self.plant.hand_rad, self.controller.guiding = None, False
            self.plant.data.qfrc_applied[:7] = 0
            return {}
        if not isinstance(q_rad, list) or len(q_rad) != 7:
            raise expected("q_rad", "7 finite numbers", f"{q_rad!r:.80}", error=ConsoleError)
        q = np.array([number("q_rad", each, -FARTHEST_RAD, FARTHEST_RAD, whole=False) for each in q_rad])
        if self.controller.mode.name not in ("IDLE", "GUIDING", "MOVE"):
            raise ConsoleError(f"the arm can't be guided in mode {self.controller.mode.name.lower()}; recover it first")
        self.plant.hand_rad = q
        self.controller.guiding = self.controller.motion is None
        return {}

    def do_counters(self) -> dict:
        c = self.controller
        return {
            "moves": c.motions,
            "commands": self.robot.commands,
            "connections": self.robot.connections,
            "lost_packets": c.lost_packets,
            "violations": c.violations,
            "reflexes": c.reflexes,
            "gripper_commands": self.hand.commands,
            "late_ms": self.clock.late_ms,
            "time_ms": self.time_ms,
        }

    def do_release_user_stop(self) -> dict:
        self.controller.user_stop(False)
        return {"mode": self.controller.mode.name.lower()}

    def do_shutdown(self) -> dict:
        self.shutdown()
        return {}

    def do_fault(self, name: str, **arguments) -> dict:
        faults = {each.removeprefix("fault_"): getattr(self, each) for each in dir(self) if each.startswith("fault_")}
        call(faults, "fault", name, arguments)
        self.robot.settle()
        return {}

    def fault_reflex(self, error: str = "joint_reflex") -> None:
        if error not in ERRORS:
            raise unknown("error", error, ERRORS, error=ConsoleError)
        self.controller.latch(error, found=False)

    def fault_user_stop(self) -> None:
        self.controller.user_stop(True)

    def fault_packet_loss(self, share: float = 1.0, duration_ms: int = 100) -> None:
        self.faults.lose_packets(
            number("share", share, 0, 1, whole=False), number("duration_ms", duration_ms, 0, LONGEST_MS)
        )

    def fault_udp_gap(self, duration_ms: int = 1500) -> None:
        self.faults.open_gap(number("duration_ms", duration_ms, 0, LONGEST_MS))

    def fault_tcp_close(self) -> None:
        if not self.robot.close_tcp():
            raise ConsoleError("no client is connected, so there is no connection to close")

    def fault_version(self, version: int | None = 9) -> None:
        self.faults.version = None if version is None else number("version", version, 1, 65535)

    def fault_gripper_fail(self, count: int = 1) -> None:
        self.hand.fail_next = number("count", count, 0, 1000)
